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
    std::uint32_t line;
    if (!lines_.empty()) {
      line = lines_.back();
      lines_.pop_back();
    } else {
      if (used_ + kLine > usable_ && !grow()) return 0;
      line = static_cast<std::uint32_t>(used_ / 2);
      used_ += kLine;
    }
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

void WordArena::save(std::string* out) const {
  const std::size_t count = used_ == 0 ? 0 : used_ - kLine;
  ByteWriter w(out);
  w.u64(count);
  w.words(count,
          [this](std::size_t i) { return words_[kLine + i].load(std::memory_order_relaxed); });
}

bool WordArena::restore(ByteReader* in) {
  const std::uint64_t count = in->u64();
  const std::string_view words = in->words(count);
  if (!in->ok() || used_ != 0 || count % kLine != 0) return false;
  while (usable_ < kLine + count) {
    if (!grow()) return false;
  }
  used_ = kLine + count;
  for (std::size_t i = 0; i < count; ++i) {
    words_[kLine + i].store(word_at(words, i), std::memory_order_relaxed);
  }
  claimed_.resize(used_ / kLine);
  return true;
}

bool WordArena::claim(std::uint32_t handle, int bits) {
  const std::size_t line = handle / kUnits;
  const std::uint32_t at = handle % kUnits;
  const std::uint32_t units = 1u << (bits - 1);
  if (line == 0 || line >= claimed_.size() || at % units != 0) return false;
  Claimed& c = claimed_[line];
  const auto mask = static_cast<std::uint8_t>(((1u << units) - 1) << at);
  if ((c.bits != 0 && c.bits != bits) || (c.units & mask) != 0) return false;
  c.bits = static_cast<std::uint8_t>(bits);
  c.units = static_cast<std::uint8_t>(c.units | mask);
  return true;
}

void WordArena::free_unclaimed() {
  for (std::size_t line = claimed_.size(); line-- > 1;) {
    const Claimed c = claimed_[line];
    const auto first = static_cast<std::uint32_t>(line * kUnits);
    if (c.bits == 0) {
      lines_.push_back(first);
      continue;
    }
    const std::uint32_t units = 1u << (c.bits - 1);
    for (std::uint32_t at = 0; at < kUnits; at += units) {
      if ((c.units >> at & 1u) == 0) free_[c.bits].push_back(first + at);
    }
  }
  claimed_ = {};
}

}  // namespace dvr
