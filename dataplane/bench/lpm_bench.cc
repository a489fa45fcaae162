// The lookup engine against DPDK's rte_fib and rte_fib6 on full Internet tables, in one run,
// alternating every few milliseconds; medians, of ratios those of neighbours in time.
//
//   lpm_bench DIRECTORY    which has prefixes4.txt, prefixes6.txt and churn.txt
//
// Exit status: 1 where something that must be reached was missed, 2 where it could not run.
// Environment: LPM_PASSES (7), LPM_ONLY (4, 6, u: a part).
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <random>
#include <thread>

#include "bench/lpm_peer.h"
#include "bench/lpm_report.h"
#include "bench/lpm_roofline.h"
#include "bench/lpm_tables.h"
#include "lib/lpm_table.h"

namespace {

using namespace dvr;
using namespace dvr::bench;
using Clock = std::chrono::steady_clock;
using Better = Report::Better;

constexpr std::array<std::size_t, 3> kBatches{64, 128, 256};
constexpr double kMiB = 1 << 20;

double seconds_since(Clock::time_point t) {
  return std::chrono::duration<double>(Clock::now() - t).count();
}

// Of this thread, in seconds: who else was given the processor meanwhile does not count.
double cpu_now() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

int passes() {
  const char* e = std::getenv("LPM_PASSES");
  return e != nullptr ? std::max(1, std::atoi(e)) : 7;
}

bool chosen(char part) {
  const char* e = std::getenv("LPM_ONLY");
  return e == nullptr || std::string_view(e).find(part) != std::string_view::npos;
}

// The processors that the process may use.
std::vector<int> cpus() {
  std::vector<int> out;
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &set)) out.push_back(i);
  }
  return out;
}

void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

template <class P>
const char* family() {
  return P::kWidth == 32 ? "v4" : "v6";
}

// What looks up keys [first, end) in batches.
struct Contender {
  std::string name;
  std::function<void(std::size_t first, std::size_t end, std::size_t batch)> pass;
  std::vector<double> rates{};  // million a second, by slice

  [[nodiscard]] double rate() const { return median(rates); }
};

// Everyone in turn, slice by slice, so that what strangers do to the caches meets all alike.
// Who comes finds them full of what the one before needed. A forwarder runs one engine: the two
// slices before are looked up first, untimed, since fewer addresses leave nodes that nobody has
// touched yet.
template <class Touch>
void race(std::vector<Contender>* all, std::size_t keys, std::size_t batch, Touch touch) {
  constexpr std::size_t kSlice = std::size_t{1} << 19;
  for (Contender& c : *all) c.rates.clear();
  for (int pass = 0; pass < passes(); ++pass) {
    for (std::size_t first = 0; first < keys; first += kSlice) {
      for (Contender& c : *all) {
        for (std::size_t back = 2; back > 0; --back) {
          if (back == 1) touch(first, first + kSlice);
          const std::size_t before = (first + keys - back * kSlice) % keys;
          c.pass(before, before + kSlice, batch);
        }
        const double start = cpu_now();
        c.pass(first, first + kSlice, batch);
        c.rates.push_back(static_cast<double>(kSlice) / (cpu_now() - start) / 1e6);
      }
    }
  }
}

const Contender& named(const std::vector<Contender>& all, std::string_view name) {
  return *std::find_if(all.begin(), all.end(), [&](const Contender& c) { return c.name == name; });
}

// The median of what a is to the best of `others` in the same slice.
double ratio(const Contender& a, const std::vector<const Contender*>& others) {
  std::vector<double> out;
  for (std::size_t i = 0; i < a.rates.size(); ++i) {
    double best = 0;
    for (const Contender* c : others) best = std::max(best, c->rates[i]);
    out.push_back(a.rates[i] / best);
  }
  return median(out);
}

// Wanted ratios by kind of keys.
struct Bars {
  double must[3], aim[3];
};

