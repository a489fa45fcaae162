// States that are observed: told to each controller, then as they change.
#include <gtest/gtest.h>

#include "test/stream/rig.h"

namespace dvr::stream {
namespace {

pb::Observation interface_is(const std::string& name, bool up) {
  pb::Observation o;
  o.mutable_link()->set_interface(name);
  o.mutable_link()->set_up(up);
  return o;
}

void see(Rig& rig, const std::string& name, bool up, bool kept = true) {
  rig.client->observe_state(name, interface_is(name, up), kept);
}

// What the stream was told since the last call, in order.
std::string told(Rig& rig) {
  rig.client->step();
  std::string text;
  for (const auto& m : rig.sent(pb::DataPlaneMessage::kObservation)) {
    const pb::Observation& o = m.observation();
    text += o.has_whole() ? "whole " : o.link().interface() + (o.link().up() ? " up " : " down ");
  }
  rig.transport.sent.clear();
  return text;
}

TEST(StatesTest, AreToldToEachControllerAndThenAsTheyChange) {
  Rig rig;
  see(rig, "w0", true);
  see(rig, "w1", true);
  see(rig, "w1", false);
  see(rig, "x", false);
  see(rig, "x", true, false);  // as if it had never been told
  rig.connect(small_table());
  EXPECT_EQ(told(rig), "w0 up w1 down whole ");
  see(rig, "w1", true);
  see(rig, "w0", false);
  EXPECT_EQ(told(rig), "w1 up w0 down ");
  // What changes while nobody hears it is told as it is then, and once.
  see(rig, "w1", false);
  rig.lose();
  see(rig, "w0", true);
  rig.connect(small_table());
  EXPECT_EQ(told(rig), "w0 up w1 down whole ");
  EXPECT_EQ(told(rig), "");
}

TEST(StatesTest, AStreamThatDoesNotReadMissesNone) {
  Rig rig;
  see(rig, "w0", false);
  rig.connect(small_table());
  EXPECT_EQ(told(rig), "w0 down whole ");
  rig.transport.congestion = 1 << 20;
  see(rig, "w0", true);
  EXPECT_EQ(told(rig), "");
  see(rig, "w0", false);
  EXPECT_EQ(told(rig), "");
  rig.transport.congestion = 0;
  EXPECT_EQ(told(rig), "w0 up w0 down ");
  // More than is kept for it: it is told all again.
  rig.transport.congestion = 1 << 20;
  for (std::size_t i = 0; i < 3 * Client::kMostStates; ++i) see(rig, "w0", i % 2 == 0);
  EXPECT_EQ(told(rig), "");
  rig.transport.congestion = 0;
  EXPECT_EQ(told(rig), "w0 down whole ");
}

TEST(StatesTest, WhoObservesNothingSaysNothing) {
  Rig rig;
  rig.connect(small_table());
  EXPECT_EQ(told(rig), "");
  see(rig, "w0", true);
  see(rig, "w1", false);
  EXPECT_EQ(told(rig), "w0 up w1 down whole ");
}

TEST(StatesTest, MemoryIsBounded) {
  Rig rig;
  for (std::size_t i = 0; i < 2 * Client::kMostStates; ++i) see(rig, std::to_string(i), true);
  rig.connect(small_table());
  rig.client->step();
  EXPECT_EQ(rig.sent(pb::DataPlaneMessage::kObservation).size(), Client::kMostStates + 1);
}

}  // namespace
}  // namespace dvr::stream
