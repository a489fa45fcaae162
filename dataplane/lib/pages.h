// Zeroed memory in whole pages, resident where it was touched, in huge pages where asked for.
#pragma once

#include <cstddef>

namespace dvr {

inline constexpr std::size_t kHugePage = std::size_t{2} << 20;

// Of PageAllocator. Throws std::bad_alloc.
void* allocate_paged(std::size_t bytes);
void release_paged(void* p, std::size_t bytes);

class Pages {
 public:
  enum class Huge : bool { kNo, kAsk };

  // Throws std::bad_alloc.
  explicit Pages(std::size_t bytes, Huge huge = Huge::kNo);
  ~Pages();
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  [[nodiscard]] void* data() const { return data_; }

 private:
  std::size_t mapped_ = 0;
  void* data_ = nullptr;
};

// PageAllocator is for large vectors whose elements are met at random: from a huge
// page on their memory asks for huge pages, below it is the heap's.
template <class T>
struct PageAllocator {
  using value_type = T;

  PageAllocator() = default;
  template <class U>
  explicit PageAllocator(const PageAllocator<U>& /*other*/) {}

  T* allocate(std::size_t n) { return static_cast<T*>(allocate_paged(n * sizeof(T))); }
  void deallocate(T* p, std::size_t n) { release_paged(p, n * sizeof(T)); }
  friend bool operator==(const PageAllocator&, const PageAllocator&) = default;
};

}  // namespace dvr
