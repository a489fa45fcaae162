// Loads Internet-sized tables into a Fib and prints what it costs: time of a
// FULL delta in 256 KiB chunks, of the same again, memory, checkpoint, restart,
// lookups. DVR_PREFIXES4 and DVR_PREFIXES6 name text files of real prefixes.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>

#include "lib/fib.h"
#include "lib/fib_image.h"
#include "test/tables.h"

namespace {

using namespace dvr;
using Clock = std::chrono::steady_clock;

double since(Clock::time_point t) {
  return std::chrono::duration<double, std::milli>(Clock::now() - t).count();
}

double resident_mib() {
  std::ifstream in("/proc/self/statm");
  double total = 0, resident = 0;
  in >> total >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

constexpr std::uint32_t kClasses = 4096;

ClassId class_id(std::uint32_t n) {
  return ClassId::from_bytes(murmur3(&n, sizeof n).bytes()).value();
}

bool send(Fib* fib, const std::vector<Prefix4>& v4, const std::vector<Prefix6>& v6) {
  bool ok = fib->begin(DeltaKind::kFull).ok();
  for (std::uint32_t c = 0; c < kClasses; ++c) {
    NextHop hop;
    hop.address = Address::v4(0x0a000000 + c);
    ok = fib->define_class(c, class_id(c), "").ok() && fib->set_group(c, {hop}).ok() && ok;
  }
  constexpr std::size_t kChunk = 28000;  // about 256 KiB of columns
  std::vector<std::uint32_t> a4, k;
  std::vector<u128> a6;
  std::vector<std::uint8_t> l;
  for (std::size_t i = 0; i < v4.size(); ++i) {
    a4.push_back(v4[i].address);
    l.push_back(v4[i].length);
    k.push_back(static_cast<std::uint32_t>(i * 2654435761u) % kClasses);
    if (a4.size() == kChunk || i + 1 == v4.size()) {
      ok = fib->set4(a4, l, k).ok() && ok;
      a4.clear();
      l.clear();
      k.clear();
    }
  }
  for (std::size_t i = 0; i < v6.size(); ++i) {
    a6.push_back(v6[i].address);
    l.push_back(v6[i].length);
    k.push_back(static_cast<std::uint32_t>(i * 2654435761u) % kClasses);
    if (a6.size() == kChunk / 2 || i + 1 == v6.size()) {
      ok = fib->set6(a6, l, k).ok() && ok;
      a6.clear();
      l.clear();
      k.clear();
    }
  }
  return fib->end({"log", 1, 1}, "n").ok() && ok;
}

template <class A, class F>
void lookups(const char* name, const std::vector<A>& keys, F one_pass) {
  double best = 0;
  std::uint64_t found = 0;
  for (int pass = 0; pass < 7; ++pass) {
    const auto start = Clock::now();
    found = one_pass(keys);
    best = std::max(best, static_cast<double>(keys.size()) / since(start) / 1000);
  }
  std::printf("lookup %-24s %7.1f M/s (%.0f%% found)\n", name, best,
              100.0 * static_cast<double>(found) / static_cast<double>(keys.size()));
}

}  // namespace

int main() {
  const double before = resident_mib();
  auto v4 = test::internet4();
  auto v6 = test::internet6();
  test::Random r(1);
  std::vector<std::uint32_t> uniform4(1 << 21), hits4(1 << 21);
  std::vector<u128> uniform6(1 << 20), hits6(1 << 20);
  for (auto& a : uniform4) a = test::random_address<std::uint32_t>(r);
  for (auto& a : hits4) {
    const Prefix4 p = v4[test::below(r, v4.size())];
    a = p.address | (test::random_address<std::uint32_t>(r) & ~mask_of<std::uint32_t>(p.length));
  }
  for (auto& a : uniform6) a = test::random_address<u128>(r) >> 3 | u128{1} << 125;
  for (auto& a : hits6) {
    const Prefix6 p = v6[test::below(r, v6.size())];
    a = p.address | (test::random_address<u128>(r) & ~mask_of<u128>(p.length));
  }
  const double inputs = resident_mib();

  Fib fib;
  auto start = Clock::now();
  bool ok = send(&fib, v4, v6);
  std::printf("full delta, %zu + %zu prefixes: %.0f ms\n", v4.size(), v6.size(), since(start));
  const double loaded = resident_mib();
  const Summary s = fib.summary();
  std::printf("resident: %.1f MiB for the FIB (process before %.1f, inputs %.1f)\n",
              loaded - inputs, before, inputs - before);
  std::printf("engines %.1f MiB, tables %.1f MiB\n",
              static_cast<double>(s.engine_bytes) / (1 << 20),
              static_cast<double>(s.table_bytes) / (1 << 20));
  start = Clock::now();
  ok = send(&fib, v4, v6) && ok;
  std::printf("the same again: %.0f ms\n", since(start));
  start = Clock::now();
  const auto sums = fib.buckets();
  std::printf("bucket sums: %.0f ms\n", since(start));
  start = Clock::now();
  const std::string image = encode_image(fib);
  std::printf("checkpoint image: %.0f ms, %.1f MiB\n", since(start),
              static_cast<double>(image.size()) / (1 << 20));
  {
    Fib copy;
    start = Clock::now();
    ok = load_image(image, &copy).ok() && copy.digest() == fib.digest() && ok;
    std::printf("load of the image: %.0f ms\n", since(start));
  }

  std::vector<std::uint32_t> hits(1 << 21);
  const auto count = [&hits](std::size_t n) {
    std::uint64_t found = 0;
    for (std::size_t i = 0; i < n; ++i) found += hits[i] != 0 ? 1 : 0;
    return found;
  };
  const auto batched4 = [&](const std::vector<std::uint32_t>& keys) {
    fib.find4(keys, hits);
    return count(keys.size());
  };
  const auto batched6 = [&](const std::vector<u128>& keys) {
    fib.find6(keys, hits);
    return count(keys.size());
  };
  lookups("v4 uniform, batched", uniform4, batched4);
  lookups("v4 in prefixes, batched", hits4, batched4);
  lookups("v4 in prefixes, single", hits4, [&](const std::vector<std::uint32_t>& keys) {
    std::uint64_t found = 0;
    for (const auto a : keys) found += fib.lookup4(a) ? 1 : 0;
    return found;
  });
  lookups("v6 uniform, batched", uniform6, batched6);
  lookups("v6 in prefixes, batched", hits6, batched6);
  lookups("v6 in prefixes, single", hits6, [&](const std::vector<u128>& keys) {
    std::uint64_t found = 0;
    for (const auto a : keys) found += fib.lookup6(a) ? 1 : 0;
    return found;
  });

  // Single updates: a prefix goes and comes back with another class.
  start = Clock::now();
  constexpr std::size_t kUpdates = 100000;
  ok = fib.begin(DeltaKind::kIncremental).ok() && fib.define_class(0, class_id(1), "").ok() && ok;
  const std::vector<std::uint32_t> zero = {0};
  for (std::size_t i = 0; i < kUpdates; ++i) {
    const Prefix4 p = v4[test::below(r, v4.size())];
    const std::vector<std::uint32_t> a = {p.address};
    const std::vector<std::uint8_t> l = {p.length};
    ok = fib.remove4(a, l).ok() && fib.set4(a, l, zero).ok() && ok;
  }
  ok = fib.end({"log", 1, 2}, "n").ok() && ok;
  std::printf("one removal and one set: %.2f us\n", since(start) * 1000 / kUpdates);
  start = Clock::now();
  ok = fib.begin(DeltaKind::kFull).ok() && fib.end({"log", 1, 3}, "n").ok() && ok;
  std::printf("removing all: %.0f ms\n", since(start));
  return ok ? 0 : 1;
}
