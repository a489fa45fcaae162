#include "lib/pages.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

namespace dvr {
namespace {

std::size_t whole_pages(std::size_t bytes) {
  return (bytes + kHugePage - 1) / kHugePage * kHugePage;
}

// `bytes` of address space from a boundary of huge pages on; whole huge pages.
void* map_aligned(std::size_t bytes) {
  void* p = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  const std::size_t skip =
      (kHugePage - reinterpret_cast<std::uintptr_t>(p) % kHugePage) % kHugePage;
  char* const at = static_cast<char*>(p) + skip;
  if (skip > 0) munmap(p, skip);
  if (skip < kHugePage) munmap(at + bytes, kHugePage - skip);
  madvise(at, bytes, MADV_HUGEPAGE);  // where the kernel has none, small pages do
  return at;
}

}  // namespace

void* allocate_paged(std::size_t bytes) {
  return bytes < kHugePage ? ::operator new(bytes) : map_aligned(whole_pages(bytes));
}

void release_paged(void* p, std::size_t bytes) {
  if (bytes < kHugePage) {
    ::operator delete(p);
  } else {
    munmap(p, whole_pages(bytes));
  }
}

Pages::Pages(std::size_t bytes, Huge huge) {
  if (huge == Huge::kAsk) {
    mapped_ = whole_pages(bytes);
    data_ = map_aligned(mapped_);
    return;
  }
  mapped_ = bytes;
  data_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data_ == MAP_FAILED) throw std::bad_alloc();
}

Pages::~Pages() { munmap(data_, mapped_); }

}  // namespace dvr
