#include "test/tables.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <unordered_set>

namespace dvr::test {
namespace {

struct Share {
  int length;
  int per_mille;
};

// Lengths of the Internet's tables in 2026, rounded.
constexpr std::array<Share, 15> kShares4{{{8, 1},
                                          {12, 1},
                                          {14, 1},
                                          {15, 2},
                                          {16, 14},
                                          {17, 8},
                                          {18, 13},
                                          {19, 25},
                                          {20, 42},
                                          {21, 50},
                                          {22, 110},
                                          {23, 100},
                                          {24, 630},
                                          {28, 1},
                                          {32, 2}}};
constexpr std::array<Share, 14> kShares6{{{20, 1},
                                          {24, 2},
                                          {28, 4},
                                          {29, 40},
                                          {32, 130},
                                          {33, 20},
                                          {36, 50},
                                          {38, 10},
                                          {40, 110},
                                          {42, 15},
                                          {44, 80},
                                          {46, 30},
                                          {48, 500},
                                          {64, 8}}};

template <class P, class Shares>
std::vector<P> synthetic(std::size_t n, const Shares& shares, typename P::Address space,
                         int space_bits, std::size_t allocations, int allocation_bits) {
  using A = typename P::Address;
  Random r(42);
  // Longer prefixes lie within a limited number of allocations, so they nest and cluster.
  std::vector<A> allocated(allocations);
  for (A& a : allocated) {
    a = static_cast<A>((random_address<A>(r) >> space_bits) | space) & mask_of<A>(allocation_bits);
  }
  int total = 0;
  for (const Share& s : shares) total += s.per_mille;
  const auto hash = [](const P& p) {
    return std::hash<std::uint64_t>()(static_cast<std::uint64_t>(p.address >> (P::kWidth / 2)) *
                                          0x9e3779b97f4a7c15ULL ^
                                      static_cast<std::uint64_t>(p.address) ^ p.length);
  };
  std::unordered_set<P, decltype(hash)> seen(n * 2, hash);
  std::vector<P> out;
  out.reserve(n);
  while (out.size() < n) {
    int at = static_cast<int>(below(r, static_cast<std::size_t>(total)));
    std::size_t s = 0;
    while (at >= shares[s].per_mille) at -= shares[s++].per_mille;
    const A host = random_address<A>(r) & static_cast<A>(~mask_of<A>(allocation_bits));
    const P p = cut<P>(static_cast<A>(allocated[below(r, allocations)] | host), shares[s].length);
    if (seen.insert(p).second) {
      out.push_back(p);
    } else if (below(r, 4) == 0) {
      allocated[below(r, allocations)] =
          static_cast<A>((random_address<A>(r) >> space_bits) | space) &
          mask_of<A>(allocation_bits);
    }
  }
  return out;
}

}  // namespace

std::vector<Prefix> read_table(const char* path) {
  std::vector<Prefix> out;
  if (path == nullptr) return out;
  std::ifstream in(path);
  std::string word;
  while (in >> word) {
    if (const auto p = parse_prefix(word)) out.push_back(*p);
  }
  return out;
}

std::vector<Prefix4> internet4(std::size_t n) {
  std::vector<Prefix4> out;
  for (const Prefix& p : read_table(std::getenv("DVR_PREFIXES4"))) {
    if (p.address.family == 4) out.push_back({p.address.as_v4(), p.length});
  }
  if (out.empty()) return synthetic<Prefix4>(n, kShares4, 0, 0, 40000, 14);
  if (out.size() > n) out.resize(n);
  return out;
}

std::vector<Prefix6> internet6(std::size_t n) {
  std::vector<Prefix6> out;
  for (const Prefix& p : read_table(std::getenv("DVR_PREFIXES6"))) {
    if (p.address.family == 6) out.push_back({p.address.bits, p.length});
  }
  if (out.empty()) {
    return synthetic<Prefix6>(n, kShares6, static_cast<u128>(1) << 125, 3, 30000, 32);
  }
  if (out.size() > n) out.resize(n);
  return out;
}

}  // namespace dvr::test
