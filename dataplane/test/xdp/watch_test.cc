// What is heard of the kernel when news are lost.
#include "sinks/xdp/watch.h"

#include <gtest/gtest.h>
#include <net/if.h>
#include <sys/socket.h>

#include <map>

#include "test/kernel/scene.h"

namespace dvr::xdp::test {
namespace {

using kernel::test::enter_namespace;
using kernel::test::must;

TEST(XdpWatchTest, WhatWasSaidBeforeALossIsHeardBeforeALook) {
  if (const std::string why = enter_namespace(); !why.empty()) GTEST_SKIP() << why;
  std::map<NeighbourKey, NeighbourFact> neighbours;
  Watch watch(254, {[](const LinkFact&) {}, [&](const NeighbourFact& n) { neighbours[n.key] = n; },
                    [](const RouteFact&) {}});
  ASSERT_TRUE(watch.read_all());
  ASSERT_TRUE(watch.listen());
  const int least = 1;
  ASSERT_EQ(::setsockopt(watch.fd(), SOL_SOCKET, SO_RCVBUF, &least, sizeof least), 0);
  // The first is in the queue, the last is lost.
  must("ip neigh add 10.0.0.50 lladdr 02:00:00:00:00:50 dev w0 nud permanent");
  for (int i = 0; i < 8; ++i) {
    must("ip neigh replace 10.0.0.51 lladdr 02:00:00:00:00:5" + std::to_string(i) +
         " dev w0 nud permanent");
  }
  must("ip neigh del 10.0.0.50 dev w0");
  EXPECT_FALSE(watch.listen());
  neighbours.clear();
  EXPECT_TRUE(watch.read_all());
  EXPECT_TRUE(watch.listen());
  const auto heard = [&](const char* address) {
    return neighbours[{::if_nametoindex("w0"), parse_address(address).value()}];
  };
  EXPECT_NE(heard("10.0.0.50").state, NeighbourFact::State::kResolved);
  EXPECT_EQ(heard("10.0.0.51").mac[5], 0x57);
  // What comes now is heard again.
  must("ip neigh add 10.0.0.52 lladdr 02:00:00:00:00:52 dev w0 nud permanent");
  EXPECT_TRUE(watch.listen());
  EXPECT_EQ(heard("10.0.0.52").state, NeighbourFact::State::kResolved);
}

}  // namespace
}  // namespace dvr::xdp::test
