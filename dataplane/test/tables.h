// Tables for the tests: a slow model, random prefixes, tables shaped like the Internet's.
#pragma once

#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "lib/hit.h"
#include "lib/prefix.h"

namespace dvr::test {

using Random = std::mt19937_64;

inline std::size_t below(Random& r, std::size_t n) { return static_cast<std::size_t>(r() % n); }

template <class A>
A random_address(Random& r) {
  if constexpr (sizeof(A) == 4) {
    return static_cast<A>(r());
  } else {
    return static_cast<A>(r()) << 64 | r();
  }
}

template <class P>
P cut(typename P::Address a, int length) {
  return {static_cast<typename P::Address>(a & mask_of<typename P::Address>(length)),
          static_cast<std::uint8_t>(length)};
}

// Model is the longest match by trying every length, longest first.
template <class P>
class Model {
 public:
  void set(const P& p, std::uint32_t id) { entries_[p] = id; }
  void erase(const P& p) { entries_.erase(p); }
  [[nodiscard]] const std::map<P, std::uint32_t>& entries() const { return entries_; }

  [[nodiscard]] Hit lookup(typename P::Address a, int longest = P::kWidth) const {
    for (int length = longest; length >= 0; --length) {
      const auto it = entries_.find(cut<P>(a, length));
      if (it != entries_.end()) return {it->second, static_cast<std::uint8_t>(length)};
    }
    return {};
  }
  // What covers p when it is not there.
  [[nodiscard]] Hit cover(const P& p) const {
    return p.length == 0 ? Hit{} : lookup(p.address, p.length - 1);
  }
  P pick(Random& r) const {
    auto it = entries_.lower_bound(P{random_address<typename P::Address>(r), 0});
    if (it == entries_.end()) it = entries_.begin();
    return it->first;
  }

 private:
  std::map<P, std::uint32_t> entries_;
};

// Addresses where an answer may change: the first and last of a prefix and their neighbours.
template <class P>
std::vector<typename P::Address> edges(const P& p) {
  using A = typename P::Address;
  const A last = static_cast<A>(p.address | static_cast<A>(~mask_of<A>(p.length)));
  return {p.address, last, static_cast<A>(p.address - 1), static_cast<A>(last + 1),
          static_cast<A>(p.address + (last - p.address) / 2)};
}

// The prefixes of a text file, one a line; empty when there is none.
std::vector<Prefix> read_table(const char* path);

// The tables of the environment's DVR_PREFIXES4 and DVR_PREFIXES6 or, without
// them, synthetic ones of the same size and shape of lengths, nested alike.
std::vector<Prefix4> internet4(std::size_t n = 901899);
std::vector<Prefix6> internet6(std::size_t n = 160147);

}  // namespace dvr::test
