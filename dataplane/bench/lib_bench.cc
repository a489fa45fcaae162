// Google Benchmark of the small parts.
#include <benchmark/benchmark.h>

#include "lib/digest.h"
#include "lib/engine.h"
#include "lib/epoch.h"
#include "lib/group.h"
#include "test/tables.h"

namespace {

using namespace dvr;

void PrefixItem(benchmark::State& state) {
  Prefix4 p{0x0a000000, 24};
  const ClassId id{};
  Digest sum;
  for (auto _ : state) {
    sum += prefix_item(p, id);
    p.address += 256;
  }
  benchmark::DoNotOptimize(sum);
}
BENCHMARK(PrefixItem);

void EpochGuard(benchmark::State& state) {
  const Epoch epoch;
  for (auto _ : state) {
    const Epoch::Guard guard(epoch);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(EpochGuard);

void ChooseHop(benchmark::State& state) {
  std::vector<NextHop> hops(static_cast<std::size_t>(state.range(0)));
  for (std::size_t i = 0; i < hops.size(); ++i) {
    hops[i].address = Address::v4(static_cast<std::uint32_t>(i));
  }
  std::uint64_t flow = 1;
  for (auto _ : state) benchmark::DoNotOptimize(choose_hop(hops, flow += 0x9e3779b97f4a7c15ULL));
}
BENCHMARK(ChooseHop)->Arg(1)->Arg(2)->Arg(8)->Arg(64);

// A default route above a full table comes and goes.
void DefaultRoute(benchmark::State& state) {
  Epoch epoch;
  Engine4 engine(&epoch, std::size_t{1} << 30);
  for (const Prefix4& p : test::internet4(100000)) engine.set(p, 1);
  for (auto _ : state) {
    engine.set({0, 0}, 2);
    engine.erase({0, 0}, {});
  }
}
BENCHMARK(DefaultRoute);

void Slash12(benchmark::State& state) {
  Epoch epoch;
  Engine4 engine(&epoch, std::size_t{1} << 30);
  for (const Prefix4& p : test::internet4(100000)) engine.set(p, 1);
  for (auto _ : state) {
    engine.set({0x0a000000, 12}, 2);
    engine.erase({0x0a000000, 12}, {});
  }
}
BENCHMARK(Slash12);

}  // namespace
