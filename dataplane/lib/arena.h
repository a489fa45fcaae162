// A growing array of 32-bit words that never moves, cut into small blocks.
//
// The address space for the limit is reserved once and becomes resident as it
// fills, so readers index it with a plain base pointer. Blocks have 2, 4, 8 or
// 16 words and do not cross a cache line. Freed blocks are given again by size.
// One thread allocates and frees; contents are atomics for the readers.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/bytes.h"
#include "lib/pages.h"

namespace dvr {

class WordArena {
 public:
  using Word = std::atomic<std::uint32_t>;

  // Reserves `limit` bytes of address space. Throws std::bad_alloc when refused.
  explicit WordArena(std::size_t limit);
  WordArena(const WordArena&) = delete;
  WordArena& operator=(const WordArena&) = delete;

  // A block of 2^bits words, 1 <= bits <= 4, aligned to its size. The handle
  // counts units of 2 words. 0: the limit is reached, or no memory (no block has handle 0).
  std::uint32_t allocate(int bits) noexcept;
  // A block that there is no memory to remember is never given again.
  void release(std::uint32_t handle, int bits) noexcept;

  [[nodiscard]] Word* at(std::uint32_t handle) const { return words() + std::size_t{handle} * 2; }
  // Bytes in use by blocks, free ones included.
  [[nodiscard]] std::size_t bytes() const { return used_ * sizeof(Word); }

  // A copy, for a restart. save appends every word that a block ever had. restore
  // takes them into an empty arena, where all blocks are free but those that are
  // claimed; free_unclaimed ends it. Both are false for what no arena could have
  // written; the arena must then not be used.
  void save(std::string* out) const;
  [[nodiscard]] bool restore(ByteReader* in);
  // In range, aligned, in a line of blocks of this size, and not claimed before.
  [[nodiscard]] bool claim(std::uint32_t handle, int bits);
  void free_unclaimed();

 private:
  static constexpr std::size_t kLine = 16;  // words
  static constexpr std::size_t kUnits = kLine / 2;

  // Of a line while an arena is restored: the size of its blocks, 0: none is
  // claimed, and which of its units are.
  struct Claimed {
    std::uint8_t bits = 0;
    std::uint8_t units = 0;
  };

  Word* words() const { return static_cast<Word*>(pages_.data()); }
  // Takes so many words into use.
  bool grow(std::size_t words);

  std::size_t limit_;  // words
  Pages pages_;
  std::size_t used_ = 0;  // words
  std::array<std::vector<std::uint32_t>, 5> free_;
  std::vector<std::uint32_t> lines_;  // free ones below used_, of no size yet
  std::vector<Claimed> claimed_;      // by line
};

}  // namespace dvr
