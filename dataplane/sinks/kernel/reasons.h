// Reasons: why something is not installed, each in a byte.
//
// The kernel has a few dozen; next hops add their names. When all bytes are given, those that
// nobody holds are taken back. What is more than 254 at once shares a text that says so.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <functional>
#include <string>

namespace dvr::kernel {

class Reasons {
 public:
  static constexpr std::size_t kMost = 256;
  using Set = std::bitset<kMost>;

  // held marks the bytes that are in use: called when none is left, and, where that gives none
  // back, not again before again().
  explicit Reasons(std::function<void(Set*)> held) : held_(std::move(held)) {
    words_[0] = "waits to be installed";
    words_[kOther] = "one of more reasons than are told apart";
  }

  // Cost: a comparison with each known one; a call of held() where all are given.
  std::uint8_t of(const std::string& words) {
    if (words.empty()) return 0;
    std::size_t free = 0;
    for (std::size_t i = 1; i < kOther; ++i) {
      if (words_[i] == words) return static_cast<std::uint8_t>(i);
      if (free == 0 && words_[i].empty()) free = i;
    }
    if (free == 0 && !full_) {
      Set used;
      held_(&used);
      for (std::size_t i = kOther - 1; i > 0; --i) {
        if (used[i]) continue;
        words_[i].clear();
        free = i;
      }
    }
    full_ = free == 0;
    if (full_) return kOther;
    words_[free] = words;
    return static_cast<std::uint8_t>(free);
  }
  [[nodiscard]] const std::string& words(std::uint8_t reason) const { return words_[reason]; }
  // Many may have been given back.
  void again() { full_ = false; }

 private:
  static constexpr std::uint8_t kOther = kMost - 1;

  std::function<void(Set*)> held_;
  std::array<std::string, kMost> words_;
  bool full_ = false;
};

}  // namespace dvr::kernel
