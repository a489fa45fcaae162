#include "lib/flat_lookup.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

namespace dvr::flat {
namespace {

// A table of about the Internet's size and shape for the measurement: six of seven root slots
// are leaves, the rest nodes of 64 ids.
struct Sample {
  std::vector<std::uint32_t> root;
  std::vector<std::uint8_t> nodes;
  std::vector<std::uint32_t> keys;

  Sample() : root(std::size_t{1} << kRootBits<Prefix4>), nodes(kNodes + 4), keys(1u << 12) {
    std::uint32_t random = 1;
    const auto next = [&random] {
      random = random * 1664525 + 1013904223;
      return random >> 8;
    };
    for (std::uint32_t& w : root) {
      const std::uint32_t r = next();
      w = r % 7 != 0 ? 1 + r % 200 : node_word(kBytes, 6, r % (kNodes / 64) * 16);
    }
    for (std::uint32_t& k : keys) k = next() << 16 ^ next();
  }

 private:
  static constexpr std::uint32_t kNodes = 1u << 20;
};

// A path of wider vectors stays unless a narrower one takes less than 7/8 of its time: what
// others do to the processor meanwhile decides less than that.
Path measure() {
  using Clock = std::chrono::steady_clock;
  const auto sample = std::make_unique<Sample>();
  const View view{sample->root.data(), sample->nodes.data()};
  std::vector<std::uint32_t> out(sample->keys.size());
  std::array<Clock::duration, kPaths.size()> least;
  least.fill(Clock::duration::max());
  constexpr std::size_t kBatch = 128;
  for (int round = 0; round < 15; ++round) {
    for (const Path path : kPaths) {
      if (!supported(path)) continue;
      const auto start = Clock::now();
      for (std::size_t i = 0; i < out.size(); i += kBatch) {
        lookup4(path, view, &sample->keys[i], &out[i], kBatch, 0);
      }
      Clock::duration& l = least[static_cast<std::size_t>(path)];
      l = std::min(l, Clock::now() - start);
    }
  }
  std::size_t best = kPaths.size() - 1;
  while (!supported(kPaths[best])) --best;
  for (std::size_t i = best; i-- > 0;) {
    if (supported(kPaths[i]) && least[i] < least[best] / 8 * 7) best = i;
  }
  return kPaths[best];
}

}  // namespace

std::string_view name_of(Path path) {
  constexpr std::array<std::string_view, kPaths.size()> kNames{"portable", "avx2", "avx512"};
  return kNames[static_cast<std::size_t>(path)];
}

bool supported([[maybe_unused]] Path path) {
#if defined(__x86_64__)
  switch (path) {
    case Path::kPortable:
      return true;
    case Path::kAvx2:
      return __builtin_cpu_supports("avx2");
    case Path::kAvx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
#endif
  return path == Path::kPortable;
}

Path best_path() {
  static const Path path = measure();
  return path;
}

bool lookup4(Path path, const View& view, const std::uint32_t* a, std::uint32_t* out, std::size_t n,
             std::uint32_t fallback) {
  switch (path) {
#if defined(__x86_64__)
    case Path::kAvx512:
      return avx512::lookup4(view, a, out, n, fallback);
    case Path::kAvx2:
      return avx2::lookup4(view, a, out, n, fallback);
#endif
    default:
      return portable::lookup4(view, a, out, n, fallback);
  }
}

bool lookup6(Path path, Order order, const View& view, const void* a, std::uint32_t* out,
             std::size_t n, std::uint32_t fallback) {
  switch (path) {
#if defined(__x86_64__)
    case Path::kAvx512:
      return avx512::lookup6(order, view, a, out, n, fallback);
    case Path::kAvx2:
      return avx2::lookup6(order, view, a, out, n, fallback);
#endif
    default:
      return portable::lookup6(order, view, a, out, n, fallback);
  }
}

}  // namespace dvr::flat
