#include "bench/lpm_peer.h"

#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <vector>

extern "C" {
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_fib.h>
#include <rte_fib6.h>
#include <rte_log.h>
}

namespace dvr::bench {
namespace {

constexpr const char* kHugePages = "/proc/sys/vm/nr_hugepages";
constexpr int kPages = 544;  // of 2 MiB
long before = -1;

void give_back() {
  if (before >= 0) std::ofstream(kHugePages) << before;
}

// Reserves huge pages for the time of this process.
bool reserve_pages() {
  long have = 0;
  if (!(std::ifstream(kHugePages) >> have)) return false;
  if (have < kPages) {
    before = have;
    std::atexit(give_back);
    std::ofstream(kHugePages) << kPages;
    std::ifstream(kHugePages) >> have;
  }
  return have >= kPages;
}

int first_cpu() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int i = 0; i < CPU_SETSIZE; ++i) {
      if (CPU_ISSET(i, &set)) return i;
    }
  }
  return 0;
}

template <class Config>
Config config(int routes) {
  Config c{};
  c.default_nh = 0;
  c.max_routes = routes;
  return c;
}

}  // namespace

std::string start_dpdk() {
  const bool huge = reserve_pages();
  const std::string cpu = std::to_string(first_cpu());
  std::vector<std::string> words{"lpm_bench",
                                 "--in-memory",
                                 "--no-pci",
                                 "--no-telemetry",
                                 "--iova-mode=va",
                                 "--force-max-simd-bitwidth=512",
                                 "-l",
                                 cpu,
                                 "-m",
                                 "1040",
                                 "--log-level",
                                 "error"};
  if (!huge) words.emplace_back("--no-huge");
  std::vector<char*> argv;
  for (std::string& w : words) argv.push_back(w.data());
  if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) < 0) return {};
  return huge ? "huge pages" : "small pages";
}

template <class P>
struct Peer<P>::State {
  rte_fib* fib4 = nullptr;
  rte_fib6* fib6 = nullptr;
  bool vectorized = false;
};

template <class P>
Peer<P>::Peer() : state_(std::make_unique<State>()) {
  static int number = 0;
  const std::string name = "peer" + std::to_string(number++);
  if constexpr (P::kWidth == 32) {
    auto c = config<rte_fib_conf>(1100000);
    c.type = RTE_FIB_DIR24_8;
    // Entries of one byte cannot name the 451 groups that the full table needs.
    c.dir24_8.nh_sz = RTE_FIB_DIR24_8_2B;
    c.dir24_8.num_tbl8 = (1 << 15) - 1;
    state_->fib4 = rte_fib_create(name.c_str(), -1, &c);
    if (state_->fib4 == nullptr) std::exit(2);  // DPDK has said why
    state_->vectorized =
        rte_fib_select_lookup(state_->fib4, RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512) == 0;
  } else {
    auto c = config<rte_fib6_conf>(300000);
    c.type = RTE_FIB6_TRIE;
    // Nor entries of two bytes the 130,000.
    c.trie.nh_sz = RTE_FIB6_TRIE_4B;
    c.trie.num_tbl8 = 200000;
    state_->fib6 = rte_fib6_create(name.c_str(), -1, &c);
    if (state_->fib6 == nullptr) std::exit(2);
    state_->vectorized =
        rte_fib6_select_lookup(state_->fib6, RTE_FIB6_LOOKUP_TRIE_VECTOR_AVX512) == 0;
  }
}

template <class P>
Peer<P>::~Peer() {
  if (state_->fib4 != nullptr) rte_fib_free(state_->fib4);
  if (state_->fib6 != nullptr) rte_fib6_free(state_->fib6);
}

template <class P>
bool Peer<P>::set(const P& p, std::uint32_t id) {
  if constexpr (P::kWidth == 32) {
    return rte_fib_add(state_->fib4, p.address, p.length, id) == 0;
  } else {
    std::uint8_t bytes[16];
    store_u128(p.address, bytes);
    return rte_fib6_add(state_->fib6, bytes, p.length, id) == 0;
  }
}

template <class P>
bool Peer<P>::erase(const P& p) {
  if constexpr (P::kWidth == 32) {
    return rte_fib_delete(state_->fib4, p.address, p.length) == 0;
  } else {
    std::uint8_t bytes[16];
    store_u128(p.address, bytes);
    return rte_fib6_delete(state_->fib6, bytes, p.length) == 0;
  }
}

template <class P>
void Peer<P>::find(const std::uint32_t* a, std::uint64_t* ids, std::size_t n) const {
  rte_fib_lookup_bulk(state_->fib4, const_cast<std::uint32_t*>(a), ids, static_cast<int>(n));
}

template <class P>
void Peer<P>::find(const std::uint8_t (*a)[16], std::uint64_t* ids, std::size_t n) const {
  rte_fib6_lookup_bulk(state_->fib6, const_cast<std::uint8_t(*)[16]>(a), ids, static_cast<int>(n));
}

template <class P>
bool Peer<P>::vectorized() const {
  return state_->vectorized;
}

template class Peer<Prefix4>;
template class Peer<Prefix6>;

}  // namespace dvr::bench
