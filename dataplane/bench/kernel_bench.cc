// What the kernel sink costs, beside `ip -batch` in the same run, on one million IPv4 and a
// quarter of IPv6 prefixes of one class in a network namespace of its own; then the Internet's
// table of 64 classes (DVR_PREFIXES4, DVR_PREFIXES6; else synthetic ones alike). Needs root.
//
//   kernel_bench [prefixes4 [prefixes6]]      with arguments the Internet's table is left out
//
// Prints one line a figure: name, value, unit, and what it must be; the status is 1 where one is
// missed. The sink runs as with --tune-kernel.
#include <sys/wait.h>

#include <cmath>

#include "test/kernel/scene.h"
#include "test/tables.h"

namespace {

using namespace dvr;
using namespace dvr::kernel::test;
using Clock = std::chrono::steady_clock;

double since(Clock::time_point t) {
  return std::chrono::duration<double>(Clock::now() - t).count();
}

bool missed = false;

enum class Must { kNothing, kAtLeast, kAtMost };

void print(const char* name, double value, const char* unit, Must must = Must::kNothing,
           double limit = 0) {
  std::printf("%-28s %10.2f %-10s", name, value, unit);
  if (must != Must::kNothing) {
    const bool good = must == Must::kAtLeast ? value >= limit : value <= limit;
    missed |= !good;
    std::printf(" %s %.2f%s", must == Must::kAtLeast ? "at least" : "at most", limit,
                good ? "" : "  MISSED");
  }
  std::printf("\n");
  std::fflush(stdout);
}

Prefix4 prefix4(std::size_t i) { return {static_cast<std::uint32_t>((0x010000u + i) << 8), 24}; }
Prefix6 prefix6(std::size_t i) {
  return {(u128{0x20010000u} + (i >> 16)) << 96 | u128{i & 0xffff} << 80, 48};
}

void tune() {
  const Status status = KernelTuning::set_fast_groups();
  if (!status.ok()) std::printf("# %s\n", status.message().c_str());
}

// `ip -force -batch` in a namespace of its own; seconds.
double ip_batch(std::size_t n) {
  const std::string file = "/tmp/dvr-kernel-bench-" + std::to_string(::getpid());
  FILE* const out = std::fopen(file.c_str(), "w");
  for (std::size_t i = 0; i < n; ++i) {
    std::fprintf(out, "route add %s via 10.0.0.2 dev w0 proto 68 metric 70\n",
                 to_string(prefix4(i)).c_str());
  }
  std::fclose(out);
  double seconds = 0;
  int result[2];
  if (::pipe(result) != 0) return NAN;
  const pid_t child = ::fork();
  if (child == 0) {
    enter_namespace();
    tune();
    const auto start = Clock::now();
    must("ip -force -batch " + file);
    seconds = since(start);
    [[maybe_unused]] const ssize_t w = ::write(result[1], &seconds, sizeof seconds);
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
  [[maybe_unused]] const ssize_t r = ::read(result[0], &seconds, sizeof seconds);
  ::unlink(file.c_str());
  return seconds;
}

// A table of some classes, in the order of its prefixes.
constexpr std::uint32_t kClasses = 64;

template <class P>
void fill(Router& router, const std::vector<P>& prefixes, std::uint32_t first_class) {
  constexpr std::size_t kChunk = 14000;
  std::vector<typename P::Address> addresses;
  std::vector<std::uint32_t> classes;
  std::vector<std::uint8_t> lengths;
  for (std::size_t i = 0; i < prefixes.size(); ++i) {
    addresses.push_back(prefixes[i].address);
    lengths.push_back(prefixes[i].length);
    classes.push_back(first_class + static_cast<std::uint32_t>(i * 2654435761u >> 7) % kClasses);
    if (addresses.size() < kChunk && i + 1 < prefixes.size()) continue;
    if constexpr (P::kWidth == 32) {
      EXPECT_TRUE(router.fib.set4(addresses, lengths, classes).ok());
    } else {
      EXPECT_TRUE(router.fib.set6(addresses, lengths, classes).ok());
    }
    addresses.clear();
    lengths.clear();
    classes.clear();
  }
}

template <class F>
double timed(F f) {
  const auto start = Clock::now();
  f();
  return since(start);
}

void fill(Router& router, std::size_t n4, std::size_t n6) {
  constexpr std::size_t kChunk = 28000;
  std::vector<std::uint32_t> a4, k;
  std::vector<u128> a6;
  std::vector<std::uint8_t> l;
  for (std::size_t i = 0; i < n4; i += kChunk) {
    a4.clear();
    for (std::size_t j = i; j < std::min(n4, i + kChunk); ++j) a4.push_back(prefix4(j).address);
    l.assign(a4.size(), 24);
    k.assign(a4.size(), 1);
    EXPECT_TRUE(router.fib.set4(a4, l, k).ok());
  }
  for (std::size_t i = 0; i < n6; i += kChunk) {
    a6.clear();
    for (std::size_t j = i; j < std::min(n6, i + kChunk); ++j) a6.push_back(prefix6(j).address);
    l.assign(a6.size(), 48);
    k.assign(a6.size(), 2);
    EXPECT_TRUE(router.fib.set6(a6, l, k).ok());
  }
}

// The Internet's table; then somebody flushes our routes one by one with ip, which goes on to flush
// what is restored meanwhile until it gives up after half a minute.
void internet(Router& router) {
  constexpr std::uint32_t kFirst4 = 10, kFirst6 = kFirst4 + kClasses;
  const std::vector<Prefix4> four = dvr::test::internet4();
  const std::vector<Prefix6> six = dvr::test::internet6();
  Controller& c = router.controller;
  const double install = timed([&] {
    c.begin();
    for (std::uint32_t i = 0; i < kClasses; ++i) {
      const std::string last = std::to_string(i + 2);
      c.group(kFirst4 + i, {"10.0.0." + last + "%w0"});
      c.group(kFirst6 + i, {"fd00:1::" + last + "%w1"});
    }
    fill(router, four, kFirst4);
    fill(router, six, kFirst6);
    c.end();
  });
  const double million = static_cast<double>(four.size() + six.size()) / 1e6;
  print("full table", million, "M routes");
  print("full table installed in", install, "s");
  const auto flushed = [&](const char* what, const std::string& command) {
    const std::uint64_t before = router.sink->report().repaired;
    const auto start = Clock::now();
    int status = 0;
    const std::string said = run(command, &status);
    const double flush = since(start);
    eventually([&] { return router.sink->report().repaired > before && router.right(); },
               std::chrono::minutes(2));
    if (status != 0) std::printf("# %s: %s\n", what, said.substr(0, said.find('\n')).c_str());
    print((std::string(what) + " took").c_str(), flush, "s");
    print("  true again after its end", since(start) - flush, "s", Must::kAtMost, install / 0.8);
    print("  routes restored", static_cast<double>(router.sink->report().repaired - before) / 1e6,
          "M");
  };
  flushed("ip nexthop flush", "ip nexthop flush proto 68");
  flushed("ip -6 route flush", "ip -6 route flush proto 68");
  flushed("ip route flush", "ip -4 route flush proto 68");
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t n4 = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1'000'000;
  const std::size_t n6 = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 250'000;
  const bool internet_too = argc <= 1;
  const double million4 = static_cast<double>(n4) / 1e6, million6 = static_cast<double>(n6) / 1e6;
  const double batch = ip_batch(n4);
  if (const std::string why = enter_namespace(); !why.empty()) {
    std::printf("# skipped: %s\n", why.c_str());
    return 0;
  }
  tune();
  Router router;
  Controller& c = router.controller;
  if (!router.sink) return 1;
  const double install4 = timed([&] {
    c.begin(DeltaKind::kFull).group(1, {"10.0.0.2%w0", "10.0.1.2%w1"});
    fill(router, n4, 0);
    c.end();
  });
  const double install6 = timed([&] {
    c.begin().group(1, {"10.0.0.2%w0", "10.0.1.2%w1"}).group(2, {"fd00:0::2%w0", "fd00:1::2%w1"});
    fill(router, 0, n6);
    c.end();
  });
  if (!router.right()) {
    std::printf("# the sink failed: %s\n", router.sink->report().failures.empty()
                                               ? "?"
                                               : router.sink->report().failures[0].reason.c_str());
    return 1;
  }
  print("ip -batch v4", million4 / batch, "M routes/s");
  print("install v4", million4 / install4, "M routes/s");
  print("install v4 / ip -batch", batch / install4, "x", Must::kAtLeast, 2.5);
  print("install v6", million6 / install6, "M routes/s");

  // Next hops change, all others stay: replaced in one step.
  std::vector<double> v4, v6, member;
  for (int i = 0; i < 5; ++i) {
    const char* const weight = i % 2 == 0 ? "10.0.0.2%w0*3" : "10.0.0.2%w0*2";
    v4.push_back(timed([&] { c.begin().group(1, {weight, "10.0.1.2%w1"}).end(); }));
    const char* const weight6 = i % 2 == 0 ? "fd00:0::2%w0*3" : "fd00:0::2%w0*2";
    v6.push_back(timed([&] { c.begin().group(2, {weight6, "fd00:1::2%w1"}).end(); }));
  }
  for (int i = 0; i < 5; ++i) {
    // One next hop dies, then comes back.
    member.push_back(timed([&] { c.begin().group(2, {"fd00:1::2%w1"}).end(); }));
    c.begin().group(2, {"fd00:0::2%w0", "fd00:1::2%w1"}).end();
  }
  const auto median = [](std::vector<double>& times) {
    std::sort(times.begin(), times.end());
    return times[times.size() / 2] * 1e3;
  };
  print("v4 group replaced", median(v4), "ms", Must::kAtMost, 5);
  print("v6 group replaced", median(v6), "ms");
  print("v6 member removed", median(member), "ms", Must::kAtMost, 5);

  std::vector<double> repairs;
  for (std::size_t i = 0; i < 20; ++i) {
    const std::uint64_t before = router.sink->report().repaired;
    // From before `ip` is started, so it contains that.
    repairs.push_back(timed([&] {
      must("ip route del " + to_string(prefix4(i * 1000)) + " proto 68 metric 70");
      eventually([&] { return router.sink->report().repaired > before; });
    }));
  }
  print("one repair, with ip's start", median(repairs), "ms", Must::kAtMost, 1000);

  // Somebody flushes next hops, and so all routes; both families are restored together, so the
  // rate is compared with both installs.
  const auto flushed = Clock::now();
  must("ip nexthop flush proto 68");
  const double flush = since(flushed);
  eventually([&] { return !router.right(); });
  const double noticed = since(flushed);
  eventually([&] { return router.right(); }, std::chrono::minutes(2));
  const double restored = since(flushed) - flush;
  print("foreign flush took", flush, "s");
  print("loss noticed after", noticed - flush, "s", Must::kAtMost, 1);
  print("restored", (million4 + million6) / restored, "M routes/s");
  print("restore / install", (install4 + install6) / restored, "x", Must::kAtLeast, 0.8);

  const double withdraw4 = timed([&] { c.begin().withdraw(1).end(); });
  const double withdraw6 = timed([&] { c.begin().withdraw(2).end(); });
  print("withdraw all v4", withdraw4, "s", Must::kAtMost, 0.5);
  print("withdraw all v6", withdraw6, "s");
  c.drain();
  if (internet_too) internet(router);
  return router.right() && !missed ? 0 : 1;
}
