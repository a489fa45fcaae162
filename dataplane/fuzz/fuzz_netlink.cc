// Fuzzes what the kernel can answer: the input is what a read of a netlink socket
// gives, cut into messages as the sink cuts it; each is read as everything that it
// might be.
//
// Invariants: no crash, nothing behind the input is read (ASan watches: it lies at the
// end of its allocation), what is read lies within its bounds.
#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "sinks/kernel/netlink.h"
#include "sinks/kernel/rtnetlink.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

bool sound(const dvr::Address& address) { return address.family == 4 || address.family == 6; }

void read(const nlmsghdr* m) {
  using namespace dvr::kernel;
  for (const std::uint32_t table : {254U, 0U, m->nlmsg_seq}) {
    if (const auto route = read_route(m, table)) {
      require(sound(route->prefix.address));
      require(route->prefix.length <= (route->prefix.address.family == 4 ? 32 : 128));
    }
  }
  if (const auto fact = read_nexthop(m)) {
    require(fact->id != 0);
    require(fact->entries.size() * 8 <= m->nlmsg_len);
  }
  if (const auto link = read_link(m)) {
    require(link->index != 0 && link->name.size() < m->nlmsg_len);
  }
  if (const auto neighbour = read_neighbour(m)) {
    require(sound(neighbour->neighbour.address) && neighbour->neighbour.interface != 0);
  }
  if (const auto way = read_way(m)) require(*way != 0);
  const dvr::kernel::Outcome outcome = outcome_of(m);
  require(outcome.ok() || !outcome.words.empty() || outcome.words.size() < m->nlmsg_len);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // As libmnl walks a buffer: aligned, each message within what is left.
  const auto buffer = std::make_unique<std::uint8_t[]>(size);
  std::memcpy(buffer.get(), data, size);
  std::size_t at = 0;
  while (size - at >= sizeof(nlmsghdr)) {
    const auto* const m = reinterpret_cast<const nlmsghdr*>(buffer.get() + at);
    if (m->nlmsg_len < sizeof(nlmsghdr) || m->nlmsg_len > size - at) break;
    read(m);
    const std::size_t step = NLMSG_ALIGN(std::size_t{m->nlmsg_len});
    if (step >= size - at) break;
    at += step;
  }
  return 0;
}
