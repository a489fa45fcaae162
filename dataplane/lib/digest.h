// Set digests: sums modulo 2^128 of MurmurHash3_x64_128, decision 3.
//
// A digest detects divergence between tables that should be equal. Adding and
// removing an item are inverse and commute, so a digest is kept incrementally.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "lib/group.h"
#include "lib/prefix.h"

namespace dvr {

// Digest is h1 (lo) and h2 (hi) of a sum.
struct Digest {
  std::uint64_t lo = 0;
  std::uint64_t hi = 0;

  Digest& operator+=(const Digest& d) {
    const std::uint64_t sum = lo + d.lo;
    hi += d.hi + (sum < lo ? 1u : 0u);
    lo = sum;
    return *this;
  }
  Digest& operator-=(const Digest& d) {
    hi -= d.hi + (lo < d.lo ? 1u : 0u);
    lo -= d.lo;
    return *this;
  }
  friend Digest operator+(Digest a, const Digest& b) { return a += b; }
  friend Digest operator-(Digest a, const Digest& b) { return a -= b; }
  friend bool operator==(const Digest&, const Digest&) = default;

  // The 16 wire bytes: lo then hi, little-endian each.
  [[nodiscard]] std::string bytes() const;
  // Hex of the wire bytes.
  [[nodiscard]] std::string hex() const;
  static std::optional<Digest> from_bytes(std::string_view bytes);
};

// ClassId names a path class. Zero is legal in hashing only.
struct ClassId {
  std::array<std::uint8_t, 16> bytes{};

  [[nodiscard]] std::string hex() const;
  [[nodiscard]] std::string_view view() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  static std::optional<ClassId> from_bytes(std::string_view bytes);
  friend bool operator==(const ClassId&, const ClassId&) = default;
  friend auto operator<=>(const ClassId&, const ClassId&) = default;
};

// MurmurHash3_x64_128. Reads only `size` bytes; any alignment.
Digest murmur3(const void* data, std::size_t size, std::uint32_t seed = 0);

// Hash of a prefix item. About 10 ns.
Digest prefix_item(const Prefix4& p, const ClassId& id, std::string_view vrf = {});
Digest prefix_item(const Prefix6& p, const ClassId& id, std::string_view vrf = {});
Digest prefix_item(const Prefix& p, const ClassId& id, std::string_view vrf = {});

// Hash of a group item. `hops` must be canonical (Group's order).
Digest group_item(const ClassId& id, std::span<const NextHop> hops);

// Buckets cut the prefixes of a table into 1,024 parts for reconciling.
inline constexpr std::size_t kBuckets = 1024;
using BucketSums = std::array<Digest, kBuckets>;
using BucketBitmap = std::array<std::uint8_t, kBuckets / 8>;  // bit i of byte i/8 = bucket i

inline bool test_bucket(const BucketBitmap& b, std::uint32_t i) {
  return ((b[i / 8] >> (i % 8)) & 1u) != 0;
}
inline void set_bucket(BucketBitmap& b, std::uint32_t i) {
  b[i / 8] = static_cast<std::uint8_t>(b[i / 8] | (1u << (i % 8)));
}

// The bucket of a prefix, 0..1023: its item with a zero class id.
std::uint32_t bucket_of(const Prefix4& p, std::string_view vrf = {});
std::uint32_t bucket_of(const Prefix6& p, std::string_view vrf = {});

// Wire form: 16,384 bytes.
std::string to_bytes(const BucketSums& sums);

}  // namespace dvr
