// Incremental deltas against the slow model, and everything that must be refused.
#include "lib/fib.h"

#include <gtest/gtest.h>

#include "sinks/sink.h"
#include "test/fib_model.h"

namespace dvr::test {
namespace {

// Sends one random incremental delta and applies it to the model.
void send_incremental(Fib* fib, Reference* want, Random& r, std::uint64_t revision,
                      std::uint32_t classes) {
  ASSERT_TRUE(fib->begin(DeltaKind::kIncremental).ok());
  std::map<ClassId, std::uint32_t> index;
  PackedColumns set, removed;
  const auto name = [&](const ClassId& id, std::uint32_t n) {
    if (index.contains(id)) return;
    const auto i = static_cast<std::uint32_t>(index.size() * 3);  // with holes
    index[id] = i;
    ASSERT_TRUE(fib->define_class(i, id, "").ok());
    if (!want->groups.contains(id) || below(r, 3) == 0) {
      want->groups[id] = hops(n + static_cast<std::uint32_t>(below(r, 99)), 1 + below(r, 4));
      ASSERT_TRUE(fib->set_group(i, want->groups[id]).ok());
    }
  };
  const std::size_t changes = below(r, 12);
  std::set<Prefix, PrefixLess> touched;
  for (std::size_t i = 0; i < changes; ++i) {
    const Prefix p = random_prefix(r);
    if (!touched.insert(p).second) continue;
    if (below(r, 3) == 0) {
      removed.add(p, 0);
      want->prefixes.erase(p);
    } else {
      const auto n = static_cast<std::uint32_t>(below(r, classes));
      name(class_id(n), n);
      set.add(p, index.at(class_id(n)));
      want->prefixes[p] = class_id(n);
    }
  }
  ASSERT_TRUE(fib->set(set.view()).ok());
  Columns columns = removed.view();
  columns.class4 = columns.class6 = {};
  ASSERT_TRUE(fib->remove(columns).ok());
  if (below(r, 4) == 0) {
    const ClassId id = class_id(static_cast<std::uint32_t>(below(r, classes)));
    ASSERT_TRUE(fib->withdraw_group(id).ok());
    want->withdraw(id);
  }
  ASSERT_EQ(fib->digest(), want->digest());
  ASSERT_TRUE(fib->end(at(revision), "nonce").ok());
}

TEST(Fib, RandomDeltasEqualTheModel) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    Random r(seed);
    Fib fib;
    Reference want;
    for (std::uint64_t revision = 1; revision <= 400; ++revision) {
      send_incremental(&fib, &want, r, revision, 12);
      ASSERT_EQ(fib.digest(), want.digest());
      if (below(r, 2) == 0) {  // withdrawals may stay pending over several deltas
        while (fib.step(1 + below(r, 100))) {
        }
      }
      ASSERT_EQ(contents(fib).prefixes, want.prefixes);
      if (revision % 40 != 0) continue;
      while (fib.step(64)) {
      }
      expect_equal(fib, want, r);
      if (HasFatalFailure()) return;
    }
    const Summary s = fib.summary();
    EXPECT_EQ(s.position, at(400));
    EXPECT_EQ(s.epoch_nonce, "nonce");
    EXPECT_EQ(s.digest, want.digest());
    EXPECT_EQ(s.prefixes4 + s.prefixes6, want.prefixes.size());
    EXPECT_FALSE(s.partial);
  }
}

class FibInput : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(fib_.begin(DeltaKind::kIncremental).ok());
    ASSERT_TRUE(fib_.define_class(0, class_id(1), "").ok());
    ASSERT_TRUE(fib_.set_group(0, hops(1)).ok());
  }
  // The delta is over, the table partial but in use.
  void expect_cut(const Status& s, Code code) {
    EXPECT_EQ(s.code(), code) << s.message();
    EXPECT_FALSE(s.message().empty());
    EXPECT_FALSE(fib_.in_delta());
    EXPECT_TRUE(fib_.summary().partial);
    EXPECT_EQ(fib_.begin(DeltaKind::kIncremental).code(), Code::kState);
  }

  Fib fib_;
};

