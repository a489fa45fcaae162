// Memory of a flat table's nodes: one range of address space that never moves.
//
// A binary buddy allocator over blocks of 4 bytes to 128 KiB, aligned to their
// size, so that no small node crosses a cache line. Blocks are named by their offset
// in units of 4 bytes. The range is reserved once, asks for huge pages and becomes
// resident as it is used. One thread allocates and releases; contents are atomics
// for the readers.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "lib/pages.h"

namespace dvr {

class FlatArena {
 public:
  static constexpr std::size_t kUnit = 4;  // bytes
  static constexpr int kOrders = 16;       // blocks of kUnit << 0 ... kUnit << 15
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  // Reserves at most `limit` bytes. Throws std::bad_alloc when refused.
  explicit FlatArena(std::size_t limit);
  FlatArena(const FlatArena&) = delete;
  FlatArena& operator=(const FlatArena&) = delete;

  // The order of the smallest block that holds `bytes`.
  static int order_of(std::size_t bytes);

  // A block of kUnit << order bytes, its content undefined. kNone: the limit is reached.
  std::uint32_t allocate(int order);
  // A block that there is no memory to remember is never given again.
  void release(std::uint32_t block, int order) noexcept;

  // Four bytes behind the last block are readable.
  [[nodiscard]] std::uint8_t* data() const { return static_cast<std::uint8_t*>(pages_.data()); }
  // Bytes of the blocks that are given out. Any thread.
  [[nodiscard]] std::size_t live() const { return live_.load(std::memory_order_relaxed); }
  // Bytes that blocks were ever cut from: the most that is resident. Any thread.
  [[nodiscard]] std::size_t used() const { return used_.load(std::memory_order_relaxed) * kUnit; }

 private:
  // The free blocks of an order: a bit each, and a stack of candidates that may be stale.
  struct Order {
    std::vector<std::uint64_t> free;
    std::vector<std::uint32_t> stack;
    std::size_t count = 0;

    [[nodiscard]] bool test(std::uint32_t i) const {
      return i / 64 < free.size() && (free[i / 64] >> (i % 64) & 1u) != 0;
    }
  };

  void put(std::uint32_t block, int order);
  void take(std::uint32_t block, int order);
  std::uint32_t pop(int order);

  static constexpr std::size_t kLargest = kUnit << (kOrders - 1);

  std::size_t limit_;  // bytes
  Pages pages_;
  static void add(std::atomic<std::size_t>* to, std::size_t n) {  // by the one writer
    to->store(to->load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }

  std::atomic<std::size_t> used_{0};  // units
  std::atomic<std::size_t> live_{0};  // bytes
  std::array<Order, kOrders> orders_;
};

}  // namespace dvr
