// The protocol on one stream: what is said, applied, acknowledged and refused.
#include <gtest/gtest.h>

#include "test/stream/rig.h"

namespace dvr::stream {
namespace {

using Kind = pb::DataPlaneMessage;

TEST(SessionTest, HelloOfAnEmptyDataPlaneOffersWhatItSpeaks) {
  Rig rig(with_takeover());
  const pb::Hello hello = rig.hello();
  EXPECT_EQ(hello.protocol(), 1u);
  EXPECT_EQ(hello.router(), "r1");
  EXPECT_EQ(hello.instance(), "instance-1");
  EXPECT_EQ(hello.version(), "test");
  EXPECT_EQ(hello.credit(), 8u);
  EXPECT_TRUE(hello.takeover());
  EXPECT_FALSE(hello.adopt());
  EXPECT_EQ(hello.position().log_id(), "");
  EXPECT_EQ(hello.digest(), Digest{}.bytes());
  EXPECT_FALSE(hello.partial());
  EXPECT_EQ(hello.buckets(), "");
  ASSERT_EQ(hello.sinks_size(), 1);
  EXPECT_EQ(hello.sinks(0), "memory");
  ASSERT_EQ(hello.digest_versions_size(), 1);
  EXPECT_EQ(hello.digest_versions(0), 1u);
}

TEST(SessionTest, FullDeltaIsAppliedAndAcknowledged) {
  Rig rig;
  const Model model = small_table().at(7);
  rig.connect(model);
  rig.transport.sent.clear();
  rig.send(model.full(1));

  const auto acks = rig.acks();
  ASSERT_EQ(acks.size(), 1u);
  const pb::Ack& ack = acks[0].ack();
  EXPECT_EQ(ack.delta(), 1u);
  EXPECT_EQ(ack.position().log_id(), model.position().log_id);
  EXPECT_EQ(ack.position().epoch(), 1u);
  EXPECT_EQ(ack.position().revision(), 7u);
  EXPECT_EQ(ack.digest(), model.digest().bytes());
  EXPECT_FALSE(ack.deviates());
  ASSERT_EQ(ack.sinks_size(), 1);
  EXPECT_EQ(ack.sinks(0).name(), "memory");
  EXPECT_EQ(ack.sinks(0).installed(), model.digest().bytes());
  EXPECT_EQ(ack.sinks(0).entries(), 5u);
  EXPECT_EQ(ack.sinks(0).failed(), 0u);
  EXPECT_EQ(ack.sinks(0).failed_buckets(), "");
  for (const char* address : {"10.2.3.4", "10.1.2.3", "198.51.100.9", "192.0.2.1", "2001:db8::1",
                              "2001:db8:1::1", "2001:db9::1"}) {
    EXPECT_EQ(rig.lookup(address), model.lookup(address)) << address;
  }
  EXPECT_EQ(rig.health(), "in sync");
}

TEST(SessionTest, NothingIsAcknowledgedBeforeTheEnd) {
  Rig rig;
  const Model model = small_table();
  rig.connect(model);
  auto chunks = model.full(1, 2);
  ASSERT_EQ(chunks.size(), 3u);
  const pb::DeltaChunk last = chunks.back();
  chunks.pop_back();
  rig.send(chunks);
  EXPECT_TRUE(rig.acks().empty());
  EXPECT_TRUE(rig.fib.in_delta());
  rig.send({last});
  EXPECT_EQ(rig.acks().size(), 1u);
  EXPECT_EQ(rig.fib.digest(), model.digest());
}

TEST(SessionTest, IncrementalDeltasFollow) {
  Rig rig;
  const Model one = small_table().at(1);
  Model two = one;
  two.at(2).set("10.1.0.0/16", 'a').remove("198.51.100.0/24").set("203.0.113.0/24", 'c');
  two.group('c', {hop("2001:db8::99")}).remove("2001:db8:1::/48");
  Model three = two;
  three.at(9).group('a', {hop("192.0.2.77")});
  rig.connect(one);
  rig.send(one.full(1));
  rig.send(two.delta(one, 2, 1));
  EXPECT_EQ(rig.fib.digest(), two.digest());
  EXPECT_EQ(rig.lookup("198.51.100.9"), "");
  rig.send(three.delta(two, 3));
  EXPECT_EQ(rig.fib.digest(), three.digest());
  const auto acks = rig.acks();
  ASSERT_EQ(acks.size(), 3u);
  EXPECT_EQ(acks[1].ack().delta(), 2u);
  EXPECT_EQ(acks[1].ack().digest(), two.digest().bytes());
  EXPECT_EQ(acks[2].ack().position().revision(), 9u);
  const auto match = rig.fib.lookup(parse_address("10.1.2.3").value());
  ASSERT_TRUE(match);
  ASSERT_EQ(match->next_hops.size(), 1u);
  EXPECT_EQ(to_string(match->next_hops[0].address), "192.0.2.77");
}

TEST(SessionTest, EmptyDeltaMovesThePositionOnly) {
  Rig rig;
  const Model one = small_table().at(1);
  Model two = one;
  two.at(500);
  rig.connect(one);
  rig.send(one.full(1));
  rig.transport.sent.clear();
  rig.send(two.delta(one, 2));
  ASSERT_EQ(rig.acks().size(), 1u);
  EXPECT_EQ(rig.acks()[0].ack().position().revision(), 500u);
  EXPECT_EQ(rig.acks()[0].ack().digest(), one.digest().bytes());
  EXPECT_EQ(rig.fib.summary().position.revision, 500u);
}

TEST(SessionTest, WithdrawnGroupDropsAtOnceAndItsPrefixesLeaveInSteps) {
  Rig rig;
  const Model one = small_table().at(1);
  Model two = one;
  two.at(2).remove("10.1.0.0/16").remove("2001:db8:1::/48");
  rig.connect(one);
  rig.send(one.full(1));
  rig.transport.sent.clear();
  pb::DeltaChunk chunk;
  chunk.set_delta(2);
  chunk.add_groups_withdrawn(std::string(class_id('b').view()));
  chunk.set_end(true);
  to_message(two.position(), chunk.mutable_position());
  chunk.set_digest(two.digest().bytes());
  rig.send({chunk});
  ASSERT_EQ(rig.acks().size(), 1u);
  EXPECT_EQ(rig.acks()[0].ack().digest(), two.digest().bytes());
  // Idle steps remove the prefixes, which then fall to the covering route; the
  // sink's status follows unasked.
  for (int i = 0; i < 100 && rig.sent(Kind::kSink).empty(); ++i) rig.client->step();
  EXPECT_EQ(rig.lookup("10.1.2.3"), "10.0.0.0/8");
  EXPECT_EQ(rig.lookup("2001:db8:1::1"), "2001:db8::/32");
  const auto sinks = rig.sent(Kind::kSink);
  ASSERT_EQ(sinks.size(), 1u);
  EXPECT_EQ(sinks[0].sink().installed(), two.digest().bytes());
  EXPECT_EQ(sinks[0].sink().entries(), 3u);
}

// Until the paced removal reaches a prefix, its packets are dropped: no route.
TEST(AnswerTest, AWithdrawnGroupIsNoRouteUntilItsPrefixFallsToTheCover) {
  Fib fib;
  Deltas deltas(fib);
  const Model one = small_table().at(1);
  deltas.start(one.position(), "n");
  for (const auto& chunk : one.full(1)) ASSERT_TRUE(deltas.apply(chunk).ok());
  const auto ask = [&fib](std::string_view address) {
    pb::LookupRequest request;
    request.set_id(7);
    request.set_address(to_bytes(parse_address(address).value()));
    pb::LookupAnswer reply;
    answer(fib, request, &reply);
    return reply;
  };
  EXPECT_EQ(ask("10.1.2.3").length(), 16u);
  ASSERT_TRUE(fib.begin(DeltaKind::kIncremental).ok());
  ASSERT_TRUE(fib.withdraw_group(class_id('b')).ok());
  ASSERT_TRUE(fib.end(one.position(), "n").ok());
  const pb::LookupAnswer dropped = ask("10.1.2.3");
  EXPECT_FALSE(dropped.found());
  EXPECT_EQ(dropped.prefix(), "");
  EXPECT_EQ(dropped.next_hops_size(), 0);
  EXPECT_EQ(dropped.id(), 7u);
  EXPECT_EQ(dropped.position().revision(), 1u);
  EXPECT_TRUE(ask("10.2.3.4").found()) << "another class";
  while (fib.step(4)) {
  }
  EXPECT_TRUE(ask("10.1.2.3").found());
  EXPECT_EQ(ask("10.1.2.3").length(), 8u);
}

// A stream without a pause leaves no idle time to remove what was withdrawn.
TEST(SessionTest, WithdrawnPrefixesFallToTheirCoverUnderSteadyLoad) {
  Rig rig;
  const Model one = small_table().at(1);
  rig.connect(one);
  rig.send(one.full(1));
  Model two = one;
  two.at(2).remove("10.1.0.0/16").remove("2001:db8:1::/48");
  std::vector<pb::DeltaChunk> chunks(1);
  chunks[0].set_delta(2);
  chunks[0].add_groups_withdrawn(std::string(class_id('b').view()));
  chunks[0].set_end(true);
  to_message(two.position(), chunks[0].mutable_position());
  chunks[0].set_digest(two.digest().bytes());
  for (std::uint64_t number = 3; number < 6; ++number) {
    Model next = two;
    next.at(number);
    for (pb::DeltaChunk& chunk : next.delta(two, number)) chunks.push_back(std::move(chunk));
  }
  rig.send(chunks);  // drain() ends before the transport was ever idle
  EXPECT_EQ(rig.lookup("10.1.2.3"), "10.0.0.0/8");
}

TEST(SessionTest, WrongDigestIsAcknowledgedTruthfullyAndShown) {
  Rig rig;
  const Model model = small_table();
  rig.connect(model);
  auto chunks = model.full(1);
  chunks.back().set_digest(Digest{1, 2}.bytes());
  rig.send(chunks);
  ASSERT_EQ(rig.acks().size(), 1u);
  EXPECT_EQ(rig.acks()[0].ack().digest(), model.digest().bytes());
  EXPECT_EQ(rig.health(), "stale: the digest differs from the controller's");
  EXPECT_EQ(rig.logger.count("digest differs"), 1u);
  // The controller reconciles on the same stream.
  rig.send(model.full(2));
  EXPECT_EQ(rig.health(), "in sync");
}

TEST(SessionTest, CutDeltaIsPartialAndBucketsLimitTheReconcile) {
  Rig rig;
  const Model one = small_table().at(1);
  Model two = one;
  two.at(2).set("203.0.113.0/24", 'a').set("192.0.2.0/24", 'b').remove("10.0.0.0/8");
  rig.connect(one);
  rig.send(one.full(1));
  auto chunks = two.delta(one, 2, 1);
  ASSERT_EQ(chunks.size(), 3u);
  chunks.resize(2);
  rig.send(chunks);
  rig.lose();
  // What came stays in force.
  EXPECT_EQ(rig.lookup("203.0.113.1"), "203.0.113.0/24");
  EXPECT_EQ(rig.lookup("10.200.0.1"), "10.0.0.0/8");

  const pb::Hello hello = rig.connect(two);
  EXPECT_TRUE(hello.partial());
  ASSERT_EQ(hello.buckets().size(), kBuckets * 16);
  EXPECT_EQ(hello.buckets(), to_bytes(*rig.fib.buckets()));
  // The controller compares sums and reconciles what differs.
  BucketBitmap differing{};
  set_bucket(differing, bucket_of(Prefix4{10u << 24, 8}));
  rig.send(two.full(1, 1000, &differing));
  EXPECT_EQ(rig.fib.digest(), two.digest());
  EXPECT_FALSE(rig.fib.summary().partial);
  EXPECT_EQ(rig.lookup("10.200.0.1"), "");
  EXPECT_EQ(rig.lookup("198.51.100.1"), "198.51.100.0/24") << "outside the buckets: untouched";
  EXPECT_EQ(rig.health(), "in sync");
}

TEST(SessionTest, ReconnectOffersPositionDigestAndNonce) {
  Rig rig;
  const Model model = small_table().at(42);
  rig.connect(model, "nonce-x");
  rig.send(model.full(1));
  rig.lose();
  const pb::Hello hello = rig.connect(model, "nonce-x");
  EXPECT_EQ(hello.position().log_id(), model.position().log_id);
  EXPECT_EQ(hello.position().epoch(), 1u);
  EXPECT_EQ(hello.position().revision(), 42u);
  EXPECT_EQ(hello.epoch_nonce(), "nonce-x");
  EXPECT_EQ(hello.digest(), model.digest().bytes());
  EXPECT_FALSE(hello.partial());
  EXPECT_EQ(hello.buckets(), to_bytes(*rig.fib.buckets()));
  // Numbers begin again on the new stream.
  Model next = model;
  next.at(43);
  rig.send(next.delta(model, 1));
  EXPECT_EQ(rig.fib.summary().position.revision, 43u);
}

TEST(SessionTest, BucketsOfHelloFollowTheTable) {
  Rig rig;
  Model model = small_table().at(1);
  rig.connect(model);
  rig.send(model.full(1));
  rig.lose();
  const pb::Hello before = rig.connect(model);
  const Model old = model;
  model.at(2).set("203.0.113.0/24", 'a');
  rig.send(model.delta(old, 1));
  rig.lose();
  const pb::Hello after = rig.connect(model);
  EXPECT_NE(after.buckets(), before.buckets());
  EXPECT_EQ(after.buckets(), to_bytes(*rig.fib.buckets()));
}

TEST(SessionTest, CreditComesBackInHalvesOfTheWindow) {
  Rig rig(with_credit(4));
  Model model = small_table().at(1);
  rig.connect(model);
  rig.transport.sent.clear();
  rig.send(model.full(1));  // one chunk
  EXPECT_TRUE(rig.sent(Kind::kCredit).empty());
  std::uint64_t returned = 0;
  for (std::uint64_t n = 2; n <= 21; ++n) {
    const Model old = model;
    model.at(n);
    rig.send(model.delta(old, n));
    for (const auto& message : rig.sent(Kind::kCredit)) returned += message.credit().chunks();
    EXPECT_LE(returned, n);
    EXPECT_LT(n - returned, 4u) << "the window would close";
    // Ack first: nobody waits for credit.
    ASSERT_FALSE(rig.acks().empty());
    EXPECT_TRUE(rig.transport.sent.front().has_ack());
    rig.transport.sent.clear();
  }
  EXPECT_GE(returned, 20u);
  EXPECT_EQ(rig.transport.closed, 0);
}

TEST(SessionTest, MoreChunksThanGrantedEndTheStream) {
  // Credit returns as chunks are applied, so only a window of none shows it.
  Rig rig(with_credit(0));
  const Model model = small_table();
  rig.connect(model);
  rig.send(model.full(1));
  EXPECT_FALSE(rig.transport.streaming);
  EXPECT_EQ(rig.logger.count("sent more chunks than granted"), 1u);
  EXPECT_EQ(rig.fib.summary().prefixes4, 0u);
}

TEST(SessionTest, LookupsAreAnsweredFromTheTable) {
  Rig rig;
  const Model model = small_table().at(3);
  rig.connect(model);
  rig.send(model.full(1));
  rig.transport.sent.clear();
  const auto ask = [&](std::uint64_t id, const std::string& address, const std::string& vrf = "") {
    pb::ControllerMessage message;
    message.mutable_lookup()->set_id(id);
    message.mutable_lookup()->set_address(address);
    message.mutable_lookup()->set_vrf(vrf);
    rig.transport.deliver(message);
    rig.drain();
  };
  ask(11, std::string("\x0a\x01\x02\x03", 4));
  ask(12, to_bytes(parse_address("2001:db8::5").value()));
  ask(13, std::string("\xcb\x00\x71\x01", 4));
  ask(14, "odd");
  ask(15, std::string("\x0a\x01\x02\x03", 4), "blue");
  const auto answers = rig.sent(Kind::kLookup);
  ASSERT_EQ(answers.size(), 5u);
  const pb::LookupAnswer& first = answers[0].lookup();
  EXPECT_EQ(first.id(), 11u);
  EXPECT_TRUE(first.found());
  EXPECT_EQ(first.prefix(), std::string("\x0a\x01\x00\x00", 4));
  EXPECT_EQ(first.length(), 16u);
  EXPECT_EQ(first.class_id(), class_id('b').view());
  ASSERT_EQ(first.next_hops_size(), 2);
  EXPECT_EQ(first.next_hops(0).address(), std::string("\xc0\x00\x02\x02", 4));
  EXPECT_EQ(first.next_hops(1).weight(), 3u);
  EXPECT_EQ(first.position().revision(), 3u);
  EXPECT_EQ(answers[1].lookup().length(), 32u);
  EXPECT_EQ(answers[1].lookup().prefix().size(), 16u);
  for (std::size_t i = 2; i < 5; ++i) {
    EXPECT_FALSE(answers[i].lookup().found()) << i;
    EXPECT_EQ(answers[i].lookup().id(), 11 + i);
  }
}

TEST(SessionTest, AnotherLogIsRefusedAndForwardingGoesOn) {
  Rig rig;
  const Model mine = small_table().at(5);
  rig.connect(mine);
  rig.send(mine.full(1));
  rig.lose();
  Model other = mine;
  other.in("99999999-0000-4000-8000-000000000000", 1).at(900);
  rig.connect(other);
  EXPECT_FALSE(rig.transport.streaming) << "the stream must be closed";
  EXPECT_NE(rig.health().find("restart with --adopt"), std::string::npos) << rig.health();
  EXPECT_EQ(rig.logger.count("restart with --adopt"), 1u);
  EXPECT_EQ(rig.fib.digest(), mine.digest());
  EXPECT_EQ(rig.lookup("10.1.2.3"), "10.1.0.0/16");
  EXPECT_EQ(rig.fib.summary().position, mine.position());
}

TEST(SessionTest, AdoptAcceptsAnotherLogOnce) {
  Rig rig(with_adopt());
  const Model mine = small_table().at(5);
  rig.connect(mine);
  rig.send(mine.full(1));
  rig.lose();
  Model other = mine;
  other.in("99999999-0000-4000-8000-000000000000", 1).at(2).remove("10.0.0.0/8");
  EXPECT_TRUE(rig.connect(other).adopt());
  rig.send(other.full(1));
  EXPECT_EQ(rig.fib.digest(), other.digest());
  EXPECT_EQ(rig.fib.summary().position, other.position());
  rig.lose();
  EXPECT_FALSE(rig.connect(mine).adopt()) << "adopting is for once";
  EXPECT_FALSE(rig.transport.streaming);
}

TEST(SessionTest, OlderEpochIsRefused) {
  Rig rig;
  Model mine = small_table();
  mine.in(mine.position().log_id, 3).at(10);
  rig.connect(mine);
  rig.send(mine.full(1));
  rig.lose();
  Model older = mine;
  older.in(mine.position().log_id, 2).at(5000);
  rig.connect(older);
  EXPECT_FALSE(rig.transport.streaming);
  EXPECT_NE(rig.health().find("later epoch 3"), std::string::npos) << rig.health();
  EXPECT_EQ(rig.fib.digest(), mine.digest());
}

TEST(SessionTest, NewerEpochMayStartAtAnOlderRevision) {
  Rig rig;
  Model mine = small_table().at(100);
  rig.connect(mine);
  rig.send(mine.full(1));
  rig.lose();
  Model next = mine;
  next.in(mine.position().log_id, 2).at(60).remove("10.0.0.0/8");
  rig.connect(next, "nonce-2");
  rig.send(next.full(1));
  EXPECT_EQ(rig.fib.summary().position, next.position());
  EXPECT_EQ(rig.fib.summary().epoch_nonce, "nonce-2");
}

TEST(SessionTest, RevisionNeverGoesBackWithinAnEpoch) {
  Rig rig;
  Model mine = small_table().at(100);
  rig.connect(mine);
  rig.send(mine.full(1));
  Model back = mine;
  back.at(99);
  rig.send(back.delta(mine, 2));
  EXPECT_FALSE(rig.transport.streaming);
  EXPECT_EQ(rig.fib.summary().position.revision, 100u);
  EXPECT_FALSE(rig.fib.summary().partial) << "refused before anything was applied";
}

struct BadWelcome {
  const char* name;
  void (*change)(pb::Welcome*);
  const char* words;
};

class BadWelcomeTest : public testing::TestWithParam<BadWelcome> {};

TEST_P(BadWelcomeTest, EndsTheStream) {
  Rig rig;
  rig.hello();
  auto message = Rig::welcome_message(small_table().position());
  GetParam().change(message.mutable_welcome());
  rig.transport.deliver(message);
  rig.drain();
  EXPECT_FALSE(rig.transport.streaming);
  EXPECT_EQ(rig.logger.count(GetParam().words), 1u) << rig.logger.all();
}

INSTANTIATE_TEST_SUITE_P(
    All, BadWelcomeTest,
    testing::Values(BadWelcome{"Protocol", [](pb::Welcome* w) { w->set_protocol(2); },
                               "protocol 2"},
                    BadWelcome{"Digest", [](pb::Welcome* w) { w->set_digest_version(0); },
                               "upgrade the older one"},
                    BadWelcome{"NoLog", [](pb::Welcome* w) { w->clear_head(); }, "names no log"}),
    [](const auto& test) { return test.param.name; });

TEST(SessionTest, OnlyAWelcomeMayComeFirstAndOnlyOnce) {
  Rig rig;
  const Model model = small_table();
  rig.hello();
  rig.send(model.full(1));
  EXPECT_FALSE(rig.transport.streaming);
  EXPECT_EQ(rig.fib.summary().prefixes4, 0u);
  EXPECT_EQ(rig.logger.count("first message is no welcome"), 1u);
  rig.connect(model);
  EXPECT_TRUE(rig.transport.streaming);
  rig.welcome(model.position());
  EXPECT_FALSE(rig.transport.streaming);
  EXPECT_EQ(rig.logger.count("welcomed twice"), 1u);
}

TEST(SessionTest, MessagesOfLaterVersionsAreIgnored) {
  Rig rig;
  const Model model = small_table();
  rig.connect(model);
  rig.transport.deliver({});
  pb::ControllerMessage config;
  config.mutable_config()->add_links()->set_a("r1");
  rig.transport.deliver(config);
  rig.send(model.full(1));
  EXPECT_EQ(rig.health(), "in sync");
}

TEST(SessionTest, TakeoverIsAskedUntilTheFirstWelcome) {
  Rig rig(with_takeover());
  const Model model = small_table();
  EXPECT_TRUE(rig.hello().takeover());
  rig.lose();
  EXPECT_TRUE(rig.connect(model).takeover());
  rig.lose();
  EXPECT_FALSE(rig.connect(model).takeover());
}

// What a controller makes this side queue is bounded even if it never reads.
TEST(SessionTest, AControllerThatDoesNotReadIsLeft) {
  Rig rig;
  const Model model = small_table();
  rig.connect(model);
  rig.send(model.full(1));
  rig.transport.congestion = 1024;
  rig.transport.sent.clear();
  pb::Observation seen;
  seen.set_time_ms(7);
  rig.client->observe(seen);
  rig.client->step();
  EXPECT_TRUE(rig.sent(Kind::kObservation).empty());
  pb::ControllerMessage ask;
  ask.mutable_lookup()->set_address(std::string("\x0a\1\2\3", 4));
  rig.transport.deliver(ask);
  rig.drain();
  EXPECT_TRUE(rig.sent(Kind::kLookup).empty());
  EXPECT_FALSE(rig.transport.streaming);
  EXPECT_EQ(rig.logger.count("reads no answers"), 1u);
  // The observation waits for a stream that is read.
  rig.transport.congestion = 0;
  rig.connect(model);
  rig.send(model.full(1));
  rig.client->step();
  ASSERT_EQ(rig.sent(Kind::kObservation).size(), 1u);
  EXPECT_EQ(rig.sent(Kind::kObservation)[0].observation().time_ms(), 7u);
}

TEST(SessionTest, CountersAreSentUnlessCongested) {
  Rig rig;
  const Model model = small_table();
  rig.connect(model);
  rig.send(model.full(1));
  rig.transport.sent.clear();
  const auto run_for = [&](std::chrono::milliseconds time) {
    const TimePoint end = rig.clock.now() + time;
    while (rig.clock.now() < end) rig.client->step();
    rig.client->step();
  };
  run_for(Client::kCountersEvery);
  auto counters = rig.sent(Kind::kCounters);
  ASSERT_GE(counters.size(), 1u);
  EXPECT_GT(counters[0].counters().resident_bytes(), 0u);
  EXPECT_EQ(counters[0].counters().more().at("deltas"), 1u);
  rig.transport.sent.clear();
  rig.transport.congestion = 100;
  run_for(2 * Client::kCountersEvery);
  EXPECT_TRUE(rig.sent(Kind::kCounters).empty());
}

TEST(SessionTest, ObservationsWaitForAController) {
  Rig rig;
  const Model model = small_table();
  for (std::uint64_t i = 0; i < Client::kMostObservations + 10; ++i) {
    pb::Observation observation;
    observation.set_time_ms(i);
    rig.client->observe(observation);
  }
  rig.connect(model);
  rig.send(model.full(1));
  rig.client->step();
  const auto observations = rig.sent(Kind::kObservation);
  ASSERT_EQ(observations.size(), Client::kMostObservations);
  EXPECT_EQ(observations.front().observation().time_ms(), 10u) << "the oldest leave first";
  EXPECT_EQ(observations.back().observation().time_ms(), Client::kMostObservations + 9);
}

}  // namespace
}  // namespace dvr::stream
