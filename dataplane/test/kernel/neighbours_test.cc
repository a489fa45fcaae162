// Which next hops are dead, by scripts of news and time.
#include "sinks/kernel/neighbours.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "lib/prefix.h"

namespace dvr::kernel::test {
namespace {

using std::chrono::milliseconds;

class NeighboursTest : public ::testing::Test {
 protected:
  static Neighbour at(std::uint32_t interface, const std::string& address) {
    return {interface, parse_address(address).value()};
  }
  void fails(const Neighbour& n) { all.heard({NeighbourFact::State::kFailed, n}, now); }
  void answers(const Neighbour& n) { all.heard({NeighbourFact::State::kAnswers, n}, now); }
  void pass(int ms) { now += milliseconds(ms); }
  std::string changes() {
    std::string text;
    for (const auto& [n, alive] : all.changes(now)) {
      text += to_string(n.address) + (alive ? " up " : " down ");
    }
    return text;
  }
  std::string due() {
    std::string text;
    for (const Neighbour& n : all.due(now)) text += to_string(n.address) + " ";
    return text;
  }

  const Neighbour a = at(2, "10.0.0.2"), b = at(3, "10.0.1.2"), c = at(2, "fd00::2");
  milliseconds interval{0};  // of whom own does not name
  std::map<Neighbour, milliseconds> own;
  Neighbours all{[this](const Neighbour& n) { return own.contains(n) ? own.at(n) : interval; }};
  Neighbours::TimePoint now{std::chrono::hours(1)};
};

TEST_F(NeighboursTest, DiesAtOnceAndComesBackWhenItHasAnsweredForAWhile) {
  EXPECT_TRUE(all.use({a, b}, now));
  EXPECT_FALSE(all.use({a, b}, now));
  EXPECT_EQ(changes(), "");
  EXPECT_EQ(all.next(), std::nullopt) << "nothing is asked of what lives";
  fails(a);
  EXPECT_EQ(changes(), "10.0.0.2 down ");
  EXPECT_EQ(changes(), "");
  EXPECT_EQ(due(), "");
  pass(1000);
  EXPECT_EQ(due(), "10.0.0.2 ");
  EXPECT_EQ(due(), "") << "once a second";
  answers(a);
  EXPECT_EQ(changes(), "");
  EXPECT_EQ(all.next(), now + Hold::kFirst);
  pass(100);
  EXPECT_EQ(changes(), "10.0.0.2 up ");
  EXPECT_EQ(all.next(), std::nullopt);
}

TEST_F(NeighboursTest, WhatFlapsIsLeftOutForLongerAndLonger) {
  all.use({a}, now);
  for (int hold = 100; hold <= 60000; hold *= 2) {
    SCOPED_TRACE(hold);
    fails(a);
    ASSERT_EQ(changes(), "10.0.0.2 down ");
    pass(10);
    answers(a);
    pass(hold - 1);
    ASSERT_EQ(changes(), "");
    pass(1);
    ASSERT_EQ(changes(), "10.0.0.2 up ");
  }
  for (int i = 0; i < 3; ++i) {
    fails(a);
    changes();
    answers(a);
    pass(60000);
    EXPECT_EQ(changes(), "10.0.0.2 up ") << "a minute is the most";
  }
  pass(180000);
  fails(a);
  changes();
  answers(a);
  pass(100);
  EXPECT_EQ(changes(), "10.0.0.2 up ") << "what was well for long has never failed";
}

TEST_F(NeighboursTest, FailingAgainWhileItIsHeldBeginsAnew) {
  all.use({a}, now);
  fails(a);
  changes();
  answers(a);
  pass(99);
  fails(a);
  pass(1);
  EXPECT_EQ(changes(), "");
  answers(a);
  pass(199);
  EXPECT_EQ(changes(), "");
  pass(1);
  EXPECT_EQ(changes(), "10.0.0.2 up ");
}

TEST_F(NeighboursTest, WhatIsDeadStaysWatchedThoughNoGroupWantsIt) {
  all.use({a, b}, now);
  fails(a);
  changes();
  all.use({b}, now);
  all.use({}, now);
  pass(1000);
  EXPECT_EQ(due(), "10.0.0.2 ");
  answers(a);
  pass(100);
  EXPECT_EQ(changes(), "10.0.0.2 up ");
  pass(3000);
  all.use({}, now);
  fails(a);
  fails(b);
  EXPECT_EQ(changes(), "") << "who is not used and lives is nobody's";
}

TEST_F(NeighboursTest, AnInterfaceTakesItsNextHopsAlong) {
  all.use({a, b, c}, now);
  all.link(2, false, now);
  EXPECT_EQ(changes(), "10.0.0.2 down fd00::2 down ");
  answers(a);
  pass(60000);
  EXPECT_EQ(changes(), "") << "an old answer";
  EXPECT_EQ(due(), "") << "nobody can be asked there";
  all.link(2, true, now);
  EXPECT_EQ(changes(), "") << "nobody has answered";
  EXPECT_EQ(due(), "10.0.0.2 fd00::2 ") << "asked at once";
  pass(20);
  answers(a);
  EXPECT_EQ(changes(), "10.0.0.2 up ") << "it has never failed";
  all.link(2, true, now);
  EXPECT_EQ(changes(), "");
  EXPECT_EQ(all.next(), now + milliseconds(980)) << "the other is asked again";
  answers(c);
  EXPECT_EQ(changes(), "fd00::2 up ");
  EXPECT_EQ(all.next(), std::nullopt);
}

TEST_F(NeighboursTest, BehindAnInterfaceThatCameBack) {
  const Neighbour fixed = at(2, "10.0.0.3");
  all.use({a, c, fixed}, now);
  all.heard({NeighbourFact::State::kFixed, fixed}, now);
  all.link(2, false, now);
  changes();
  all.link(2, true, now);
  EXPECT_EQ(changes(), "10.0.0.3 up ") << "where somebody said it is, nobody is asked";
  pass(3000);
  fails(c);
  pass(500);
  EXPECT_EQ(changes(), "10.0.0.2 up ") << "it neither answered nor failed";
  pass(60000);
  EXPECT_EQ(changes(), "") << "it failed";
  answers(c);
  pass(100);
  EXPECT_EQ(changes(), "fd00::2 up ");

  // One that flaps is left out for its hold, also where it tells nothing.
  for (int i = 0; i < 8; ++i) {
    fails(a);
    answers(a);
  }
  all.link(2, false, now);
  EXPECT_EQ(changes(), "10.0.0.2 down 10.0.0.3 down fd00::2 down ");
  all.link(2, true, now);
  pass(3500);
  EXPECT_EQ(changes(), "10.0.0.3 up fd00::2 up ");
  pass(60000);
  EXPECT_EQ(changes(), "10.0.0.2 up ");
}

// The kernel takes next hops away with their interface, and tells of it first.
TEST_F(NeighboursTest, AnInterfaceThatIsToldLate) {
  all.use({a, b}, now);
  pass(60000);
  all.use({b}, now);
  pass(50);
  all.use({b}, now);
  all.link(2, false, now);
  EXPECT_EQ(changes(), "10.0.0.2 down ");
  all.link(2, true, now);
  answers(a);
  EXPECT_EQ(changes(), "10.0.0.2 up ");
}

TEST_F(NeighboursTest, ProbesAskWhatIsUsed) {
  interval = milliseconds(5000);
  Neighbours& probing = all;
  probing.use({a, b}, now);
  EXPECT_EQ(probing.due(now).size(), 2u);
  EXPECT_EQ(probing.next(), now + milliseconds(5000));
  pass(4999);
  EXPECT_EQ(probing.due(now).size(), 0u);
  pass(1);
  probing.heard({NeighbourFact::State::kFixed, b}, now);
  EXPECT_EQ(probing.due(now).size(), 1u) << "where somebody said it is, nobody is asked";
  probing.use({b}, now);
  pass(60000);
  EXPECT_EQ(probing.due(now).size(), 0u);
}

TEST_F(NeighboursTest, ProbesBeginAndEndWhileItRuns) {
  all.use({a, b, c}, now);
  EXPECT_EQ(due(), "");
  EXPECT_EQ(all.next(), std::nullopt);
  pass(100);
  own = {{a, milliseconds(1000)}};
  interval = milliseconds(3000);
  all.reschedule(now);
  EXPECT_EQ(due(), "10.0.0.2 fd00::2 10.0.1.2 ") << "at once";
  EXPECT_EQ(due(), "");
  pass(1000);
  EXPECT_EQ(due(), "10.0.0.2 ");
  // What does not change for one goes on as it was.
  own[b] = milliseconds(200);
  all.reschedule(now);
  EXPECT_EQ(due(), "10.0.1.2 ");
  EXPECT_EQ(all.next(), now + milliseconds(200));
  pass(1000);
  EXPECT_EQ(due(), "10.0.0.2 10.0.1.2 ");
  // What has died of it is asked on, and comes back as ever; then nobody is asked.
  fails(a);
  EXPECT_EQ(changes(), "10.0.0.2 down ");
  own.clear();
  interval = milliseconds(0);
  all.reschedule(now);
  pass(1000);
  EXPECT_EQ(due(), "10.0.0.2 ");
  answers(a);
  pass(100);
  EXPECT_EQ(changes(), "10.0.0.2 up ");
  pass(60000);
  EXPECT_EQ(due(), "");
  EXPECT_EQ(all.next(), std::nullopt);
}

TEST_F(NeighboursTest, WhoIsDeadKeepsItsTurnWhenProbesChange) {
  all.use({a}, now);
  fails(a);
  EXPECT_EQ(changes(), "10.0.0.2 down ");
  pass(400);
  interval = milliseconds(100);
  all.reschedule(now);
  EXPECT_EQ(due(), "");
  EXPECT_EQ(all.next(), now + milliseconds(600));
}

TEST_F(NeighboursTest, MemoryIsBounded) {
  std::set<Neighbour> many;
  for (std::uint32_t i = 0; i < 2 * Neighbours::kMost; ++i) many.insert({2, Address::v4(i)});
  all.use(many, now);
  all.link(2, false, now);
  EXPECT_EQ(all.changes(now).size(), Neighbours::kMost);
}

}  // namespace
}  // namespace dvr::kernel::test
