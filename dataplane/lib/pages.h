// Zeroed memory in whole pages, resident where it was touched.
#pragma once

#include <cstddef>

namespace dvr {

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
  void* map_ = nullptr;
  std::size_t mapped_ = 0;
  void* data_ = nullptr;
};

}  // namespace dvr
