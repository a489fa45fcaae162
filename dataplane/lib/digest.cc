#include "lib/digest.h"

#include <cstring>

namespace dvr {
namespace {

std::uint64_t rotl(std::uint64_t x, int r) { return std::rotl(x, r); }

std::uint64_t load64(const unsigned char* p) {
  std::uint64_t v;
  std::memcpy(&v, p, 8);
  if constexpr (std::endian::native == std::endian::big) v = __builtin_bswap64(v);
  return v;
}

std::uint64_t final_mix(std::uint64_t k) {
  k ^= k >> 33;
  k *= 0xff51afd7ed558ccdULL;
  k ^= k >> 33;
  k *= 0xc4ceb9fe1a85ec53ULL;
  return k ^ k >> 33;
}

constexpr std::uint64_t kC1 = 0x87c37b91114253d5ULL;
constexpr std::uint64_t kC2 = 0x4cf5ad432745937fULL;

void put64(std::uint64_t v, char* out) {
  for (int i = 0; i < 8; ++i) out[i] = static_cast<char>(v >> (8 * i));
}

std::string hex_of(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string s;
  s.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    s += kDigits[static_cast<unsigned char>(c) >> 4];
    s += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return s;
}

constexpr std::size_t kPrefixFixed = 1 + 1 + 1 + 16 + 16;

// The fixed part of a prefix item.
void put_prefix(const Prefix4& p, const ClassId& id, unsigned char* out) {
  out[0] = 1;
  out[1] = 4;
  out[2] = p.length;
  for (int i = 0; i < 4; ++i) out[3 + i] = static_cast<unsigned char>(p.address >> (24 - 8 * i));
  std::memset(out + 7, 0, 12);
  std::memcpy(out + 19, id.bytes.data(), 16);
}

void put_prefix(const Prefix6& p, const ClassId& id, unsigned char* out) {
  out[0] = 1;
  out[1] = 6;
  out[2] = p.length;
  store_u128(p.address, out + 3);
  std::memcpy(out + 19, id.bytes.data(), 16);
}

template <class P>
Digest item_of(const P& p, const ClassId& id, std::string_view vrf) {
  if (vrf.empty()) {
    unsigned char item[kPrefixFixed];
    put_prefix(p, id, item);
    return murmur3(item, sizeof item);
  }
  std::string item(kPrefixFixed, '\0');
  put_prefix(p, id, reinterpret_cast<unsigned char*>(item.data()));
  item += vrf;
  return murmur3(item.data(), item.size());
}

}  // namespace

std::string Digest::bytes() const {
  char b[16];
  put64(lo, b);
  put64(hi, b + 8);
  return {b, 16};
}

std::string Digest::hex() const { return hex_of(bytes()); }

std::optional<Digest> Digest::from_bytes(std::string_view bytes) {
  if (bytes.size() != 16) return std::nullopt;
  const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
  return Digest{load64(p), load64(p + 8)};
}

std::string ClassId::hex() const { return hex_of(view()); }

std::optional<ClassId> ClassId::from_bytes(std::string_view b) {
  if (b.size() != 16) return std::nullopt;
  ClassId id;
  std::memcpy(id.bytes.data(), b.data(), 16);
  return id;
}

Digest murmur3(const void* data, std::size_t size, std::uint32_t seed) {
  const auto* p = static_cast<const unsigned char*>(data);
  std::uint64_t h1 = seed, h2 = seed;
  std::size_t left = size;
  for (; left >= 16; left -= 16, p += 16) {
    h1 ^= rotl(load64(p) * kC1, 31) * kC2;
    h1 = (rotl(h1, 27) + h2) * 5 + 0x52dce729;
    h2 ^= rotl(load64(p + 8) * kC2, 33) * kC1;
    h2 = (rotl(h2, 31) + h1) * 5 + 0x38495ab5;
  }
  if (left > 0) {
    unsigned char tail[16] = {};
    std::memcpy(tail, p, left);
    if (left > 8) h2 ^= rotl(load64(tail + 8) * kC2, 33) * kC1;
    h1 ^= rotl(load64(tail) * kC1, 31) * kC2;
  }
  h1 ^= size;
  h2 ^= size;
  h1 += h2;
  h2 += h1;
  h1 = final_mix(h1);
  h2 = final_mix(h2);
  h1 += h2;
  h2 += h1;
  return {h1, h2};
}

Digest prefix_item(const Prefix4& p, const ClassId& id, std::string_view vrf) {
  return item_of(p, id, vrf);
}

Digest prefix_item(const Prefix6& p, const ClassId& id, std::string_view vrf) {
  return item_of(p, id, vrf);
}

Digest prefix_item(const Prefix& p, const ClassId& id, std::string_view vrf) {
  return p.address.family == 4 ? item_of(Prefix4{p.address.as_v4(), p.length}, id, vrf)
                               : item_of(Prefix6{p.address.bits, p.length}, id, vrf);
}

Digest group_item(const ClassId& id, std::span<const NextHop> hops) {
  std::string item(1, '\x02');
  item += id.view();
  item += static_cast<char>(hops.size() & 255u);
  item += static_cast<char>(hops.size() >> 8 & 255u);
  for (const NextHop& hop : hops) append_hop_bytes(hop, &item);
  return murmur3(item.data(), item.size());
}

std::uint32_t bucket_of(const Prefix4& p, std::string_view vrf) {
  return static_cast<std::uint32_t>(item_of(p, ClassId{}, vrf).lo % kBuckets);
}

std::uint32_t bucket_of(const Prefix6& p, std::string_view vrf) {
  return static_cast<std::uint32_t>(item_of(p, ClassId{}, vrf).lo % kBuckets);
}

std::string to_bytes(const BucketSums& sums) {
  std::string s;
  s.reserve(kBuckets * 16);
  for (const Digest& d : sums) s += d.bytes();
  return s;
}

}  // namespace dvr
