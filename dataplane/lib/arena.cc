#include "lib/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace dvr {
namespace {

constexpr std::size_t kStep = (std::size_t{1} << 20) / sizeof(WordArena::Word);

}  // namespace

WordArena::WordArena(std::size_t limit)
    : limit_(std::max(limit / sizeof(Word), kStep) / kStep * kStep) {
  static_assert(sizeof(Word) == 4 && Word::is_always_lock_free);
  void* p = mmap(nullptr, limit_ * sizeof(Word), PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  // Zero pages are valid atomics of value 0.
  words_ = static_cast<Word*>(p);
}

WordArena::~WordArena() { munmap(words_, limit_ * sizeof(Word)); }

bool WordArena::grow() {
  if (usable_ + kStep > limit_) return false;
  if (mprotect(words_ + usable_, kStep * sizeof(Word), PROT_READ | PROT_WRITE) != 0) return false;
  if (usable_ == 0) used_ = kLine;  // the first line stays unused: handle 0 means none
  usable_ += kStep;
  return true;
}

std::uint32_t WordArena::allocate(int bits) {
  auto& list = free_[static_cast<std::size_t>(bits)];
  if (list.empty()) {
    if (used_ + kLine > usable_ && !grow()) return 0;
    const auto line = static_cast<std::uint32_t>(used_ / 2);
    used_ += kLine;
    const std::uint32_t units = 1u << (bits - 1);
    for (std::uint32_t at = kLine / 2; at > 0; at -= units) list.push_back(line + at - units);
  }
  const std::uint32_t handle = list.back();
  list.pop_back();
  return handle;
}

void WordArena::release(std::uint32_t handle, int bits) {
  free_[static_cast<std::size_t>(bits)].push_back(handle);
}

}  // namespace dvr