TEST_F(FibInput, HostBits) {
  const std::vector<std::uint32_t> a = {0x0a000000, 0x0b000001}, k = {0, 0};
  const std::vector<std::uint8_t> l = {8, 8};
  const Status s = fib_.set4(a, l, k);
  expect_cut(s, Code::kInvalid);
  EXPECT_NE(s.message().find("entry 1 (11.0.0.1/8)"), std::string::npos) << s.message();
  EXPECT_TRUE(fib_.lookup4(0x0a010101));  // what came before stays
  EXPECT_FALSE(fib_.lookup4(0x0b010101));
}

TEST_F(FibInput, Length) {
  const std::vector<std::uint32_t> a = {0}, k = {0};
  const std::vector<std::uint8_t> l = {33};
  expect_cut(fib_.set4(a, l, k), Code::kInvalid);
}

TEST_F(FibInput, Length6) {
  const std::vector<u128> a = {0};
  const std::vector<std::uint32_t> k = {0};
  const std::vector<std::uint8_t> l = {129};
  expect_cut(fib_.set6(a, l, k), Code::kInvalid);
}

TEST_F(FibInput, UnknownIndex) {
  const std::vector<std::uint32_t> a = {0}, k = {7};
  const std::vector<std::uint8_t> l = {0};
  expect_cut(fib_.set4(a, l, k), Code::kUnknown);
}

TEST_F(FibInput, UnevenColumns) {
  Columns c;
  c.address4 = "12345";
  c.length4 = "1";
  c.class4 = "1234";
  expect_cut(fib_.set(c), Code::kInvalid);
}

TEST_F(FibInput, UnevenColumnsInRemovals) {
  Columns c;
  c.address6 = "0123456789abcdef";
  expect_cut(fib_.remove(c), Code::kInvalid);
}

TEST_F(FibInput, HugeIndex) {
  expect_cut(fib_.define_class(0xffffffff, class_id(2), ""), Code::kTooLarge);
}

TEST_F(FibInput, IndexOfTwoClasses) {
  EXPECT_TRUE(fib_.define_class(0, class_id(1), "").ok());
  expect_cut(fib_.define_class(0, class_id(2), ""), Code::kInvalid);
}

TEST_F(FibInput, OtherVrf) {
  const Status s = fib_.define_class(1, class_id(2), "red");
  expect_cut(s, Code::kInvalid);
  EXPECT_NE(s.message().find("not supported yet"), std::string::npos);
}

TEST_F(FibInput, GroupOfUnknownIndex) { expect_cut(fib_.set_group(5, hops(1)), Code::kUnknown); }
TEST_F(FibInput, EmptyGroup) { expect_cut(fib_.set_group(0, {}), Code::kInvalid); }
TEST_F(FibInput, LargeGroup) {
  auto h = hops(1, 64);
  h.push_back(hops(2)[0]);
  expect_cut(fib_.set_group(0, h), Code::kTooLarge);
}

TEST_F(FibInput, MixedGroup) {
  auto h = hops(1, 2);
  h[0].type = NextHop::Type::kBlackhole;
  expect_cut(fib_.set_group(0, h), Code::kInvalid);
}

TEST_F(FibInput, WeightZero) {
  auto h = hops(1);
  h[0].weight = 0;
  expect_cut(fib_.set_group(0, h), Code::kInvalid);
}

TEST_F(FibInput, PrefixWithoutGroup) {
  ASSERT_TRUE(fib_.define_class(1, class_id(2), "").ok());
  const std::vector<std::uint32_t> a = {0}, k = {1};
  const std::vector<std::uint8_t> l = {0};
  ASSERT_TRUE(fib_.set4(a, l, k).ok());
  expect_cut(fib_.end(at(1), "n"), Code::kUnknown);
}

TEST_F(FibInput, CallsOutOfTurn) {
  EXPECT_EQ(fib_.begin(DeltaKind::kFull).code(), Code::kState);
  EXPECT_TRUE(fib_.end(at(1), "n").ok());
  EXPECT_EQ(fib_.end(at(1), "n").code(), Code::kState);
  EXPECT_EQ(fib_.set({}).code(), Code::kState);
  EXPECT_EQ(fib_.remove({}).code(), Code::kState);
  EXPECT_EQ(fib_.define_class(0, class_id(1), "").code(), Code::kState);
  EXPECT_EQ(fib_.set_group(0, hops(1)).code(), Code::kState);
  EXPECT_EQ(fib_.withdraw_group(class_id(1)).code(), Code::kState);
  const BucketBitmap b{};
  EXPECT_EQ(fib_.begin(DeltaKind::kIncremental, &b).code(), Code::kInvalid);
  fib_.abort();  // no delta: harmless
  EXPECT_FALSE(fib_.summary().partial);
}

