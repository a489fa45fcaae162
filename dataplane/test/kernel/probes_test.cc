// Which probe holds for a next hop.
#include "sinks/probes.h"

#include <gtest/gtest.h>

namespace dvr {
namespace {

using std::chrono::milliseconds;

Address at(const char* text) { return parse_address(text).value(); }

TEST(ProbesTest, WhatNamesMoreCountsBefore) {
  const Address one = at("192.0.2.1"), two = at("192.0.2.2"), six = at("fe80::1");
  const Probe all{{}, "", milliseconds(5000)}, eth1{{}, "eth1", milliseconds(1000)},
      host{one, "", milliseconds(400)}, both{one, "eth1", milliseconds(300)};
  // The order does not matter.
  for (const auto& rules : {std::vector{all, eth1, host, both}, std::vector{both, host, eth1, all},
                            std::vector{host, both, all, eth1}}) {
    const Probes probes(rules);
    EXPECT_EQ(probes.every(two, "eth0"), milliseconds(5000));
    EXPECT_EQ(probes.every(two, "eth1"), milliseconds(1000));
    EXPECT_EQ(probes.every(six, "eth1"), milliseconds(1000));
    EXPECT_EQ(probes.every(one, "eth0"), milliseconds(400));
    EXPECT_EQ(probes.every(one, "eth1"), milliseconds(300));
  }
}

TEST(ProbesTest, WhatNoneNamesIsLeftToOthers) {
  EXPECT_EQ(Probes().every(at("192.0.2.1"), "eth0"), std::nullopt);
  const Probes probes(
      {{at("192.0.2.1"), "eth1", milliseconds(300)}, {{}, "eth2", milliseconds(1)}});
  EXPECT_EQ(probes.every(at("192.0.2.1"), "eth0"), std::nullopt);
  EXPECT_EQ(probes.every(at("192.0.2.1"), ""), std::nullopt);
  EXPECT_EQ(probes.every(at("192.0.2.3"), "eth1"), std::nullopt);
  // 10.0.0.1 and ::a00:1 have the same bits.
  EXPECT_EQ(Probes({{at("10.0.0.1"), "", milliseconds(300)}}).every(at("::a00:1"), ""),
            std::nullopt);
  EXPECT_EQ(probes.every(at("192.0.2.1"), "eth2"), Probes::kLeast) << "never more often";
}

}  // namespace
}  // namespace dvr
