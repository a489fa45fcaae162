// Lookups of many addresses in a flat table, by the instructions that the processor has.
//
// Which path is fastest is not what CPUID says: gathers are slow on some
// processors that have them. best_path measures once, for about two
// milliseconds, and every table uses what it found.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/flat_format.h"

namespace dvr::flat {

enum class Path : std::uint8_t { kPortable, kAvx2, kAvx512 };
inline constexpr std::array kPaths{Path::kPortable, Path::kAvx2, Path::kAvx512};

// The form of IPv6 addresses in memory: u128 values, or 16 bytes in network order.
enum class Order : std::uint8_t { kHost, kNetwork };

std::string_view name_of(Path path);
// The processor and the operating system can run it.
bool supported(Path path);
// The fastest that is supported, measured on the first call. Any thread.
Path best_path();

// out[i] is the leaf of a[i], `fallback` where the leaf is 0. True: some are
// kEscape. Any thread that keeps the table from being reclaimed. `path` is supported.
bool lookup4(Path path, const View& view, const std::uint32_t* a, std::uint32_t* out, std::size_t n,
             std::uint32_t fallback);
bool lookup6(Path path, Order order, const View& view, const void* a, std::uint32_t* out,
             std::size_t n, std::uint32_t fallback);

// The paths.
#define DVR_FLAT_PATH(name)                                                                     \
  namespace name {                                                                              \
  bool lookup4(const View& view, const std::uint32_t* a, std::uint32_t* out, std::size_t n,     \
               std::uint32_t fallback);                                                         \
  bool lookup6(Order order, const View& view, const void* a, std::uint32_t* out, std::size_t n, \
               std::uint32_t fallback);                                                         \
  }
DVR_FLAT_PATH(portable)
DVR_FLAT_PATH(avx2)
DVR_FLAT_PATH(avx512)
#undef DVR_FLAT_PATH

template <Order kOrder>
inline u128 address_at(const void* a, std::size_t i) {
  u128 v;
  if constexpr (kOrder == Order::kHost) {
    std::memcpy(&v, static_cast<const char*>(a) + i * sizeof v, sizeof v);
  } else {
    v = load_u128(static_cast<const char*>(a) + i * sizeof v);
  }
  return v;
}

// What is left behind the last whole block: one at a time.
inline bool rest4(const View& view, const std::uint32_t* a, std::uint32_t* out, std::size_t n,
                  std::uint32_t fallback) {
  bool escapes = false;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t v = leaf_of(view, a[i]);
    out[i] = v == 0 ? fallback : v;
    escapes |= v == kEscape;
  }
  return escapes;
}

template <Order kOrder>
bool rest6(const View& view, const void* a, std::uint32_t* out, std::size_t n,
           std::uint32_t fallback) {
  bool escapes = false;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t v = leaf_of(view, address_at<kOrder>(a, i));
    out[i] = v == 0 ? fallback : v;
    escapes |= v == kEscape;
  }
  return escapes;
}

}  // namespace dvr::flat
