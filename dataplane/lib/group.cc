#include "lib/group.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace dvr {
namespace {

constexpr std::size_t kWeightAt = 18;  // type, family, address before it

std::string hop_bytes(const NextHop& hop) {
  std::string s;
  append_hop_bytes(hop, &s);
  return s;
}

// Identity of a hop: its bytes without the weight.
std::string identity(std::string bytes) {
  bytes.erase(kWeightAt, 2);
  return bytes;
}

std::uint64_t mix(std::uint64_t k) {
  k ^= k >> 33;
  k *= 0xff51afd7ed558ccdULL;
  k ^= k >> 33;
  k *= 0xc4ceb9fe1a85ec53ULL;
  return k ^ k >> 33;
}

std::uint64_t hop_seed(const NextHop& hop) {
  std::uint64_t h = mix(static_cast<std::uint64_t>(hop.address.bits) + hop.address.family) ^
                    mix(static_cast<std::uint64_t>(hop.address.bits >> 64) + 1);
  for (const char c : hop.interface) h = mix(h + static_cast<unsigned char>(c));
  h = mix(h + 0x100);
  for (const char c : hop.via) h = mix(h + static_cast<unsigned char>(c));
  return h;
}

}  // namespace

void append_hop_bytes(const NextHop& hop, std::string* out) {
  char fixed[kWeightAt + 2] = {};
  fixed[0] = static_cast<char>(hop.type);
  fixed[1] = static_cast<char>(hop.address.family);
  if (hop.address.family != 0) {
    const std::string a = to_bytes(hop.address);
    std::memcpy(fixed + 2, a.data(), a.size());
  }
  fixed[kWeightAt] = static_cast<char>(hop.weight & 255u);
  fixed[kWeightAt + 1] = static_cast<char>(hop.weight >> 8);
  out->append(fixed, sizeof fixed);
  *out += static_cast<char>(hop.interface.size());
  *out += hop.interface;
  *out += static_cast<char>(hop.via.size());
  *out += hop.via;
}

void canonicalize(std::vector<NextHop>* hops) {
  if (hops->size() < 2) return;
  const NextHop::Type type =
      std::min_element(hops->begin(), hops->end(), [](const NextHop& a, const NextHop& b) {
        return a.type < b.type;
      })->type;
  std::erase_if(*hops, [type](const NextHop& h) { return h.type != type; });
  struct Keyed {
    std::string key;
    NextHop hop;
  };
  std::vector<Keyed> keyed;
  keyed.reserve(hops->size());
  for (NextHop& hop : *hops) keyed.push_back({identity(hop_bytes(hop)), std::move(hop)});
  std::sort(keyed.begin(), keyed.end(),
            [](const Keyed& a, const Keyed& b) { return a.key < b.key; });
  std::vector<Keyed> merged;
  for (Keyed& k : keyed) {
    if (!merged.empty() && merged.back().key == k.key) {
      const unsigned sum = unsigned{merged.back().hop.weight} + k.hop.weight;
      merged.back().hop.weight = static_cast<std::uint16_t>(std::min(sum, 65535u));
    } else {
      merged.push_back(std::move(k));
    }
  }
  for (Keyed& k : merged) k.key = hop_bytes(k.hop);
  std::sort(merged.begin(), merged.end(),
            [](const Keyed& a, const Keyed& b) { return a.key < b.key; });
  if (merged.size() > kMaxNextHops) merged.erase(merged.begin() + kMaxNextHops, merged.end());
  hops->clear();
  for (Keyed& k : merged) hops->push_back(std::move(k.hop));
}

std::size_t choose_hop(std::span<const NextHop> hops, std::uint64_t flow_hash) {
  if (hops.size() == 1) return 0;
  std::size_t best = 0;
  double best_score = -1;
  std::uint64_t best_seed = 0;
  for (std::size_t i = 0; i < hops.size(); ++i) {
    const std::uint64_t seed = hop_seed(hops[i]);
    // Uniform in (0, 1), of 53 bits; the score's distribution gives the weights.
    const double u = (static_cast<double>(mix(flow_hash ^ seed) >> 11) + 0.5) * 0x1p-53;
    const double score = hops[i].weight / -std::log(u);
    if (score > best_score || (score == best_score && seed < best_seed)) {
      best = i;
      best_score = score;
      best_seed = seed;
    }
  }
  return best;
}

}  // namespace dvr
