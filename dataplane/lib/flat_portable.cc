// The path for every processor: words of a block of addresses, level by level, so
// that their cache misses overlap.
#include "lib/flat_lookup.h"

namespace dvr::flat {
namespace {

constexpr std::size_t kBlock = 32;

template <class A, class At>
bool block(const View& view, const At& at, std::uint32_t* out, std::uint32_t fallback) {
  constexpr int kWidth = static_cast<int>(sizeof(A) * 8);
  constexpr int kRoot = kRootBits<BasicPrefix<A>>;
  std::uint32_t w[kBlock];
  std::uint8_t open[kBlock];
  std::uint8_t depth[kBlock];
  for (std::size_t k = 0; k < kBlock; ++k) {
    w[k] = __atomic_load_n(view.root + static_cast<std::size_t>(at(k) >> (kWidth - kRoot)),
                           __ATOMIC_ACQUIRE);
  }
  std::size_t n = 0;
  for (std::size_t k = 0; k < kBlock; ++k) {
    depth[k] = kRoot;
    open[n] = static_cast<std::uint8_t>(k);
    n += w[k] >> 31;
  }
  while (n > 0) {
    std::size_t left = 0;
    for (std::size_t m = 0; m < n; ++m) {
      const std::size_t k = open[m];
      const std::uint8_t* node = view.nodes + offset_of(w[k]);
      if (kWidth > 64 && kind_of(w[k]) == kFar) {
        w[k] = load_slot(node, kWords, 0);
      } else {
        const int stride = stride_of(w[k]);
        const auto i =
            static_cast<std::size_t>(static_cast<A>(at(k) << depth[k]) >> (kWidth - stride));
        depth[k] = static_cast<std::uint8_t>(depth[k] + stride);
        w[k] = load_any(node, kind_of(w[k]), i);
      }
      open[left] = static_cast<std::uint8_t>(k);
      left += w[k] >> 31;
    }
    n = left;
  }
  std::uint32_t escapes = 0;
  for (std::size_t k = 0; k < kBlock; ++k) {
    escapes |= w[k] == kEscape ? 1u : 0u;
    out[k] = w[k] == 0 ? fallback : w[k];
  }
  return escapes != 0;
}

}  // namespace

bool portable::lookup4(const View& view, const std::uint32_t* a, std::uint32_t* out, std::size_t n,
                       std::uint32_t fallback) {
  bool escapes = false;
  std::size_t i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    escapes |=
        block<std::uint32_t>(view, [a, i](std::size_t k) { return a[i + k]; }, out + i, fallback);
  }
  return rest4(view, a + i, out + i, n - i, fallback) || escapes;
}

namespace {

template <Order kOrder>
bool lookup6_in(const View& view, const void* a, std::uint32_t* out, std::size_t n,
                std::uint32_t fallback) {
  bool escapes = false;
  std::size_t i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    u128 keys[kBlock];
    for (std::size_t k = 0; k < kBlock; ++k) keys[k] = address_at<kOrder>(a, i + k);
    escapes |= block<u128>(view, [&keys](std::size_t k) { return keys[k]; }, out + i, fallback);
  }
  return rest6<kOrder>(view, static_cast<const char*>(a) + i * 16, out + i, n - i, fallback) ||
         escapes;
}

}  // namespace

bool portable::lookup6(Order order, const View& view, const void* a, std::uint32_t* out,
                       std::size_t n, std::uint32_t fallback) {
  return order == Order::kHost ? lookup6_in<Order::kHost>(view, a, out, n, fallback)
                               : lookup6_in<Order::kNetwork>(view, a, out, n, fallback);
}

}  // namespace dvr::flat
