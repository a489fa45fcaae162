#include "sinks/xdp/memory.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace dvr::xdp {

Pool::Pool(std::uint8_t* data, std::size_t bytes, Grace grace)
    : data_(data), size_(bytes), grace_(std::move(grace)) {}

int Pool::order_of(std::size_t bytes) {
  return bytes <= 4 ? 0 : static_cast<int>(std::bit_width((bytes - 1) / 4));
}

// From the free blocks, of which a larger one is split; else from what was never given out.
std::uint32_t Pool::cut(int order) {
  for (int larger = order; larger < kOrders; ++larger) {
    auto& free = free_[static_cast<std::size_t>(larger)];
    if (free.empty()) continue;
    const std::uint32_t block = free.back();
    free.pop_back();
    while (larger > order) {
      --larger;
      free_[static_cast<std::size_t>(larger)].push_back(block + (1u << larger));
    }
    return block;
  }
  const std::size_t units = std::size_t{1} << order;
  const std::size_t start = (end_ + units - 1) & ~(units - 1);
  if ((start + units) * 4 > size_) return kNone;
  // What the alignment leaves out, as the blocks that it consists of.
  while (end_ < start) {
    const int gap = std::countr_zero(end_);
    free_[static_cast<std::size_t>(gap)].push_back(static_cast<std::uint32_t>(end_));
    end_ += std::size_t{1} << gap;
  }
  end_ = start + units;
  return static_cast<std::uint32_t>(start);
}

void Pool::join() {
  released_ = 0;
  for (int order = 0; order + 1 < kOrders; ++order) {
    auto& free = free_[static_cast<std::size_t>(order)];
    auto& larger = free_[static_cast<std::size_t>(order) + 1];
    std::sort(free.begin(), free.end());
    std::size_t kept = 0;
    for (std::size_t i = 0; i < free.size(); ++i) {
      const std::uint32_t block = free[i], buddy = block ^ (1u << order);
      if (i + 1 < free.size() && free[i + 1] == buddy) {
        larger.push_back(block);
        ++i;
      } else {
        free[kept++] = block;
      }
    }
    free.resize(kept);
  }
}

std::uint32_t Pool::allocate(int order) {
  std::uint32_t block = cut(order);
  // Not for every little that was retired: a pool that is full needs a larger one.
  if (block == kNone && waiting_ >= size_ / 16) {
    const std::vector<Block> waited = take_retired();
    grace_();
    give_back(waited);
    block = cut(order);
  }
  // Not again for every block that a full pool is asked for.
  if (block == kNone && released_ > size_ / 64) {
    join();
    block = cut(order);
  }
  if (block != kNone) used_ += std::size_t{4} << order;
  return block;
}

void Pool::release(std::uint32_t block, int order) {
  free_[static_cast<std::size_t>(order)].push_back(block);
  used_ -= std::size_t{4} << order;
  released_ += std::size_t{4} << order;
}

std::vector<Pool::Block> Pool::take_retired() {
  waiting_ = 0;
  return std::exchange(retired_, {});
}

void Pool::give_back(const std::vector<Block>& blocks) {
  for (const Block& b : blocks) release(b.at, b.order);
}

std::uint32_t Slots::allocate() {
  if (free_.empty() && end_ >= count_ && !retired_.empty()) {
    const std::vector<std::uint32_t> waited = take_retired();
    grace_();
    give_back(waited);
  }
  if (!free_.empty()) {
    const std::uint32_t slot = free_.back();
    free_.pop_back();
    return slot;
  }
  return end_ < count_ ? end_++ : 0;
}

}  // namespace dvr::xdp
