// The peer of the lookup benchmark: DPDK's rte_fib and rte_fib6.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "bench/lpm_tables.h"

namespace dvr::bench {

// Starts DPDK's environment on the calling thread, in huge pages where some can be had. What
// it says is empty when that failed or the program was built without DPDK.
std::string start_dpdk();

template <class P>
class Peer {
 public:
  Peer();
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  bool set(const P& p, std::uint32_t id);
  bool erase(const P& p);
  // By its AVX-512 function where that is supported; ids are 64 bits wide. `bytes`: IPv6
  // addresses in network order.
  void find(const std::uint32_t* a, std::uint64_t* ids, std::size_t n) const;
  void find(const std::uint8_t (*a)[16], std::uint64_t* ids, std::size_t n) const;
  [[nodiscard]] bool vectorized() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dvr::bench
