#include "sinks/xdp/buckets.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace dvr::xdp {
namespace {

std::uint64_t mixed(std::uint64_t h) {
  h ^= h >> 32;
  h *= 0x9e3779b97f4a7c15ULL;
  h ^= h >> 32;
  h *= 0xd6e8feb86659fd93ULL;
  return h ^ (h >> 32);
}

// The larger, the more the bucket is the member's.
double score(const Member& m, std::size_t bucket) {
  const double u = (static_cast<double>(mixed(m.seed ^ mixed(bucket + 1)) >> 11) + 0.5) * 0x1p-53;
  return m.weight / -std::log(u);
}

// How many buckets each has: by the largest remainders, nobody without one.
std::vector<std::size_t> shares(std::span<const Member> members, std::size_t buckets) {
  std::uint64_t total = 0;
  for (const Member& m : members) total += m.weight;
  std::vector<std::size_t> share(members.size());
  std::vector<std::pair<std::uint64_t, std::size_t>> remainders;
  std::size_t given = 0;
  for (std::size_t i = 0; i < members.size(); ++i) {
    const std::uint64_t exact = std::uint64_t{members[i].weight} * buckets;
    share[i] = std::max<std::size_t>(1, exact / total);
    given += share[i];
    remainders.emplace_back(exact % total, i);
  }
  std::sort(remainders.begin(), remainders.end(), [&](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : members[a.second].seed < members[b.second].seed;
  });
  for (std::size_t i = 0; given < buckets; i = (i + 1) % members.size(), ++given) {
    ++share[remainders[i].second];
  }
  for (; given > buckets; --given) --*std::max_element(share.begin(), share.end());
  return share;
}

}  // namespace

int bucket_bits(std::size_t members) {
  return std::clamp(static_cast<int>(std::bit_width(members * 32 - 1)), 6, 11);
}

std::vector<std::uint8_t> deal(std::span<const Member> members, int bits) {
  const std::size_t buckets = std::size_t{1} << bits;
  std::vector<std::size_t> left = shares(members, buckets);
  std::vector<std::uint8_t> owner(buckets);
  std::vector<std::size_t> refused;
  std::vector<std::vector<std::pair<double, std::size_t>>> chosen(members.size());
  for (std::size_t b = 0; b < buckets; ++b) {
    std::size_t best = 0;
    double most = -1;
    for (std::size_t m = 0; m < members.size(); ++m) {
      if (const double s = score(members[m], b); s > most) {
        most = s;
        best = m;
      }
    }
    chosen[best].emplace_back(most, b);
  }
  // Who is chosen more often than its share keeps the buckets that it wants most.
  for (std::size_t m = 0; m < members.size(); ++m) {
    auto& list = chosen[m];
    std::sort(list.begin(), list.end(), std::greater<>());
    const std::size_t kept = std::min(list.size(), left[m]);
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (i < kept) {
        owner[list[i].second] = static_cast<std::uint8_t>(m);
      } else {
        refused.push_back(list[i].second);
      }
    }
    left[m] -= kept;
  }
  std::sort(refused.begin(), refused.end());
  for (const std::size_t b : refused) {
    std::size_t best = 0;
    double most = -1;
    for (std::size_t m = 0; m < members.size(); ++m) {
      if (left[m] == 0) continue;
      if (const double s = score(members[m], b); s > most) {
        most = s;
        best = m;
      }
    }
    owner[b] = static_cast<std::uint8_t>(best);
    --left[best];
  }
  return owner;
}

}  // namespace dvr::xdp