TEST(FibLimits, AreKept) {
  FibLimits limits;
  limits.prefixes4 = 2;
  limits.classes = 3;
  Fib fib(limits);
  ASSERT_TRUE(fib.begin(DeltaKind::kFull).ok());
  for (std::uint32_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(fib.define_class(0 + i, class_id(i), "").ok());
    ASSERT_TRUE(fib.set_group(i, hops(i)).ok());
  }
  const std::vector<std::uint32_t> a = {0, 0, 0}, k = {0, 1, 2};
  const std::vector<std::uint8_t> l = {1, 2, 3};
  EXPECT_EQ(fib.set4(a, l, k).code(), Code::kTooLarge);
  ASSERT_TRUE(fib.begin(DeltaKind::kFull).ok());
  ASSERT_TRUE(fib.define_class(0, class_id(0), "").ok());
  ASSERT_TRUE(fib.define_class(1, class_id(1), "").ok());
  EXPECT_EQ(fib.define_class(2, class_id(9), "").code(), Code::kTooLarge);
}

TEST(FibWithdrawal, DropsAtOnceThenFallsToTheCover) {
  Fib fib;
  Random r(1);
  Reference want;
  want.groups = {{class_id(1), hops(1)}, {class_id(2), hops(2)}};
  for (std::uint32_t i = 0; i < 100; ++i) {
    want.prefixes[Prefix::of(Prefix4{0x0a000000 + (i << 8), 24})] = class_id(2);
  }
  want.prefixes[*parse_prefix("10.0.0.0/8")] = class_id(1);
  send_full(&fib, want, 1);
  const MemorySink sink(fib);
  ASSERT_TRUE(fib.begin(DeltaKind::kIncremental).ok());
  ASSERT_TRUE(fib.withdraw_group(class_id(2)).ok());
  want.withdraw(class_id(2));
  EXPECT_EQ(fib.digest(), want.digest());
  ASSERT_TRUE(fib.end(at(2), "n").ok());

  EXPECT_TRUE(fib.lookup(Address::v4(0x0a000101))->next_hops.empty());
  EXPECT_EQ(fib.summary().pending, 100u);
  EXPECT_FALSE(sink.report().installed == fib.digest());
  EXPECT_EQ(sink.report().entries, 101u);
  int steps = 0;
  while (fib.step(7)) ++steps;
  EXPECT_GT(steps, 10);
  EXPECT_EQ(fib.lookup(Address::v4(0x0a000101))->next_hops, hops(1));
  EXPECT_EQ(sink.report().installed, fib.digest());
  EXPECT_EQ(sink.report().entries, 1u);
  expect_equal(fib, want, r);
}

// One step a delta, each of which withdraws a class: the rounds must still come
// to the end of the table, or the first class's prefixes would be dropped for ever.
TEST(FibWithdrawal, AStreamOfWithdrawalsStarvesNoPrefix) {
  Fib fib;
  Reference want;
  constexpr std::uint32_t kClasses = 64;
  for (std::uint32_t c = 1; c <= kClasses; ++c) {
    want.groups[class_id(c)] = hops(c);
    for (std::uint32_t i = 0; i < 8; ++i) {
      want.prefixes[Prefix::of(Prefix4{c << 16 | i << 8, 24})] = class_id(c);
    }
  }
  send_full(&fib, want, 1);
  for (std::uint32_t c = 1; c < kClasses; ++c) {
    ASSERT_TRUE(fib.begin(DeltaKind::kIncremental).ok());
    ASSERT_TRUE(fib.withdraw_group(class_id(c)).ok());
    ASSERT_TRUE(fib.end(at(c + 1), "n").ok());
    fib.step(128);  // a fraction of the slots
  }
  for (std::uint32_t i = 0; i < 8; ++i) {
    EXPECT_FALSE(fib.lookup(Address::v4(1u << 16 | i << 8)).has_value()) << i;
  }
}

