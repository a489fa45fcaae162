// Addresses and prefixes.
//
// IPv4 addresses are host-order u32, IPv6 addresses host-order 128-bit values:
// the first address bit is the most significant. A prefix is canonical when
// the bits behind its length are zero; every prefix in the library is.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dvr {

__extension__ typedef unsigned __int128 u128;

// U128 from and to 16 bytes in network order. `bytes` needs no alignment.
u128 load_u128(const void* bytes);
void store_u128(u128 value, void* bytes);

// Count of leading zero bits, 128 for 0.
constexpr int leading_zeros(u128 v) {
  const auto hi = static_cast<std::uint64_t>(v >> 64);
  return hi != 0 ? std::countl_zero(hi) : 64 + std::countl_zero(static_cast<std::uint64_t>(v));
}
constexpr int leading_zeros(std::uint32_t v) { return std::countl_zero(v); }

// The mask of a prefix length, 0 <= length <= width of T.
template <class T>
constexpr T mask_of(int length) {
  constexpr int kWidth = static_cast<int>(sizeof(T) * 8);
  return length == 0 ? T{0} : static_cast<T>(static_cast<T>(~T{0}) << (kWidth - length));
}

// BasicPrefix is an address of T and a length; ordered by address, then length.
template <class T>
struct BasicPrefix {
  static constexpr int kWidth = static_cast<int>(sizeof(T) * 8);
  using Address = T;

  T address = 0;
  std::uint8_t length = 0;

  [[nodiscard]] constexpr bool canonical() const {
    return length <= kWidth && (address & ~mask_of<T>(length)) == 0;
  }
  [[nodiscard]] constexpr bool contains(T a) const {
    return ((a ^ address) & mask_of<T>(length)) == 0;
  }
  friend constexpr bool operator==(const BasicPrefix& a, const BasicPrefix& b) {
    return a.address == b.address && a.length == b.length;
  }
  friend constexpr bool operator<(const BasicPrefix& a, const BasicPrefix& b) {
    return a.address != b.address ? a.address < b.address : a.length < b.length;
  }
};
using Prefix4 = BasicPrefix<std::uint32_t>;
using Prefix6 = BasicPrefix<u128>;

// Address is either family; `bits` holds IPv4 in its low 32 bits.
struct Address {
  std::uint8_t family = 0;  // 4, 6; 0: none
  u128 bits = 0;

  static constexpr Address v4(std::uint32_t a) { return {4, a}; }
  static constexpr Address v6(u128 a) { return {6, a}; }
  [[nodiscard]] constexpr std::uint32_t as_v4() const { return static_cast<std::uint32_t>(bits); }
  friend constexpr bool operator==(const Address& a, const Address& b) {
    return a.family == b.family && a.bits == b.bits;
  }
};

// Prefix is either family.
struct Prefix {
  Address address;
  std::uint8_t length = 0;

  static constexpr Prefix of(const Prefix4& p) { return {Address::v4(p.address), p.length}; }
  static constexpr Prefix of(const Prefix6& p) { return {Address::v6(p.address), p.length}; }
  friend constexpr bool operator==(const Prefix& a, const Prefix& b) {
    return a.address == b.address && a.length == b.length;
  }
};

// Text. Formatting follows RFC 5952 (lower case, longest zero run, the first
// of equals, never one group; IPv4-mapped addresses with dots). Parsing takes every RFC 4291
// form without zone, and strict dotted quads (no leading zeros).
std::string to_string(const Address& a);
std::string to_string(const Prefix& p);
inline std::string to_string(const Prefix4& p) { return to_string(Prefix::of(p)); }
inline std::string to_string(const Prefix6& p) { return to_string(Prefix::of(p)); }
std::optional<Address> parse_address(std::string_view text);
// Needs "/length" and a canonical address.
std::optional<Prefix> parse_prefix(std::string_view text);

// Address from 4 or 16 bytes in network order; other sizes: none.
std::optional<Address> address_from_bytes(std::string_view bytes);
// 4 or 16 bytes in network order; empty for no address.
std::string to_bytes(const Address& a);

}  // namespace dvr
