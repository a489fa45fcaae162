// Commits that undo themselves: kept, replaced, settled, applied when cut off.
#include "stream/unconfirmed.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stream/undone.h"
#include "test/stream/rig.h"

namespace dvr::stream {
namespace {

using std::chrono::milliseconds;

// The table before and after an unconfirmed commit at revision 2.
struct Change {
  Model before = small_table().at(1);
  Model after = small_table().at(2).remove("10.1.0.0/16").set("203.0.113.0/24", 'b');

  [[nodiscard]] pb::ControllerMessage inverse(std::uint64_t remaining_ms,
                                              std::uint64_t revision = 2) const {
    pb::ControllerMessage message;
    pb::Unconfirmed* const u = message.mutable_unconfirmed();
    u->set_revision(revision);
    u->set_deadline_ms(1);  // the controller's clock does not count
    u->set_remaining_ms(remaining_ms);
    for (const auto& chunk : before.delta(after, 1, 1)) *u->add_inverse() = chunk;
    return message;
  }

  // A data plane at `after`, with the inverse pending.
  void open(Rig& rig, std::uint64_t remaining_ms) const {
    rig.connect(before);
    rig.send(before.full(1));
    rig.send(after.delta(before, 2));
    rig.transport.deliver(inverse(remaining_ms));
    rig.drain();
  }
};

// Lets time pass without a controller.
void pass(Rig& rig, milliseconds time) {
  const TimePoint end = rig.clock.now() + time;
  while (rig.clock.now() < end) {
    rig.client->step();
    if (rig.transport.streaming) rig.lose("connection refused");
  }
}

TEST(UnconfirmedTest, CutOffDataPlaneUndoesAtTheDeadline) {
  Rig rig;
  const Change change;
  change.open(rig, 60'000);
  rig.lose();
  pass(rig, milliseconds(50'000));
  EXPECT_EQ(rig.fib.digest(), change.after.digest()) << "not before the deadline";
  const TimePoint start = rig.clock.now();
  while (rig.fib.digest() == change.after.digest() &&
         rig.clock.now() < start + milliseconds(20'000)) {
    rig.client->step();
    if (rig.transport.streaming) rig.lose("connection refused");
  }
  EXPECT_LE(rig.clock.now() - start, milliseconds(10'010));
  EXPECT_EQ(rig.fib.digest(), change.before.digest());
  EXPECT_EQ(rig.lookup("10.1.2.3"), "10.1.0.0/16");
  EXPECT_EQ(rig.lookup("203.0.113.1"), "");
  EXPECT_EQ(rig.fib.summary().position.revision, 2u) << "the log was not asked";
  EXPECT_FALSE(rig.fib.summary().partial);
  // The controller is told, and sees from the digest that the table is another.
  rig.transport.sent.clear();
  const pb::Hello hello = rig.connect(change.after);
  EXPECT_EQ(hello.digest(), change.before.digest().bytes());
  rig.client->step();
  const auto observations = rig.sent(pb::DataPlaneMessage::kObservation);
  ASSERT_EQ(observations.size(), 1u);
  EXPECT_EQ(observations[0].observation().undone().revision(), 2u);
}

// Sinks that adopt what an earlier life left tell a controller's table from what was saved.
TEST(UnconfirmedTest, AnUndoIsNotSaidToBeAControllersTable) {
  Rig rig;
  const Change change;
  EXPECT_FALSE(rig.fib.summary().heard);
  change.open(rig, 1'000);
  EXPECT_TRUE(rig.fib.summary().heard);
  rig.lose();
  pass(rig, milliseconds(5'000));
  ASSERT_EQ(rig.fib.digest(), change.before.digest());
  EXPECT_FALSE(rig.fib.summary().heard);
  rig.connect(change.after);
  rig.send(change.after.delta(change.before, 1));
  EXPECT_TRUE(rig.fib.summary().heard);
}

TEST(UnconfirmedTest, ConnectedDataPlaneLeavesTheDecisionToTheController) {
  Rig rig;
  const Change change;
  change.open(rig, 5'000);
  const TimePoint end = rig.clock.now() + milliseconds(60'000);
  while (rig.clock.now() < end) rig.client->step();
  EXPECT_EQ(rig.fib.digest(), change.after.digest());
}

TEST(UnconfirmedTest, SettledIsForgotten) {
  Rig rig;
  const Change change;
  change.open(rig, 5'000);
  pb::ControllerMessage settled;
  settled.mutable_settled()->set_revision(2);
  rig.transport.deliver(settled);
  rig.drain();
  rig.lose();
  pass(rig, milliseconds(60'000));
  EXPECT_EQ(rig.fib.digest(), change.after.digest());
}

TEST(UnconfirmedTest, AReconnectIsNotBeingCutOff) {
  Rig rig;
  const Change change;
  change.open(rig, 5'000);
  const TimePoint end = rig.clock.now() + milliseconds(10'000);
  while (rig.clock.now() < end) rig.client->step();  // the deadline passes while connected
  rig.lose();
  pass(rig, Unconfirmed::kGrace / 2);
  EXPECT_EQ(rig.fib.digest(), change.after.digest());
  rig.connect(change.after);
  EXPECT_EQ(rig.fib.digest(), change.after.digest());
}

TEST(UnconfirmedTest, ANewerInverseOfARevisionReplacesTheOlder) {
  Rig rig;
  const Change change;
  change.open(rig, 1'000);
  rig.transport.deliver(change.inverse(100'000));
  rig.drain();
  rig.lose();
  pass(rig, milliseconds(90'000));
  EXPECT_EQ(rig.fib.digest(), change.after.digest());
  pass(rig, milliseconds(20'000));
  EXPECT_EQ(rig.fib.digest(), change.before.digest());
}

TEST(UnconfirmedTest, WhatANewStreamDoesNotRepeatWasSettled) {
  Rig rig;
  const Change change;
  change.open(rig, 5'000);
  rig.lose();
  rig.connect(change.after);
  rig.send(change.after.delta(change.after, 1));  // in sync, nothing repeated
  rig.lose();
  pass(rig, milliseconds(60'000));
  EXPECT_EQ(rig.fib.digest(), change.after.digest());
}

TEST(UnconfirmedTest, WhatANewStreamRepeatsStays) {
  Rig rig;
  const Change change;
  change.open(rig, 5'000);
  rig.lose();
  rig.connect(change.after);
  rig.transport.deliver(change.inverse(4'000));
  rig.send(change.after.delta(change.after, 1));
  rig.lose();
  pass(rig, milliseconds(60'000));
  EXPECT_EQ(rig.fib.digest(), change.before.digest());
}

TEST(UnconfirmedTest, WallClockCountsOverARestart) {
  const TemporaryDirectory directory;
  const Change change;
  FakeClock at;
  {
    Rig rig(with_state(directory));
    change.open(rig, 60'000);
    rig.client->stop();
    while (rig.client->step()) {
    }
    at.advance_to(rig.clock.now());
    at.step_wall(milliseconds(rig.clock.unix_millis() - at.unix_millis()));
  }
  at.step_wall(milliseconds(50'000));  // the process is away
  Rig rig(with_state(directory), at);
  EXPECT_EQ(rig.fib.digest(), change.after.digest());
  pass(rig, milliseconds(9'000));
  EXPECT_EQ(rig.fib.digest(), change.after.digest());
  pass(rig, milliseconds(3'000));
  EXPECT_EQ(rig.fib.digest(), change.before.digest());
}

TEST(UnconfirmedTest, PastDeadlineAfterARestartWaitsForTheGraceOnly) {
  const TemporaryDirectory directory;
  const Change change;
  FakeClock at;
  {
    Rig rig(with_state(directory));
    change.open(rig, 10'000);
    rig.client->stop();
    while (rig.client->step()) {
    }
    at.advance_to(rig.clock.now());
    at.step_wall(milliseconds(rig.clock.unix_millis() - at.unix_millis()));
  }
  at.step_wall(milliseconds(3'600'000));
  Rig rig(with_state(directory), at);
  pass(rig, Unconfirmed::kGrace / 2);
  EXPECT_EQ(rig.fib.digest(), change.after.digest());
  pass(rig, Unconfirmed::kGrace);
  EXPECT_EQ(rig.fib.digest(), change.before.digest());
}

// A FIFO in the way of a file's replacement: the directory's thread hangs in open until
// somebody reads, as on a disk that does not answer.
class StuckDisk {
 public:
  explicit StuckDisk(const TemporaryDirectory& directory)
      : path_(directory.path() + "/unconfirmed.blob.tmp") {
    EXPECT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  }
  // Lets it go on; what is written now is lost in the pipe.
  void release(StateDirectory& state) {
    const int fd = ::open(path_.c_str(), O_RDONLY | O_NONBLOCK);
    EXPECT_GE(fd, 0);
    static_cast<void>(state.sync().ok());
    ::close(fd);
  }

 private:
  std::string path_;
};

TEST(UnconfirmedTest, AStuckDiskDelaysNoAck) {
  const TemporaryDirectory directory;
  const Change change;
  Rig rig(with_state(directory));
  rig.connect(change.before);
  rig.send(change.before.full(1));
  ASSERT_TRUE(rig.directory->sync().ok());
  StuckDisk disk(directory);
  rig.transport.sent.clear();
  rig.transport.deliver(change.inverse(60'000));
  rig.send(change.after.delta(change.before, 2));
  EXPECT_EQ(rig.acks().size(), 1u) << "and this test would hang";
  disk.release(*rig.directory);
}

// What a crash would find on disk: with the commit its inverse, and neither after the undoing.
TEST(UnconfirmedTest, ACommitAndItsInverseAreOnDiskTogether) {
  const TemporaryDirectory directory;
  const Change change;
  const auto crash = [&](const char* name) {
    const std::string copy = directory.path() + "-" + name;
    std::filesystem::copy(directory.path(), copy);
    Fib fib;
    std::unique_ptr<StateDirectory> state;
    EXPECT_TRUE(StateDirectory::open(copy, {}, &state).ok());
    LoadReport report;
    EXPECT_TRUE(state->load(&fib, &report).ok());
    const std::size_t pending = Saved(state.get()).load_unconfirmed().size();
    state.reset();
    std::filesystem::remove_all(copy);
    return std::pair(fib.digest(), pending);
  };
  Rig rig(with_state(directory));
  rig.connect(change.before);
  rig.send(change.before.full(1));
  rig.transport.deliver(change.inverse(5'000));
  rig.send(change.after.delta(change.before, 2));
  ASSERT_TRUE(rig.directory->sync().ok());
  EXPECT_EQ(crash("kept"), std::pair(change.after.digest(), std::size_t{1}));
  rig.lose();
  pass(rig, milliseconds(10'000));
  EXPECT_EQ(rig.fib.digest(), change.before.digest());
  ASSERT_TRUE(rig.directory->sync().ok());
  EXPECT_EQ(crash("undone"), std::pair(change.before.digest(), std::size_t{0}));
}

// Reports of undoings that were sent since `sent` was last cleared.
std::vector<std::uint64_t> reported(Rig& rig) {
  std::vector<std::uint64_t> revisions;
  for (const auto& message : rig.sent(pb::DataPlaneMessage::kObservation)) {
    if (message.observation().has_undone()) {
      EXPECT_GT(message.observation().time_ms(), 0u);
      revisions.push_back(message.observation().undone().revision());
    }
  }
  return revisions;
}

// Ends a data plane as a service manager does; `at` shows the time that it was then.
void stop(Rig& rig, FakeClock& at) {
  rig.client->stop();
  while (rig.client->step()) {
  }
  at.advance_to(rig.clock.now());
  at.step_wall(milliseconds(rig.clock.unix_millis() - at.unix_millis()));
}

TEST(UndoneTest, IsReportedAfterARestartToo) {
  const TemporaryDirectory directory;
  const Change change;
  FakeClock at;
  std::uint64_t undone_at = 0;
  {
    Rig rig(with_state(directory));
    change.open(rig, 5'000);
    rig.lose();
    pass(rig, milliseconds(10'000));
    ASSERT_EQ(rig.fib.digest(), change.before.digest());
    undone_at = rig.clock.unix_millis();
    stop(rig, at);
  }
  at.step_wall(milliseconds(3'600'000));
  // The first life ends before anybody can have heard it, the second one after.
  for (const milliseconds life : {milliseconds(0), Undone::kHeard + 2 * Client::kCountersEvery}) {
    Rig rig(with_state(directory), at);
    rig.connect(change.after);
    rig.client->step();
    EXPECT_EQ(reported(rig), std::vector<std::uint64_t>{2});
    for (const auto& message : rig.sent(pb::DataPlaneMessage::kObservation)) {
      EXPECT_LE(message.observation().time_ms(), undone_at) << "the time is that of the undoing";
    }
    const TimePoint end = rig.clock.now() + life;
    while (rig.clock.now() < end) rig.client->step();
    EXPECT_EQ(reported(rig), std::vector<std::uint64_t>{2}) << "once a stream";
    stop(rig, at);
  }
  Rig rig(with_state(directory), at);
  rig.connect(change.after);
  rig.client->step();
  EXPECT_TRUE(reported(rig).empty()) << "a controller knows";
}

TEST(UndoneTest, IsToldAgainWhereTheStreamBreaksTooSoon) {
  Rig rig;
  const Change change;
  change.open(rig, 1'000);
  rig.lose();
  pass(rig, milliseconds(5'000));
  for (int stream = 0; stream < 3; ++stream) {
    rig.transport.sent.clear();
    rig.connect(change.after);
    rig.client->step();
    EXPECT_EQ(reported(rig), std::vector<std::uint64_t>{2});
    rig.lose();
  }
}

TEST(UndoneTest, TheNewestAreKeptAndEachOnce) {
  FakeLogger logger;
  const TemporaryDirectory directory;
  std::unique_ptr<StateDirectory> state;
  ASSERT_TRUE(StateDirectory::open(directory.path(), {}, &state).ok());
  Saved saved(state.get());
  Undone undone(saved, logger);
  for (std::uint64_t revision = 1; revision <= Undone::kMost + 3; ++revision) {
    undone.add(revision, 1'000 + revision);
    undone.add(revision, 9'999);
  }
  EXPECT_EQ(undone.size(), Undone::kMost);
  undone.save();
  ASSERT_TRUE(state->sync().ok());
  const auto loaded = saved.load_undone();
  ASSERT_EQ(loaded.size(), Undone::kMost);
  EXPECT_EQ(loaded.front().undone().revision(), 4u);
  EXPECT_EQ(loaded.back().time_ms(), 1'000 + Undone::kMost + 3);
  pb::Observation other;
  other.mutable_whole();
  ASSERT_TRUE(saved.save_undone({&other}).ok());
  ASSERT_TRUE(state->sync().ok());
  EXPECT_TRUE(saved.load_undone().empty()) << "nothing but reports of undoings is told";
}

struct BadInverse {
  const char* name;
  void (*change)(pb::Unconfirmed*);
};

class BadInverseTest : public testing::TestWithParam<BadInverse> {};

TEST_P(BadInverseTest, IsReportedAndLeavesAWholeTable) {
  Rig rig;
  const Change change;
  rig.connect(change.before);
  rig.send(change.before.full(1));
  rig.send(change.after.delta(change.before, 2));
  auto message = change.inverse(1'000);
  GetParam().change(message.mutable_unconfirmed());
  rig.transport.deliver(message);
  rig.drain();
  rig.lose();
  pass(rig, milliseconds(5'000));
  EXPECT_EQ(rig.logger.count("left another table than announced"), 1u);
  EXPECT_FALSE(rig.fib.summary().partial);
}

INSTANTIATE_TEST_SUITE_P(
    All, BadInverseTest,
    testing::Values(
        BadInverse{"Empty", [](pb::Unconfirmed* u) { u->clear_inverse(); }},
        BadInverse{
            "NoEnd",
            [](pb::Unconfirmed* u) { u->mutable_inverse(u->inverse_size() - 1)->set_end(false); }},
        BadInverse{"EarlyEnd", [](pb::Unconfirmed* u) { u->mutable_inverse(0)->set_end(true); }},
        BadInverse{
            "KindChanges",
            [](pb::Unconfirmed* u) { u->mutable_inverse(1)->set_kind(pb::DeltaChunk::FULL); }},
        BadInverse{
            "DigestSize",
            [](pb::Unconfirmed* u) { u->mutable_inverse(u->inverse_size() - 1)->set_digest("x"); }},
        BadInverse{"OtherDigest",
                   [](pb::Unconfirmed* u) {
                     u->mutable_inverse(u->inverse_size() - 1)->set_digest(Digest{1, 1}.bytes());
                   }}),
    [](const auto& test) { return test.param.name; });

TEST(UnconfirmedTest, SeveralAreUndoneNewestFirst) {
  FakeClock clock;
  FakeLogger logger;
  Saved saved(nullptr);
  Unconfirmed pending(saved, clock, logger);
  for (const std::uint64_t revision : {5u, 9u, 7u}) {
    pb::Unconfirmed u;
    u.set_revision(revision);
    u.set_remaining_ms(1000);
    ASSERT_TRUE(pending.keep(u));
  }
  const TimePoint cut = clock.now();
  EXPECT_FALSE(pending.take(cut));
  clock.advance(milliseconds(2000));
  EXPECT_EQ(pending.take(cut)->revision(), 9u);
  EXPECT_EQ(pending.take(cut)->revision(), 7u);
  EXPECT_EQ(pending.take(cut)->revision(), 5u);
  EXPECT_FALSE(pending.take(cut));
  EXPECT_FALSE(pending.due(cut));
}

TEST(UnconfirmedTest, BoundsHold) {
  FakeClock clock;
  FakeLogger logger;
  Saved saved(nullptr);
  Unconfirmed pending(saved, clock, logger);
  pb::Unconfirmed u;
  for (std::uint64_t i = 1; i <= Unconfirmed::kMostPending; ++i) {
    u.set_revision(i);
    ASSERT_TRUE(pending.keep(u));
  }
  u.set_revision(1000);
  EXPECT_FALSE(pending.keep(u));
  u.set_revision(1);
  EXPECT_TRUE(pending.keep(u)) << "replacing is no growth";
  pending.settle(2);
  u.set_revision(2);
  u.add_inverse()->mutable_set()->set_address4(std::string(Unconfirmed::kMostBytes, 'x'));
  EXPECT_FALSE(pending.keep(u));
  u.set_remaining_ms(~std::uint64_t{0});
  u.clear_inverse();
  EXPECT_TRUE(pending.keep(u)) << "an absurd time must not overflow";
  EXPECT_GT(*pending.due(clock.now()), clock.now());
}

}  // namespace
}  // namespace dvr::stream