TEST(FibWithdrawal, AClassThatComesBackIsAnother) {
  Fib fib;
  Random r(1);
  Reference want = random_reference(r, 60, 2);
  send_full(&fib, want, 1);
  ASSERT_TRUE(fib.begin(DeltaKind::kIncremental).ok());
  ASSERT_TRUE(fib.withdraw_group(class_id(0)).ok());
  ASSERT_TRUE(fib.end(at(2), "n").ok());
  Reference less = want;
  less.withdraw(class_id(0));
  EXPECT_EQ(fib.digest(), less.digest());
  send_full(&fib, want, 3);  // before step() did anything
  expect_equal(fib, want, r);
}

TEST(FibIds, AreStableAndGivenAgain) {
  Fib fib;
  Random r(3);
  const Reference first = random_reference(r, 50, 10);
  send_full(&fib, first, 1);
  std::map<ClassId, std::uint32_t> before;
  std::uint32_t highest = 0;
  for (const StoredClass& c : fib.classes()) {
    before[c.class_id] = c.id;
    highest = std::max(highest, c.id);
  }
  for (std::uint64_t i = 0; i < 50; ++i) {
    Reference other = random_reference(r, 50, 5);  // a part of the classes
    for (auto& entry : other.groups) entry.second = hops(static_cast<std::uint32_t>(i));
    send_full(&fib, other, 2 + i);
    for (const StoredClass& c : fib.classes()) highest = std::max(highest, c.id);
  }
  EXPECT_LE(highest, 30u);  // released ids come again, if not at once
  send_full(&fib, first, 100);
  const auto ids = [&fib] {
    std::map<ClassId, std::uint32_t> m;
    for (const StoredClass& c : fib.classes()) m[c.class_id] = c.id;
    return m;
  };
  const auto now = ids();
  Reference regrouped = first;
  for (auto& entry : regrouped.groups) entry.second = hops(77);
  send_full(&fib, regrouped, 101);
  EXPECT_EQ(ids(), now);
}

// A sink that follows by the listener's calls alone holds the same table.
class Follower final : public FibListener {
 public:
  void group_changed(std::uint32_t id, const ClassId& c, std::span<const NextHop> h) override {
    groups_[id] = {c, {h.begin(), h.end()}};
  }
  void prefix_set(const Prefix& p, std::uint32_t id) override {
    ++calls_;
    EXPECT_TRUE(groups_.contains(id)) << "a prefix before its group";
    prefixes_[p] = id;
  }
  void prefix_removed(const Prefix& p) override {
    ++calls_;
    EXPECT_EQ(prefixes_.erase(p), 1u);
  }
  void class_released(std::uint32_t id, const ClassId&) override {
    for (const auto& entry : prefixes_) EXPECT_NE(entry.second, id) << "released in use";
    groups_.erase(id);
  }
  void delta_ended(const Summary&) override { ++deltas_; }

  Reference table() const {
    Reference r;
    for (const auto& [p, id] : prefixes_) r.prefixes[p] = groups_.at(id).first;
    for (const auto& entry : groups_) r.groups[entry.second.first] = entry.second.second;
    return r;
  }
  std::map<Prefix, std::uint32_t, PrefixLess> prefixes_;
  std::map<std::uint32_t, std::pair<ClassId, std::vector<NextHop>>> groups_;
  int calls_ = 0, deltas_ = 0;
};

TEST(FibListener, HearsEverything) {
  Fib fib;
  Follower follower;
  fib.add_listener(&follower);
  Random r(5);
  Reference want;
  for (std::uint64_t i = 1; i <= 200; ++i) {
    if (i % 20 == 0) {
      want = random_reference(r, 80, 9);
      send_full(&fib, want, i);
    } else {
      send_incremental(&fib, &want, r, i, 9);
    }
    while (fib.step(50)) {
    }
    ASSERT_EQ(follower.table().prefixes, want.prefixes);
    ASSERT_EQ(follower.table().digest(), want.digest());
  }
  EXPECT_EQ(follower.deltas_, 200);
  const int calls = follower.calls_;
  send_full(&fib, want, 999);
  EXPECT_EQ(follower.calls_, calls) << "what is equal was touched";
  fib.remove_listener(&follower);
}

}  // namespace
}  // namespace dvr::test
