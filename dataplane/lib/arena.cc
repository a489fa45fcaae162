#include "lib/arena.h"

#include <algorithm>
#include <new>

namespace dvr {

WordArena::WordArena(std::size_t limit)
    : limit_(std::max(limit / sizeof(Word) / kLine, std::size_t{2}) * kLine),
      // Zero pages are valid atomics of value 0.
      pages_(limit_ * sizeof(Word), Pages::Huge::kAsk) {
  static_assert(sizeof(Word) == 4 && Word::is_always_lock_free);
}

bool WordArena::grow(std::size_t words) {
  // The first line stays unused: handle 0 means none.
  const std::size_t used = std::max(used_, kLine) + words;
  if (used > limit_) return false;
  used_ = used;
  return true;
}

std::uint32_t WordArena::allocate(int bits) noexcept {
  auto& list = free_[static_cast<std::size_t>(bits)];
  if (list.empty()) {
    try {
      list.reserve(kUnits);
    } catch (const std::bad_alloc&) {
      return 0;
    }
    std::uint32_t line;
    if (!lines_.empty()) {
      line = lines_.back();
      lines_.pop_back();
    } else {
      if (!grow(kLine)) return 0;
      line = static_cast<std::uint32_t>((used_ - kLine) / 2);
    }
    const std::uint32_t units = 1u << (bits - 1);
    for (std::uint32_t at = kLine / 2; at > 0; at -= units) list.push_back(line + at - units);
  }
  const std::uint32_t handle = list.back();
  list.pop_back();
  return handle;
}

void WordArena::release(std::uint32_t handle, int bits) noexcept {
  try {
    free_[static_cast<std::size_t>(bits)].push_back(handle);
  } catch (const std::bad_alloc&) {
  }
}

void WordArena::save(std::string* out) const {
  const std::size_t count = used_ == 0 ? 0 : used_ - kLine;
  ByteWriter w(out);
  w.u64(count);
  w.words(count,
          [this](std::size_t i) { return words()[kLine + i].load(std::memory_order_relaxed); });
}

bool WordArena::restore(ByteReader* in) {
  const std::uint64_t count = in->u64();
  const std::string_view content = in->words(count);
  if (!in->ok() || used_ != 0 || count % kLine != 0) return false;
  if (!grow(count)) return false;
  for (std::size_t i = 0; i < count; ++i) {
    words()[kLine + i].store(word_at(content, i), std::memory_order_relaxed);
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
