// Malformed deltas of every kind: a clear error, no crash, and a table that is
// marked partial exactly when something of the delta may have been applied.
#include "stream/delta.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "test/stream/rig.h"

namespace dvr::stream {
namespace {

struct Malformed {
  const char* name;
  std::function<void(pb::DeltaChunk*)> change;
  const char* words;  // part of the error
};

// A well-formed incremental delta on top of small_table.
pb::DeltaChunk good_chunk() {
  const Model one = small_table().at(1);
  Model two = one;
  two.at(2).set("203.0.113.0/24", 'c').set("2001:db8:2::/48", 'c').group('c', {hop("192.0.2.9")});
  two.remove("198.51.100.0/24").remove("2001:db8:1::/48");
  return two.delta(one, 2)[0];
}

class MalformedTest : public testing::TestWithParam<Malformed> {};

TEST_P(MalformedTest, EndsTheStreamWithAClearError) {
  Rig rig;
  const Model one = small_table().at(1);
  rig.connect(one);
  rig.send(one.full(1));
  pb::DeltaChunk chunk = good_chunk();
  GetParam().change(&chunk);
  rig.transport.sent.clear();
  rig.send({chunk});
  EXPECT_FALSE(rig.transport.streaming);
  EXPECT_TRUE(rig.acks().empty());
  EXPECT_FALSE(rig.fib.in_delta());
  EXPECT_EQ(rig.logger.count(GetParam().words), 1u) << "wanted '" << GetParam().words << "' in\n"
                                                    << rig.logger.all();
  EXPECT_TRUE(rig.health().starts_with("stale: ")) << rig.health();
  // The old routes forward on.
  EXPECT_EQ(rig.lookup("10.1.2.3"), "10.1.0.0/16");
  // What the data plane says of itself leads to a whole table again.
  Model two = one;
  two.at(3).remove("10.0.0.0/8");
  rig.connect(two);
  rig.send(two.full(1));
  EXPECT_EQ(rig.fib.digest(), two.digest());
  EXPECT_EQ(rig.health(), "in sync");
}

std::string cut(std::string text) {
  text.pop_back();
  return text;
}

INSTANTIATE_TEST_SUITE_P(
    All, MalformedTest,
    testing::Values(
        Malformed{"Kind", [](auto* c) { c->set_kind(static_cast<pb::DeltaChunk::Kind>(7)); },
                  "kind: unknown"},
        Malformed{"NumberAgain", [](auto* c) { c->set_delta(1); }, "number: 1 was the last"},
        Malformed{"NumberSkips", [](auto* c) { c->set_delta(3); }, "number: 1 was the last"},
        Malformed{"BucketsOfIncremental", [](auto* c) { c->set_buckets(std::string(128, '\1')); },
                  "buckets: only a full delta"},
        Malformed{"BucketsSize",
                  [](auto* c) {
                    c->set_kind(pb::DeltaChunk::FULL);
                    c->set_buckets(std::string(127, '\1'));
                  },
                  "buckets: 127 bytes"},
        Malformed{"NoPosition", [](auto* c) { c->clear_position(); }, "position: absent"},
        Malformed{"OtherLog", [](auto* c) { c->mutable_position()->set_log_id("other"); },
                  "position: other/1/2"},
        Malformed{"OtherEpoch", [](auto* c) { c->mutable_position()->set_epoch(2); }, "position: "},
        Malformed{"DigestSize", [](auto* c) { c->set_digest("short"); }, "digest: "},
        Malformed{"ClassIdSize", [](auto* c) { c->mutable_classes(0)->set_id("short"); },
                  "classes[0].id"},
        Malformed{"ClassVrf", [](auto* c) { c->mutable_classes(0)->set_vrf("blue"); },
                  "classes[0]"},
        Malformed{"ClassIndexHuge", [](auto* c) { c->mutable_classes(0)->set_index(0xfffffff0); },
                  "classes[0]"},
        Malformed{"ClassIndexRebound",
                  [](auto* c) {
                    auto* again = c->add_classes();
                    again->set_index(c->classes(0).index());
                    again->set_id(std::string(16, 'z'));
                  },
                  "classes[1]"},
        Malformed{"GroupUnknownIndex", [](auto* c) { c->mutable_groups(0)->set_index(999); },
                  "groups[0]"},
        Malformed{"GroupEmpty", [](auto* c) { c->mutable_groups(0)->clear_next_hops(); },
                  "groups[0]: next_hops: 0"},
        Malformed{"GroupTooLarge",
                  [](auto* c) {
                    for (int i = 0; i < 64; ++i) {
                      *c->mutable_groups(0)->add_next_hops() = c->groups(0).next_hops(0);
                    }
                  },
                  "groups[0]: next_hops: 65"},
        Malformed{"HopAddress",
                  [](auto* c) { c->mutable_groups(0)->mutable_next_hops(0)->set_address("12345"); },
                  "next_hops[0].address"},
        Malformed{"HopType",
                  [](auto* c) {
                    c->mutable_groups(0)->mutable_next_hops(0)->set_type(
                        static_cast<pb::NextHop::Type>(9));
                  },
                  "next_hops[0].type"},
        Malformed{"HopWeightZero",
                  [](auto* c) { c->mutable_groups(0)->mutable_next_hops(0)->set_weight(0); },
                  "next_hops[0].weight"},
        Malformed{"HopWeightHuge",
                  [](auto* c) { c->mutable_groups(0)->mutable_next_hops(0)->set_weight(65536); },
                  "next_hops[0].weight"},
        Malformed{"HopInterface",
                  [](auto* c) {
                    c->mutable_groups(0)->mutable_next_hops(0)->set_interface("0123456789abcdef");
                  },
                  "next_hops[0].interface"},
        Malformed{"HopVia",
                  [](auto* c) {
                    c->mutable_groups(0)->mutable_next_hops(0)->set_via(std::string(64, 'v'));
                  },
                  "next_hops[0].via"},
        Malformed{"HopTypesMixed",
                  [](auto* c) {
                    c->mutable_groups(0)->add_next_hops()->set_type(pb::NextHop::BLACKHOLE);
                    c->mutable_groups(0)->mutable_next_hops(1)->set_weight(1);
                  },
                  "groups[0]"},
        Malformed{"SetAddress4Cut",
                  [](auto* c) { c->mutable_set()->set_address4(cut(c->set().address4())); },
                  "set: "},
        Malformed{"SetLength4Missing", [](auto* c) { c->mutable_set()->clear_length4(); }, "set: "},
        Malformed{"SetClass4Cut",
                  [](auto* c) { c->mutable_set()->set_class4(cut(c->set().class4())); }, "set: "},
        Malformed{"SetClass4Missing", [](auto* c) { c->mutable_set()->clear_class4(); }, "set: "},
        Malformed{"SetLength4Above32", [](auto* c) { c->mutable_set()->set_length4("\x21"); },
                  "set: "},
        Malformed{"SetHostBits4", [](auto* c) { c->mutable_set()->set_length4("\x08"); }, "set: "},
        Malformed{"SetClass4Unknown",
                  [](auto* c) { c->mutable_set()->set_class4("\x77\x77\x77\x77"); }, "set: "},
        Malformed{"SetAddress6Cut",
                  [](auto* c) { c->mutable_set()->set_address6(cut(c->set().address6())); },
                  "set: "},
        Malformed{"SetLength6Extra",
                  [](auto* c) { c->mutable_set()->mutable_length6()->push_back('\x10'); }, "set: "},
        Malformed{"SetLength6Above128", [](auto* c) { c->mutable_set()->set_length6("\x81"); },
                  "set: "},
        Malformed{"SetHostBits6", [](auto* c) { c->mutable_set()->set_length6("\x10"); }, "set: "},
        Malformed{"SetClass6Unknown",
                  [](auto* c) { c->mutable_set()->set_class6("\xff\xff\xff\xff"); }, "set: "},
        Malformed{"RemovedAddress4Cut",
                  [](auto* c) { c->mutable_removed()->set_address4(cut(c->removed().address4())); },
                  "removed: "},
        Malformed{"RemovedHostBits4", [](auto* c) { c->mutable_removed()->set_length4("\x04"); },
                  "removed: "},
        Malformed{"RemovedLength6Missing", [](auto* c) { c->mutable_removed()->clear_length6(); },
                  "removed: "},
        Malformed{"WithdrawnSize", [](auto* c) { c->add_groups_withdrawn("x"); },
                  "groups_withdrawn[0]"},
        Malformed{"GroupMissing", [](auto* c) { c->clear_groups(); }, "delta 2"}),
    [](const auto& test) { return test.param.name; });

TEST(DeltaTest, TheUnchangedChunkIsGood) {
  Rig rig;
  const Model one = small_table().at(1);
  rig.connect(one);
  rig.send(one.full(1));
  rig.send({good_chunk()});
  EXPECT_EQ(rig.acks().size(), 2u);
  EXPECT_EQ(rig.health(), "in sync");
}

TEST(DeltaTest, BadEnvelopeLeavesTheTableWhole) {
  Fib fib;
  Deltas deltas(fib);
  const Model one = small_table().at(1);
  deltas.start(one.position(), "nonce-1");
  ASSERT_TRUE(deltas.apply(one.full(1)[0]).ok());
  pb::DeltaChunk chunk = good_chunk();
  chunk.set_digest("short");
  EXPECT_EQ(deltas.apply(chunk).message(), "delta 2: digest: must have 16 bytes");
  EXPECT_FALSE(fib.summary().partial);
  EXPECT_EQ(fib.digest(), one.digest());
  EXPECT_FALSE(deltas.cut()) << "no delta was in progress";
}

TEST(DeltaTest, BadColumnsLeaveItPartial) {
  Fib fib;
  Deltas deltas(fib);
  const Model one = small_table().at(1);
  deltas.start(one.position(), "nonce-1");
  ASSERT_TRUE(deltas.apply(one.full(1)[0]).ok());
  pb::DeltaChunk chunk = good_chunk();
  chunk.mutable_removed()->set_length4("\x04");
  EXPECT_FALSE(deltas.apply(chunk).ok());
  EXPECT_TRUE(fib.summary().partial);
}

struct Within {
  const char* name;
  std::function<void(pb::DeltaChunk*)> change;
  const char* words;
};

class WithinTest : public testing::TestWithParam<Within> {};

TEST_P(WithinTest, TheSecondChunkMustFitTheFirst) {
  Fib fib;
  Deltas deltas(fib);
  const Model one = small_table().at(1);
  deltas.start(one.position(), "nonce-1");
  auto chunks = one.full(1, 3);
  ASSERT_EQ(chunks.size(), 2u);
  BucketBitmap all;
  all.fill(0xff);
  for (auto& chunk : chunks) chunk.set_buckets(std::string(all.begin(), all.end()));
  ASSERT_TRUE(deltas.apply(chunks[0]).ok());
  GetParam().change(&chunks[1]);
  const Status status = deltas.apply(chunks[1]);
  EXPECT_NE(status.message().find(GetParam().words), std::string::npos) << status.message();
  EXPECT_FALSE(fib.in_delta());
  EXPECT_TRUE(fib.summary().partial);
}

INSTANTIATE_TEST_SUITE_P(
    All, WithinTest,
    testing::Values(Within{"Number", [](auto* c) { c->set_delta(2); }, "number: 1 is in progress"},
                    Within{"Kind",
                           [](auto* c) {
                             c->set_kind(pb::DeltaChunk::INCREMENTAL);
                             c->clear_buckets();
                           },
                           "kind: changed"},
                    Within{"Buckets", [](auto* c) { c->set_buckets(std::string(128, '\2')); },
                           "buckets: changed"}),
    [](const auto& test) { return test.param.name; });

// Random tables taken into each other by random deltas, cut at random places and
// reconciled: the digest always ends where the model's is.
TEST(DeltaTest, RandomHistoriesEndAtTheModelsDigest) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
    Fib fib;
    Deltas deltas(fib);
    Model model;
    for (char c = 'a'; c <= 'e'; ++c) {
      model.group(c, {hop("192.0.2." + std::to_string(1 + pick(250)))});
    }
    deltas.start(model.position(), "n");
    std::uint64_t number = 0;
    bool whole = false;
    for (std::uint64_t revision = 2; revision < 40; ++revision) {
      const Model before = model;
      model.at(revision);
      for (unsigned i = 0; i < 1 + pick(12); ++i) {
        const std::string prefix = pick(2) != 0u
                                       ? "10." + std::to_string(pick(8)) + ".0.0/16"
                                       : "2001:db8:" + std::to_string(1 + pick(8)) + "::/48";
        if (pick(3) == 0) {
          model.remove(prefix);
        } else {
          model.set(prefix, static_cast<char>('a' + pick(5)));
        }
      }
      if (pick(4) == 0) {
        model.group(static_cast<char>('a' + pick(5)),
                    {hop("192.0.2." + std::to_string(1 + pick(250)))});
      }
      auto chunks = whole ? model.delta(before, number + 1, 1 + pick(4))
                          : model.full(number + 1, 1 + pick(4));
      const bool cut = pick(5) == 0 && chunks.size() > 1;
      if (cut) chunks.resize(1 + pick(static_cast<unsigned>(chunks.size() - 1)));
      for (const auto& chunk : chunks) {
        const Status status = deltas.apply(chunk);
        ASSERT_TRUE(status.ok()) << "seed " << seed << ": " << status.message();
      }
      if (cut) {
        EXPECT_TRUE(deltas.cut());
        EXPECT_TRUE(fib.summary().partial);
        deltas.start(model.position(), "n");
        number = 0;
        whole = false;
        continue;
      }
      ++number;
      whole = true;
      ASSERT_TRUE(deltas.ended());
      ASSERT_EQ(fib.digest(), model.digest()) << "seed " << seed << " revision " << revision;
      while (fib.step(64)) {
      }
      ASSERT_EQ(fib.installed_digest(), model.digest());
    }
  }
}

}  // namespace
}  // namespace dvr::stream