template <class P>
class Lookups {
 public:
  Lookups(const std::string& directory, const NextHops& hops)
      : routes_(read_routes<P>(directory, hops)) {
    for (const auto& r : routes_) {
      if (!table_.set(r.prefix, r.id) || !peer_.set(r.prefix, r.id)) std::exit(2);
    }
    std::printf("\n%s, %zu routes, %u next hops %s; live %.2f MiB; best path %s; peer %s\n",
                family<P>(), routes_.size(), hops.count, hops.by_origin ? "by origin" : "at random",
                live(), std::string(flat::name_of(flat::best_path())).c_str(),
                peer_.vectorized() ? "with AVX-512" : "scalar");
  }

  [[nodiscard]] double live() const { return static_cast<double>(table_.engine().live()) / kMiB; }

  // False: an answer was wrong.
  bool run(const std::string& what, const Bars& bars, bool roofline, Report* report) {
    const Roofline roof(table_.engine().live(), kKeys);
    for (const Keys kind : kAllKeys) {
      make(kind);
      auto all = contenders(roof);
      for (const std::size_t batch : kBatches) {
        race(&all, kKeys, batch, [this](std::size_t first, std::size_t end) { touch(first, end); });
        if (!right()) return false;
        std::printf("  (%s) %3zu:", name_of(kind), batch);
        for (const Contender& c : all) std::printf("  %s %.0f", c.name.c_str(), c.rate());
        std::printf(" M/s\n");
        if (batch != 128) continue;
        const auto k = static_cast<std::size_t>(kind);
        const Contender& ours = named(all, "ours");
        if (bars.must[k] > 0) {
          report->add(what + " (" + name_of(kind) + ") against rte_fib",
                      ratio(ours, {&named(all, "rte_fib")}), "x", Better::kMore, bars.must[k],
                      bars.aim[k]);
        }
        if (roofline) {
          report->add(what + " (" + name_of(kind) + ") against random loads of the live bytes",
                      ratio(ours, {&named(all, "loads"), &named(all, "gathers")}), "x",
                      Better::kMore, 0.75, 0.9);
        }
      }
    }
    return true;
  }

 private:
  static constexpr std::size_t kKeys = std::size_t{1} << (P::kWidth == 32 ? 22 : 21);
  using Address = typename P::Address;

  void make(Keys kind) {
    keys_ = make_keys(routes_, kind, kKeys);
    want_.resize(kKeys);
    ids_.assign(kKeys, 0);
    peer_ids_.assign(kKeys, 0);
    for (std::size_t i = 0; i < kKeys; ++i) want_[i] = table_.engine().lookup(keys_[i]).id;
    if constexpr (P::kWidth == 128) {
      network_.resize(kKeys * 16);
      for (std::size_t i = 0; i < kKeys; ++i) store_u128(keys_[i], &network_[i * 16]);
    }
  }

  void find(flat::Path path, std::size_t first, std::size_t end, std::size_t batch) {
    for (std::size_t i = first; i < end; i += batch) {
      const Epoch::Guard guard(table_.epoch());
      const std::span<std::uint32_t> ids(&ids_[i], batch);
      if constexpr (P::kWidth == 32) {
        table_.engine().find(path, std::span<const Address>(&keys_[i], batch), ids);
      } else {
        table_.engine().find_network(path, &network_[i * 16], ids);
      }
    }
  }

  void find_peer(std::size_t first, std::size_t end, std::size_t batch) {
    for (std::size_t i = first; i < end; i += batch) {
      if constexpr (P::kWidth == 32) {
        peer_.find(&keys_[i], &peer_ids_[i], batch);
      } else {
        peer_.find(reinterpret_cast<const std::uint8_t(*)[16]>(&network_[i * 16]), &peer_ids_[i],
                   batch);
      }
    }
  }

  // Brings the streams of keys and answers near, as packets are when they are looked up.
  void touch(std::size_t first, std::size_t end) {
    std::uint64_t sum = 0;
    for (std::size_t i = first; i < end; ++i) {
      sum += ids_[i] + peer_ids_[i] + static_cast<std::uint32_t>(keys_[i]);
      if constexpr (P::kWidth == 128) sum += network_[i * 16];
    }
    sum_ += static_cast<std::uint32_t>(sum);
  }

