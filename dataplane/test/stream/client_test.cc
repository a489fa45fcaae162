// Dialling, losing and finding controllers, with time in the test's hands.
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <set>
#include <thread>

#include "test/stream/audited_sink.h"
#include "test/stream/rig.h"

namespace dvr::stream {
namespace {

using std::chrono::milliseconds;

TEST(AddressesTest, GivenOnesFirstInRandomOrderThenLearntOnesRoundRobin) {
  Addresses addresses({"a:1", "b:1", "c:1"}, {"d:1", "a:1", "e:1"}, 7);
  std::set<std::string> first;
  for (int i = 0; i < 3; ++i) first.insert(addresses.next());
  EXPECT_EQ(first, (std::set<std::string>{"a:1", "b:1", "c:1"}));
  EXPECT_EQ(addresses.next(), "d:1");
  EXPECT_EQ(addresses.next(), "e:1");
  EXPECT_EQ(addresses.size(), 5u);
  EXPECT_TRUE(first.contains(addresses.next()));
}

TEST(AddressesTest, SeedsGiveDifferentOrders) {
  std::set<std::string> firsts;
  for (std::uint64_t seed = 0; seed < 32; ++seed) {
    firsts.insert(Addresses({"a:1", "b:1", "c:1"}, {}, seed).next());
  }
  EXPECT_EQ(firsts.size(), 3u);
}

TEST(AddressesTest, LearningKeepsTheTurn) {
  Addresses addresses({"a:1"}, {"b:1", "c:1"}, 1);
  EXPECT_EQ(addresses.next(), "a:1");
  EXPECT_TRUE(addresses.learn({"z:1", "b:1"}));
  EXPECT_EQ(addresses.next(), "b:1") << "it was next before";
  EXPECT_FALSE(addresses.learn({"z:1", "b:1"})) << "nothing changed";
  EXPECT_FALSE(addresses.learn({})) << "an empty answer forgets nothing";
}

TEST(AddressesTest, BadAndTooManyAddressesAreLeftOut) {
  Addresses addresses({"a:1"}, {}, 1);
  EXPECT_FALSE(addresses.learn({"", "with space:1", "bell\x07:1", std::string(513, 'x')}));
  std::vector<std::string> many;
  for (int i = 0; i < 1000; ++i) many.push_back("h" + std::to_string(i) + ":1");
  EXPECT_TRUE(addresses.learn(many));
  EXPECT_EQ(addresses.learnt().size(), Addresses::kMostLearnt);
}

TEST(BackoffTest, DoublesWithJitterUpToItsBound) {
  Backoff backoff(3);
  milliseconds bound = Backoff::kFirst;
  std::set<long> waits;
  for (int i = 0; i < 20; ++i) {
    const milliseconds wait = backoff.next();
    EXPECT_GE(wait, bound / 2);
    EXPECT_LE(wait, bound);
    waits.insert(static_cast<long>(wait.count()));
    bound = std::min(bound * 2, Backoff::kMost);
  }
  EXPECT_EQ(bound, Backoff::kMost);
  EXPECT_GT(waits.size(), 10u) << "no jitter";
  backoff.reset();
  EXPECT_LE(backoff.next(), Backoff::kFirst);
}

TEST(ClientTest, DialsAtOnceAndThenWithBackoffThroughAllAddresses) {
  Rig rig(with_controllers({"a:1", "b:1", "c:1"}));
  const TimePoint start = rig.clock.now();
  std::vector<milliseconds> gaps;
  for (int i = 0; i < 12; ++i) {
    const TimePoint before = rig.clock.now();
    rig.dial();
    gaps.push_back(std::chrono::duration_cast<milliseconds>(rig.clock.now() - before));
    rig.lose("connection refused");
  }
  EXPECT_EQ(gaps[0].count(), 0) << "the first attempt waits for nothing";
  EXPECT_LE(gaps[1], milliseconds(60));
  EXPECT_LE(gaps[11], Backoff::kMost + milliseconds(5));
  EXPECT_GE(gaps[11], Backoff::kMost / 2);
  const auto& opened = rig.transport.opened;
  ASSERT_EQ(opened.size(), 12u);
  for (std::size_t i = 0; i + 2 < opened.size(); ++i) {
    EXPECT_EQ(std::set<std::string>(opened.begin() + static_cast<long>(i),
                                    opened.begin() + static_cast<long>(i) + 3)
                  .size(),
              3u)
        << "every address gets its turn";
  }
  EXPECT_LT(rig.clock.now() - start, std::chrono::seconds(20));
}

TEST(ClientTest, BackoffStartsAgainAfterASyncedStream) {
  Rig rig;
  const Model model = small_table();
  for (int i = 0; i < 10; ++i) {
    rig.dial();
    rig.lose("connection refused");
  }
  rig.connect(model);
  rig.send(model.full(1));
  rig.lose();
  const TimePoint lost = rig.clock.now();
  rig.dial();
  EXPECT_LE(rig.clock.now() - lost, Backoff::kFirst + milliseconds(5));
}

TEST(ClientTest, AControllerThatWelcomesAndFailsIsNotHammered) {
  Rig rig;
  const Model model = small_table();
  TimePoint before = rig.clock.now();
  milliseconds last{0};
  for (int i = 0; i < 10; ++i) {
    rig.connect(model);
    rig.lose();
    last = std::chrono::duration_cast<milliseconds>(rig.clock.now() - before);
    before = rig.clock.now();
  }
  EXPECT_GE(last, Backoff::kMost / 2) << "a welcome alone resets nothing";
}

TEST(ClientTest, SilenceInsteadOfAWelcomeIsGivenUp) {
  Rig rig(with_controllers({"a:1", "b:1"}));
  rig.hello();
  const std::string first = rig.transport.opened.back();
  const TimePoint start = rig.clock.now();
  while (rig.transport.streaming) rig.client->step();
  EXPECT_GE(rig.clock.now() - start, Client::kWelcomeTimeout - milliseconds(5));
  EXPECT_LE(rig.clock.now() - start, Client::kWelcomeTimeout + Backoff::kMost);
  rig.dial();
  EXPECT_NE(rig.transport.opened.back(), first);
}

TEST(ClientTest, AlreadyExistsIsRetriedAndShown) {
  Rig rig;
  const Model model = small_table();
  for (int i = 0; i < 5; ++i) {
    rig.dial();
    rig.transport.end(Closing::Reason::kAlreadyExists, "router r1 is served by instance-0");
    rig.drain();
  }
  EXPECT_EQ(rig.health(), "empty");
  EXPECT_EQ(rig.logger.count("served by instance-0"), 1u) << "said once, not every time";
  rig.connect(model);
  rig.send(model.full(1));
  EXPECT_EQ(rig.health(), "in sync");
}

TEST(ClientTest, LosingTheControllerNeverTouchesTheTable) {
  Rig rig;
  const Model model = small_table();
  rig.connect(model);
  rig.send(model.full(1));
  rig.lose("keepalive watchdog timeout");
  const TimePoint end = rig.clock.now() + std::chrono::hours(1);
  while (rig.clock.now() < end) {
    rig.client->step();
    if (rig.transport.streaming) rig.lose("connection refused");
  }
  EXPECT_EQ(rig.fib.digest(), model.digest());
  EXPECT_EQ(rig.lookup("10.1.2.3"), "10.1.0.0/16");
  EXPECT_EQ(rig.health(), "stale: c1:1: connection refused");
  pb::Stats stats;
  rig.board.fill(&stats);
  EXPECT_FALSE(stats.connected());
}

TEST(ClientTest, StatsTellOfTheConnection) {
  Rig rig;
  const Model model = small_table();
  rig.connect(model);
  rig.send(model.full(1));
  pb::Stats stats;
  rig.board.fill(&stats);
  EXPECT_TRUE(stats.connected());
  EXPECT_EQ(stats.controller(), "c1:1");
  EXPECT_GT(stats.since_ms(), 0u);
  ASSERT_EQ(stats.sinks_size(), 1);
  EXPECT_EQ(stats.sinks(0).entries(), 5u);
}

TEST(ClientTest, LearntControllersAreDialledAndKeptOverARestart) {
  const TemporaryDirectory directory;
  const Model model = small_table();
  {
    Rig rig(with_state(directory));
    rig.hello();
    auto welcome = Rig::welcome_message(model.position());
    welcome.mutable_welcome()->add_controllers("c1:1");
    welcome.mutable_welcome()->add_controllers("c2:1");
    rig.transport.deliver(welcome);
    rig.send(model.full(1));
    pb::ControllerMessage more;
    for (const char* a : {"c1:1", "c2:1", "c3:1"}) more.mutable_controllers()->add_addresses(a);
    rig.transport.deliver(more);
    rig.drain();
  }
  Rig rig(with_state(directory));
  for (int i = 0; i < 3; ++i) {
    rig.dial();
    rig.lose("connection refused");
  }
  EXPECT_EQ(rig.transport.opened, (std::vector<std::string>{"c1:1", "c2:1", "c3:1"}));
}

TEST(ClientTest, TableIsServedFromTheDirectoryBeforeAnyConnection) {
  const TemporaryDirectory directory;
  const Model one = small_table().at(4);
  Model two = one;
  two.at(5).set("203.0.113.0/24", 'a');
  std::string instance;
  {
    Rig rig(with_state(directory));
    instance = rig.directory->instance();
    rig.connect(one);
    rig.send(one.full(1));
    rig.send(two.delta(one, 2));
    rig.client->stop();
    while (rig.client->step()) {
    }
  }
  Rig rig(with_state(directory));
  EXPECT_EQ(rig.directory->instance(), instance);
  EXPECT_EQ(rig.lookup("203.0.113.7"), "203.0.113.0/24");
  EXPECT_EQ(rig.fib.digest(), two.digest());
  EXPECT_EQ(rig.health(), "stale: no controller was reached yet");
  const pb::Hello hello = rig.hello();
  EXPECT_EQ(hello.position().revision(), 5u);
  EXPECT_EQ(hello.epoch_nonce(), "nonce-1");
  EXPECT_EQ(hello.digest(), two.digest().bytes());
}

// A disk that fills up is said while the data plane runs, once, not only at its end.
TEST(ClientTest, SaveErrorsAreLoggedWhileItRuns) {
  const TemporaryDirectory directory;
  const Model model = small_table();
  Rig rig(with_state(directory));
  std::filesystem::create_directory(directory.path() + "/fib.checkpoint.tmp");
  rig.connect(model);
  rig.directory->request_checkpoint();
  rig.send(model.full(1));
  for (int i = 0; i < 1000 && rig.logger.count("cannot be saved") == 0; ++i) {
    rig.clock.advance(Client::kCountersEvery);
    rig.client->step();
    std::this_thread::yield();
  }
  EXPECT_EQ(rig.logger.count("what must outlive a restart cannot be saved"), 1u);
  EXPECT_EQ(rig.logger.count("fib.checkpoint.tmp"), 1u) << rig.logger.all();
  std::filesystem::remove(directory.path() + "/fib.checkpoint.tmp");
}

TEST(ClientTest, StopEndsTheStreamAndTheLoop) {
  Rig rig;
  const Model model = small_table();
  rig.connect(model);
  rig.client->stop();
  EXPECT_FALSE(rig.client->step());
  EXPECT_FALSE(rig.transport.streaming);
}

TEST(ClientTest, ASinkThatChangesBetweenDeltasIsTold) {
  Rig rig;
  const Model model = small_table().at(1);
  rig.connect(model);
  rig.send(model.full(1));
  rig.transport.sent.clear();
  rig.client->sinks_changed();
  rig.client->step();
  EXPECT_TRUE(rig.sent(pb::DataPlaneMessage::kSink).empty()) << "it has not changed";
  // What a sink would notice by itself.
  ASSERT_TRUE(rig.fib.begin(DeltaKind::kIncremental).ok());
  const Prefix p = parse_prefix("10.0.0.0/8").value();
  const std::array<std::uint32_t, 1> address{p.address.as_v4()};
  const std::array<std::uint8_t, 1> length{p.length};
  ASSERT_TRUE(rig.fib.remove4(address, length).ok());
  rig.client->sinks_changed();
  rig.client->step();
  EXPECT_TRUE(rig.sent(pb::DataPlaneMessage::kSink).empty()) << "in the middle of a delta";
  rig.fib.abort();
  rig.client->step();
  const auto told = rig.sent(pb::DataPlaneMessage::kSink);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].sink().entries(), 4u);
  pb::Stats stats;
  rig.board.fill(&stats);
  EXPECT_EQ(stats.sinks(0).entries(), 4u);
}

