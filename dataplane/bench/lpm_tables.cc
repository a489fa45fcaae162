#include "bench/lpm_tables.h"

#include <algorithm>
#include <fstream>
#include <random>
#include <sstream>

#include "lib/digest.h"

namespace dvr::bench {
namespace {

using Random = std::mt19937_64;

template <class A>
A random_address(Random& r) {
  if constexpr (sizeof(A) == 4) {
    return static_cast<A>(r());
  } else {
    return static_cast<A>(r()) << 64 | r();
  }
}

// The Zipf(1) distribution over 1...n.
class Zipf {
 public:
  explicit Zipf(std::size_t n) : sums_(n) {
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) sums_[i] = sum += 1.0 / static_cast<double>(i + 1);
  }
  // 0 <= u < 1.
  [[nodiscard]] std::size_t at(double u) const {
    const auto it = std::lower_bound(sums_.begin(), sums_.end(), u * sums_.back());
    return static_cast<std::size_t>(std::min(it, sums_.end() - 1) - sums_.begin());
  }

 private:
  std::vector<double> sums_;
};

double unit(std::uint64_t v) { return static_cast<double>(v >> 11) * 0x1.0p-53; }

template <class P>
bool to_family(const Prefix& p, P* out) {
  if (p.address.family != (P::kWidth == 32 ? 4 : 6)) return false;
  if constexpr (P::kWidth == 32) {
    *out = {p.address.as_v4(), p.length};
  } else {
    *out = {p.address.bits, p.length};
  }
  return true;
}

class Chooser {
 public:
  explicit Chooser(const NextHops& hops) : hops_(hops), zipf_(hops.count) {}

  std::uint32_t operator()(const std::string& of) {
    if (!hops_.by_origin) return 1 + static_cast<std::uint32_t>(random_() % hops_.count);
    return 1 + static_cast<std::uint32_t>(zipf_.at(unit(murmur3(of.data(), of.size()).lo)));
  }

 private:
  NextHops hops_;
  Zipf zipf_;
  Random random_{7};
};

}  // namespace

const char* name_of(Keys keys) {
  switch (keys) {
    case Keys::kUniform:
      return "a";
    case Keys::kPrefixes:
      return "b";
    default:
      return "c";
  }
}

template <class P>
std::vector<Route<P>> read_routes(const std::string& directory, const NextHops& hops) {
  std::vector<Route<P>> out;
  std::ifstream in(directory + (P::kWidth == 32 ? "/prefixes4.txt" : "/prefixes6.txt"));
  Chooser choose(hops);
  std::string prefix, origin;
  while (in >> prefix >> origin) {
    const auto parsed = parse_prefix(prefix);
    P p;
    if (!parsed || !to_family(*parsed, &p)) continue;
    if (origin == "0") {
      // Nobody knows the origin: by the /16, or the /32.
      constexpr int kBlock = P::kWidth == 32 ? 16 : 32;
      origin = to_string(
          P{static_cast<typename P::Address>(p.address & mask_of<typename P::Address>(kBlock)),
            kBlock});
    }
    out.push_back({p, choose(origin)});
  }
  return out;
}

template <class P>
std::vector<Route<P>> read_churn(const std::string& directory, const NextHops& hops) {
  std::vector<Route<P>> out;
  std::ifstream in(directory + "/churn.txt");
  Chooser choose(hops);
  std::string line;
  while (std::getline(in, line)) {
    std::istringstream words(line);
    std::string seconds, kind, prefix, peer, next_hop;
    words >> seconds >> kind >> prefix >> peer >> next_hop;
    const auto parsed = parse_prefix(prefix);
    P p;
    if (!parsed || !to_family(*parsed, &p)) continue;
    out.push_back({p, kind == "A" ? choose(next_hop) : 0});
  }
  return out;
}

template <class P>
std::vector<typename P::Address> make_keys(const std::vector<Route<P>>& routes, Keys keys,
                                           std::size_t n) {
  using A = typename P::Address;
  Random r(3);
  std::vector<A> out(n);
  const auto within = [&] {
    const P& p = routes[r() % routes.size()].prefix;
    return static_cast<A>(p.address | (random_address<A>(r) & ~mask_of<A>(p.length)));
  };
  switch (keys) {
    case Keys::kUniform:
      for (A& a : out) {
        a = random_address<A>(r);
        if (P::kWidth == 128) a = a >> 3 | A{1} << (P::kWidth - 3);
      }
      break;
    case Keys::kPrefixes:
      for (A& a : out) a = within();
      break;
    case Keys::kSkewed: {
      std::vector<A> destinations(std::size_t{1} << 20);
      for (A& a : destinations) a = within();
      const Zipf zipf(destinations.size());
      for (A& a : out) a = destinations[zipf.at(unit(r()))];
      break;
    }
  }
  return out;
}

template std::vector<Route<Prefix4>> read_routes(const std::string&, const NextHops&);
template std::vector<Route<Prefix6>> read_routes(const std::string&, const NextHops&);
template std::vector<Route<Prefix4>> read_churn(const std::string&, const NextHops&);
template std::vector<Route<Prefix6>> read_churn(const std::string&, const NextHops&);
template std::vector<std::uint32_t> make_keys(const std::vector<Route<Prefix4>>&, Keys,
                                              std::size_t);
template std::vector<u128> make_keys(const std::vector<Route<Prefix6>>&, Keys, std::size_t);

}  // namespace dvr::bench