  std::vector<Contender> contenders(const Roofline& roof) {
    std::vector<Contender> all;
    const auto by = [this](flat::Path path) {
      return [this, path](std::size_t i, std::size_t end, std::size_t b) { find(path, i, end, b); };
    };
    all.push_back({"ours", by(flat::best_path())});
    all.push_back({"rte_fib", [this](std::size_t i, std::size_t end, std::size_t b) {
                     find_peer(i, end, b);
                   }});
    for (const flat::Path path : flat::kPaths) {
      if (!flat::supported(path) || path == flat::best_path()) continue;
      all.push_back({std::string(flat::name_of(path)), by(path)});
    }
    all.push_back({"single", [this](std::size_t first, std::size_t end, std::size_t) {
                     for (std::size_t i = first; i < end; ++i) {
                       const Epoch::Guard guard(table_.epoch());
                       ids_[i] = table_.engine().find(keys_[i]);
                     }
                   }});
    all.push_back({"loads", [this, &roof](std::size_t first, std::size_t end, std::size_t) {
                     sum_ += roof.scalar(first, end);
                   }});
    all.push_back({"gathers", [this, &roof](std::size_t first, std::size_t end, std::size_t) {
                     sum_ += roof.gather(first, end);
                   }});
    return all;
  }

  bool right() const {
    if (ids_ != want_) {
      std::printf("an answer of ours is wrong\n");
      return false;
    }
    if (!std::equal(want_.begin(), want_.end(), peer_ids_.begin())) {
      std::printf("an answer of the peer is another\n");
      return false;
    }
    return true;
  }

  std::vector<Route<P>> routes_;
  LpmTable<P> table_;
  Peer<P> peer_;
  std::vector<Address> keys_;
  std::vector<std::uint8_t> network_;
  std::vector<std::uint32_t> want_, ids_;
  std::vector<std::uint64_t> peer_ids_;
  std::atomic<std::uint32_t> sum_{0};
};