TEST(ClientTest, AnAuditThatTheControllerAsksForIsAnsweredOnItsStream) {
  AuditedSink sink;
  RigOptions options;
  options.sink = &sink;
  Rig rig(options);
  const Model model = small_table().at(1);
  rig.connect(model);
  const auto ask = [&](std::uint64_t id) {
    pb::ControllerMessage message;
    message.mutable_audit()->set_id(id);
    rig.transport.deliver(std::move(message));
    rig.drain();
  };
  const auto answers = [&] { return rig.sent(pb::DataPlaneMessage::kAudit); };
  ask(41);
  EXPECT_TRUE(answers().empty()) << "before the sink has";
  SinkAudit audit;
  audit.entries = 7;
  std::thread([&] { sink.end(audit); }).join();
  rig.client->step();
  ASSERT_EQ(answers().size(), 1u);
  EXPECT_EQ(answers()[0].audit().id(), 41u);
  ASSERT_EQ(answers()[0].audit().sinks_size(), 1);
  EXPECT_EQ(answers()[0].audit().sinks(0).entries(), 7u);
  // What another stream asked for is not this one's.
  ask(42);
  rig.lose();
  rig.connect(model);
  rig.transport.sent.clear();
  sink.end(audit);
  rig.client->step();
  rig.client->step();
  EXPECT_TRUE(answers().empty());
}

TEST(ClientTest, WithoutASinkToAuditTheAnswerIsEmpty) {
  Rig rig;
  rig.connect(small_table().at(1));
  pb::ControllerMessage message;
  message.mutable_audit()->set_id(1);
  rig.transport.deliver(std::move(message));
  rig.drain();
  rig.client->step();
  const auto told = rig.sent(pb::DataPlaneMessage::kAudit);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].audit().sinks_size(), 0);
}

TEST(ClientTest, SinksCountersAreAmongTheCounters) {
  AuditedSink sink;
  RigOptions options;
  options.sink = &sink;
  Rig rig(options);
  rig.connect(small_table().at(1));
  rig.clock.advance_to(rig.clock.now() + Client::kCountersEvery);
  rig.client->step();
  const auto told = rig.sent(pb::DataPlaneMessage::kCounters);
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told.back().counters().more().at("kernel_audits"), 5u);
}

}  // namespace
}  // namespace dvr::stream
