// Reads the maps as the program does, but written for itself, and memory to render into.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "sinks/xdp/layout.h"
#include "sinks/xdp/memory.h"
#include "sinks/xdp/table.h"

namespace dvr::xdp::test {

// Maps without a kernel.
template <class P>
struct Maps {
  explicit Maps(std::size_t pool_bytes = std::size_t{16} << 20)
      : root(std::size_t{1} << Table<P>::kRoot),
        bytes(pool_bytes + DVR_POOL_MARGIN),
        pool(bytes.data(), pool_bytes, [this] { ++graces; }) {}

  // The id that the program finds: an address bit by bit.
  [[nodiscard]] std::uint32_t find(typename P::Address a) const {
    constexpr int kWidth = P::kWidth;
    const auto bits = [&](int from, int count) {
      std::uint64_t v = 0;
      for (int i = from; i < from + count; ++i) {
        v = v << 1 | static_cast<std::uint64_t>(i < kWidth && (a >> (kWidth - 1 - i) & 1) != 0);
      }
      return v;
    };
    int depth = Table<P>::kRoot;
    std::uint32_t w = root[bits(0, depth)];
    for (int level = 0; (w & DVR_NODE) != 0; ++level) {
      if (level > kWidth - Table<P>::kRoot) {
        ADD_FAILURE() << "deeper than the program looks";
        return ~0u;
      }
      const std::uint8_t* block = bytes.data() + std::size_t{w & DVR_BLOCK_MASK} * 4;
      const std::uint32_t kind = w >> DVR_KIND_SHIFT & 3;
      if (kind == DVR_SKIP) {
        dvr_skip s;
        std::memcpy(&s, block, sizeof s);
        const int n = static_cast<int>(s.bits);
        EXPECT_TRUE(n >= 1 && n <= 63) << n;
        if (bits(depth, n) != s.path >> (64 - n)) {
          w = s.fallback;
          break;
        }
        w = s.target;
        depth += n;
        continue;
      }
      const int stride = static_cast<int>(w >> DVR_STRIDE_SHIFT & 15);
      EXPECT_GE(stride, 1);
      std::uint32_t slot = 0;
      std::memcpy(&slot, block + (bits(depth, stride) << kind), std::size_t{1} << kind);
      w = slot;
      depth += stride;
    }
    return w == DVR_DEFAULT ? default_id : w;
  }

  std::vector<std::uint32_t> root;
  std::uint32_t default_id = 0;
  std::vector<std::uint8_t> bytes;
  int graces = 0;
  Pool pool;
};

// Addresses whose packets always go to the kernel.
template <class A>
bool reserved(A a) {
  if constexpr (sizeof(A) == 4) {
    return a >> 24 == 0 || a >> 24 == 127 || a >> 24 >= 224;
  } else {
    const auto top = static_cast<unsigned>(a >> 120);
    return top == 0 || top == 0xff || static_cast<unsigned>(a >> 118) == 0x3fa;
  }
}

}  // namespace dvr::xdp::test