// A reader at full speed on a processor of its own, while it lives.
template <class P>
class Reader {
 public:
  Reader(const LpmTable<P>& table, const std::vector<Route<P>>& routes, int cpu)
      : table_(table), keys_(make_keys(routes, Keys::kPrefixes, std::size_t{1} << 18)) {
    thread_ = std::thread([this, cpu] {
      pin(cpu);
      std::vector<std::uint32_t> ids(kBatch);
      for (std::size_t i = 0; !stop_.load(std::memory_order_relaxed);
           i = (i + kBatch) % keys_.size()) {
        const Epoch::Guard guard(table_.epoch());
        table_.engine().find({&keys_[i], kBatch}, ids);
        batches_.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  ~Reader() {
    stop_ = true;
    thread_.join();
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  [[nodiscard]] std::uint64_t batches() const { return batches_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::size_t kBatch = 128;
  const LpmTable<P>& table_;
  std::vector<typename P::Address> keys_;
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> batches_{0};
  std::thread thread_;
};

template <class P>
void updates(const std::string& directory, const std::vector<int>& on, Report* report) {
  constexpr bool k4 = P::kWidth == 32;
  const double must = k4 ? 0.5 : 1.5, aim = k4 ? 0.25 : 0.7;
  const std::string name = std::string(family<P>()) + " ";
  const auto routes = read_routes<P>(directory, {});
  const auto churn = read_churn<P>(directory, {});
  LpmTable<P> table;
  auto start = Clock::now();
  for (const auto& r : routes) table.set(r.prefix, r.id);
  std::printf("\n%s: %zu routes set one by one, %.0f ms\n", family<P>(), routes.size(),
              seconds_since(start) * 1e3);
  const auto change = [&table](const P& p, std::uint32_t id) {
    if (id != 0) {
      table.set(p, id);
    } else {
      table.erase(p);
    }
  };
  const auto worst = [&](const char* what, const P& p) {
    std::vector<double> set, erase;
    for (int i = 0; i < passes(); ++i) {
      const auto before = Clock::now();
      table.set(p, 5);
      set.push_back(seconds_since(before) * 1e3);
      const auto between = Clock::now();
      table.erase(p);
      erase.push_back(seconds_since(between) * 1e3);
    }
    report->add(name + what + " comes or goes", std::max(median(set), median(erase)), "ms",
                Better::kLess, 2, 0.2);
  };
  {
    const Reader<P> reader(table, routes, on.back());
    std::vector<double> rates;
    for (int i = 0; i < passes(); ++i) {
      const double before = cpu_now();
      for (const auto& c : churn) change(c.prefix, c.id);
      rates.push_back((cpu_now() - before) * 1e6 / static_cast<double>(churn.size()));
    }
    report->add(name + "update, the real churn, beside a reader", median(rates), "us",
                Better::kLess, must, aim);
    // A random route goes, or comes with another id.
    std::mt19937_64 random(5);
    std::vector<Route<P>> changes(200000);
    rates.clear();
    for (int i = 0; i < passes(); ++i) {
      for (auto& c : changes) {
        c = {routes[random() % routes.size()].prefix,
             random() % 2 == 0 ? 0 : 1 + static_cast<std::uint32_t>(random() % 64)};
      }
      const double before = cpu_now();
      for (const auto& c : changes) change(c.prefix, c.id);
      rates.push_back((cpu_now() - before) * 1e6 / static_cast<double>(changes.size()));
    }
    report->add(name + "update, random, beside a reader", median(rates), "us", Better::kLess, must,
                aim);
    worst("default route", {0, 0});
    worst("/8", {static_cast<typename P::Address>(static_cast<typename P::Address>(k4 ? 0x2d : 0x26)
                                                  << (P::kWidth - 8)),
                 8});
  }
  // The reader alone and beside 100,000 updates a second, in turn.
  const Reader<P> reader(table, routes, on.back());
  std::mt19937_64 random(6);
  std::vector<double> alone, beside;
  for (int i = 0; i < 2 * passes(); ++i) {
    const bool busy = i % 2 == 1;
    const std::uint64_t before = reader.batches();
    start = Clock::now();
    std::size_t done = 0;
    double elapsed;
    while ((elapsed = seconds_since(start)) < 0.2) {
      for (; busy && done < static_cast<std::size_t>(elapsed * 1e5); ++done) {
        change(routes[random() % routes.size()].prefix,
               random() % 2 == 0 ? 0 : 1 + static_cast<std::uint32_t>(random() % 64));
      }
    }
    (busy ? beside : alone).push_back(static_cast<double>(reader.batches() - before) / elapsed);
  }
  report->add(name + "reader's slow-down under 100,000 updates a second",
              100 * (1 - median(beside) / median(alone)), "%", Better::kLess, 15, 5);
}

int run(const std::string& directory) {
  const std::vector<int> on = cpus();
  pin(on.front());
  const std::string dpdk = start_dpdk();
  if (dpdk.empty()) {
    std::fprintf(stderr, "lpm_bench: DPDK does not start here\n");
    return 2;
  }
  std::printf("DPDK in %s; processors %d and, for readers, %d\n", dpdk.c_str(), on.front(),
              on.back());
  Report report;
  bool right = true;
  if (chosen('4')) {
    {
      Lookups<Prefix4> four(directory, {});
      report.add("v4 live bytes", four.live(), "Mi", Better::kLess, 6, 3);
      right = four.run("v4 bulk", {{4, 1.2, 0.8}, {5, 1.4, 1.1}}, true, &report);
    }
    Lookups<Prefix4> many(directory, {4000, false});
    right = right && many.run("v4 bulk, 4,000 next hops", {{3, 1, 0}, {4, 1.3, 0}}, false, &report);
  }
  if (right && chosen('6')) {
    Lookups<Prefix6> six(directory, {});
    report.add("v6 live bytes", six.live(), "Mi", Better::kLess, 10, 4);
    right = six.run("v6 bulk", {{0.9, 1.7, 1.6}, {1.1, 2.2, 2.2}}, true, &report);
  }
  if (!right) return 1;
  if (chosen('u')) {
    updates<Prefix4>(directory, on, &report);
    updates<Prefix6>(directory, on, &report);
  }
  return report.print() == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "lpm_bench DIRECTORY\n");
    return 2;
  }
  return run(argv[1]);
}
