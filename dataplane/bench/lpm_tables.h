// Real tables, next hops and addresses of the lookup benchmark.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/prefix.h"

namespace dvr::bench {

template <class P>
struct Route {
  P prefix;
  std::uint32_t id;
};

// How next hops are given to routes.
struct NextHops {
  std::uint32_t count = 64;
  // By origin AS, Zipf(1), as dataplane/tables says; else at random, each route for itself.
  bool by_origin = true;
};

// The routes of DIRECTORY/prefixes4.txt or prefixes6.txt; empty when there is none.
template <class P>
std::vector<Route<P>> read_routes(const std::string& directory, const NextHops& hops);

// A change of the trace DIRECTORY/churn.txt; id 0: withdrawn.
template <class P>
std::vector<Route<P>> read_churn(const std::string& directory, const NextHops& hops);

// What addresses a benchmark asks for.
enum class Keys : std::uint8_t {
  kUniform,   // (a) anywhere; IPv6 within 2000::/3
  kPrefixes,  // (b) a random prefix, random bits behind it
  kSkewed,    // (c) 2^20 destinations of (b), Zipf(1)
};
inline constexpr Keys kAllKeys[] = {Keys::kUniform, Keys::kPrefixes, Keys::kSkewed};
const char* name_of(Keys keys);

template <class P>
std::vector<typename P::Address> make_keys(const std::vector<Route<P>>& routes, Keys keys,
                                           std::size_t n);

}  // namespace dvr::bench
