// Memory that the program in the kernel reads while it is changed: given out, unlinked, and
// given out again only when no packet can be on its way through it any more.
//
// Threading: one thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace dvr::xdp {

// Returns when every packet that was being handled when it was called has been: an RCU
// grace period, milliseconds.
using Grace = std::function<void()>;

// Pool gives out blocks of a range of memory: powers of two from 4 bytes to 128 KiB, aligned to
// their size, named by their offset in units of 4 bytes. Free blocks are joined where memory
// runs out.
class Pool {
 public:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  static constexpr int kOrders = 16;
  struct Block {
    std::uint32_t at;
    int order;
  };

  // `bytes` is a power of two; the first block is never given out.
  Pool(std::uint8_t* data, std::size_t bytes, Grace grace);

  // The order of the smallest block that holds `bytes`.
  static int order_of(std::size_t bytes);

  // kNone: full. Content is undefined. Waits for a grace period where only that helps, and
  // helps much.
  std::uint32_t allocate(int order);
  // Of a block that nothing refers to any more.
  void retire(std::uint32_t block, int order) {
    retired_.push_back({block, order});
    waiting_ += std::size_t{4} << order;
  }
  // Of a block that nothing ever referred to.
  void release(std::uint32_t block, int order);

  // For who waits elsewhere: takes what is retired, and gives it back after a grace period.
  std::vector<Block> take_retired();
  void give_back(const std::vector<Block>& blocks);

  [[nodiscard]] std::uint8_t* at(std::uint32_t block) const {
    return data_ + std::size_t{block} * 4;
  }
  [[nodiscard]] std::size_t size() const { return size_; }
  // Bytes in use, those that are retired with them.
  [[nodiscard]] std::size_t used() const { return used_; }
  // Bytes that are retired and not taken.
  [[nodiscard]] std::size_t waiting() const { return waiting_; }

 private:
  std::uint32_t cut(int order);
  void join();

  std::uint8_t* data_;
  std::size_t size_;
  Grace grace_;
  std::size_t end_ = 1;  // units ever given out
  std::size_t used_ = 0;
  std::size_t waiting_ = 0;
  std::size_t released_ = 0;  // bytes, since free blocks were joined
  std::array<std::vector<std::uint32_t>, kOrders> free_;
  std::vector<Block> retired_;
};

// Slots are the numbers 1 ... count - 1, with the same rules.
class Slots {
 public:
  Slots(std::uint32_t count, Grace grace) : count_(count), grace_(std::move(grace)) {}

  // 0: none is left.
  std::uint32_t allocate();
  void retire(std::uint32_t slot) { retired_.push_back(slot); }
  std::vector<std::uint32_t> take_retired() { return std::exchange(retired_, {}); }
  void give_back(const std::vector<std::uint32_t>& slots) {
    free_.insert(free_.end(), slots.begin(), slots.end());
  }
  [[nodiscard]] std::size_t waiting() const { return retired_.size(); }

 private:
  std::uint32_t count_;
  Grace grace_;
  std::uint32_t end_ = 1;
  std::vector<std::uint32_t> free_, retired_;
};

}  // namespace dvr::xdp
