#include "lib/pages.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

namespace dvr {

Pages::Pages(std::size_t bytes, Huge huge) {
  constexpr std::size_t kHuge = std::size_t{2} << 20;
  mapped_ = huge == Huge::kAsk ? bytes + kHuge : bytes;
  map_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
              -1, 0);
  if (map_ == MAP_FAILED) throw std::bad_alloc();
  data_ = map_;
  if (huge == Huge::kAsk) {
    const std::size_t skip = (kHuge - reinterpret_cast<std::uintptr_t>(map_) % kHuge) % kHuge;
    data_ = static_cast<char*>(map_) + skip;
    madvise(data_, bytes, MADV_HUGEPAGE);  // where the kernel has none, small pages do
  }
}

Pages::~Pages() { munmap(map_, mapped_); }

}  // namespace dvr
