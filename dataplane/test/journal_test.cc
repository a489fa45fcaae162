// Images and journals as bytes: round trips, torn tails, flipped bits.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>

#include "lib/bytes.h"
#include "lib/delta_journal.h"
#include "lib/fib_image.h"
#include "test/fib_model.h"

namespace dvr::test {
namespace {

std::map<ClassId, std::uint32_t> local_ids(const Fib& fib) {
  std::map<ClassId, std::uint32_t> m;
  for (const StoredClass& c : fib.classes()) m[c.class_id] = c.id;
  return m;
}

// Writes every delta of a Fib into a journal.
class Recorder final : public FibRecorder {
 public:
  void begun(DeltaKind kind, const BucketBitmap* b) override { encoder_.begin(kind, b); }
  void class_defined(std::uint32_t i, const ClassId& id, std::uint32_t local) override {
    encoder_.define_class(i, id, local);
  }
  void group_set(std::uint32_t i, std::span<const NextHop> h) override { encoder_.set_group(i, h); }
  void set(const Columns& c) override { encoder_.set(c); }
  void removed(const Columns& c) override { encoder_.remove(c); }
  void withdrawn(const ClassId& id) override { encoder_.withdraw(id); }
  void ended(const Position& p, std::string_view n, const Digest& d) override {
    encoder_.end(p, n, d);
    journal_ += encoder_.take();
    ends_.push_back(journal_.size());
    digests_.push_back(d);
  }
  void aborted() override { encoder_.clear(); }

  std::string journal_ = journal_header({});
  std::vector<std::size_t> ends_;  // journal sizes after each delta
  std::vector<Digest> digests_;
  DeltaEncoder encoder_;
};

TEST(Image, RoundTrip) {
  Random r(1);
  for (const std::size_t n : {0u, 1u, 500u}) {
    Fib fib, copy;
    const Reference want = random_reference(r, n, 30);
    send_full(&fib, want, 7);
    const std::string image = encode_image(fib);
    const Status s = load_image(image, &copy);
    ASSERT_TRUE(s.ok()) << s.message();
    expect_equal(copy, want, r);
    EXPECT_EQ(copy.summary().position, at(7));
    EXPECT_EQ(copy.summary().epoch_nonce, "nonce");
    EXPECT_EQ(local_ids(copy), local_ids(fib));
    EXPECT_EQ(image_checksum(encode_image(copy)).hex().size(), 32u);
  }
}

TEST(Image, KeepsIdsWithHoles) {
  Random r(2);
  Fib fib, copy;
  send_full(&fib, random_reference(r, 300, 40), 1);
  Reference want = contents(fib);
  ASSERT_TRUE(fib.begin(DeltaKind::kIncremental).ok());
  for (int i = 0; i < 10; ++i) {
    const ClassId id = want.groups.begin()->first;
    ASSERT_TRUE(fib.withdraw_group(id).ok());
    want.withdraw(id);
  }
  ASSERT_TRUE(fib.end(at(2), "nonce").ok());
  ASSERT_TRUE(load_image(encode_image(fib), &copy).ok());  // while withdrawn ones are pending
  EXPECT_EQ(local_ids(copy), local_ids(fib));
  EXPECT_EQ(copy.digest(), want.digest());
  EXPECT_EQ(copy.installed_digest(), fib.installed_digest());
  EXPECT_EQ(copy.summary().pending, fib.summary().pending);
  EXPECT_GT(copy.summary().pending, 0u);
  while (copy.step(50)) {
  }
  expect_equal(copy, want, r);
  const Reference next = random_reference(r, 300, 60);  // the holes are used again
  send_full(&copy, next, 3);
  expect_equal(copy, next, r);
}

TEST(Image, EveryTruncationAndFlipIsSeen) {
  Random r(3);
  Fib fib;
  send_full(&fib, random_reference(r, 20, 3), 1);
  const std::string image = encode_image(fib);
  Fib copy;
  // Every byte of the header and the classes, some of the rest.
  const auto next = [](std::size_t n) { return n + (n < 300 ? 1 : 37); };
  for (std::size_t n = 0; n < image.size(); n = next(n)) {
    ASSERT_EQ(load_image(std::string_view(image).substr(0, n), &copy).code(), Code::kCorrupt);
  }
  for (std::size_t n = 0; n < image.size(); n = next(n)) {
    std::string bad = image;
    bad[n] = static_cast<char>(bad[n] ^ (1 << (n % 8)));
    ASSERT_EQ(load_image(bad, &copy).code(), Code::kCorrupt) << n;
  }
  EXPECT_EQ(copy.digest(), Digest{});
  ASSERT_TRUE(load_image(image, &copy).ok());
}

// Bytes under a right checksum that make no sense: refused, and the Fib is empty; or a table
// that is whole in itself, and can be worked with.
TEST(Image, RightChecksumWrongContent) {
  Random r(4);
  Fib fib;
  send_full(&fib, random_reference(r, 40, 3), 1);
  const std::string image = encode_image(fib);
  const Reference later = random_reference(r, 40, 5);
  int refused = 0;
  const bool thorough = std::getenv("DVR_STRESS") != nullptr;
  const std::size_t near = thorough ? 3 : 7, far = thorough ? 41 : 83;
  for (std::size_t n = 8; n < image.size() - 16; n += n < 1500 ? near : far) {
    std::string bad = image.substr(0, image.size() - 16);
    bad[n] = static_cast<char>(bad[n] ^ (1 << below(r, 8)));
    seal_image(&bad);
    Fib target;
    const Status s = load_image(bad, &target);
    if (s.ok()) {
      // The position and the nonce are free text, and a seed or an engine's value can be another.
      for (int i = 0; i < 20; ++i) {
        static_cast<void>(target.lookup(Address::v4(random_address<std::uint32_t>(r))));
        static_cast<void>(target.lookup(Address::v6(random_address<u128>(r))));
      }
      send_full(&target, later, 2);
      ASSERT_EQ(target.digest(), later.digest());
      continue;
    }
    ++refused;
    ASSERT_EQ(s.code(), Code::kCorrupt);
    ASSERT_EQ(target.digest(), Digest{});
    ASSERT_EQ(target.installed_entries(), 0u);
  }
  EXPECT_GT(refused, 100);
}

// A life over many restarts: engines, tables and class ids that were restored take changes as
// if they had been there always, withdrawals under way included.
TEST(Image, ARestoredTableIsWorkedOnLikeTheFirst) {
  Random r(6);
  auto fib = std::make_unique<Fib>();
  std::uint64_t revision = 0;
  Reference want;
  for (int life = 0; life < 30; ++life) {
    for (std::size_t i = 1 + below(r, 4); i > 0; --i) {
      want = random_reference(r, below(r, 400), 20);
      send_full(fib.get(), want, ++revision);
    }
    if (!want.groups.empty() && below(r, 2) == 0) {
      ASSERT_TRUE(fib->begin(DeltaKind::kIncremental).ok());
      const ClassId id = want.groups.begin()->first;
      ASSERT_TRUE(fib->withdraw_group(id).ok());
      want.withdraw(id);
      ASSERT_TRUE(fib->end(at(++revision), "nonce").ok());
      fib->step(below(r, 100));
    }
    auto next = std::make_unique<Fib>();
    const Status s = load_image(encode_image(*fib), next.get());
    ASSERT_TRUE(s.ok()) << s.message();
    ASSERT_EQ(next->summary().position.revision, revision);
    ASSERT_EQ(next->installed_digest(), fib->installed_digest());
    ASSERT_EQ(next->installed_entries(), fib->installed_entries());
    ASSERT_EQ(next->summary().classes, fib->summary().classes);
    fib = std::move(next);
    if (below(r, 2) == 0) continue;
    while (fib->step(64)) {
    }
    expect_equal(*fib, want, r);
    if (HasFatalFailure()) return;
  }
}

// Blocks that were free when the copy was made are given out again: a Fib that is restored over
// and over is no larger than one that never was.
TEST(Image, RestoredEnginesDoNotGrow) {
  Random r(10);
  Fib steady;
  auto fib = std::make_unique<Fib>();
  for (std::uint64_t revision = 1; revision <= 60; ++revision) {
    const Reference want = random_reference(r, 100 + below(r, 800), 10);
    send_full(&steady, want, revision);
    send_full(fib.get(), want, revision);
    auto next = std::make_unique<Fib>();
    ASSERT_TRUE(load_image(encode_image(*fib), next.get()).ok());
    fib = std::move(next);
  }
  EXPECT_LE(fib->summary().engine_bytes, steady.summary().engine_bytes);
}

// The sums of what was restored are not believed but computed.
TEST(Image, AClassOfAnotherNameIsRefused) {
  Random r(11);
  Fib fib;
  send_full(&fib, random_reference(r, 40, 3), 1);
  std::string image = encode_image(fib);
  image.resize(image.size() - 16);
  const std::size_t at = image.find(fib.classes()[0].class_id.view());
  ASSERT_NE(at, std::string::npos);
  image[at] = static_cast<char>(image[at] ^ 1);
  seal_image(&image);
  Fib copy;
  const Status s = load_image(image, &copy);
  EXPECT_EQ(s.code(), Code::kCorrupt);
  EXPECT_NE(s.message().find("digest"), std::string::npos) << s.message();
  EXPECT_EQ(copy.installed_entries(), 0u);
}

// Engines of another layout are filled from the table that is stored beside them.
TEST(Image, AnotherEngineLayoutIsRebuilt) {
  Random r(7);
  Fib fib;
  const Reference want = random_reference(r, 300, 10);
  send_full(&fib, want, 3);
  std::string image = encode_image(fib);
  image.resize(image.size() - 16);
  std::string all;
  fib.save(&all);
  // Behind classes, count and two tables stands the layout.
  ByteReader in(all);
  in.section();
  in.u32();
  in.section();
  in.section();
  const std::size_t from_end = in.left();
  ASSERT_EQ(in.u32(), 1u);
  image[image.size() - from_end] = 77;
  std::fill(image.end() - 512, image.end(), '\xff');  // words of an engine: not looked at
  seal_image(&image);
  Fib copy;
  const Status s = load_image(image, &copy);
  ASSERT_TRUE(s.ok()) << s.message();
  expect_equal(copy, want, r);
}

class JournalTest : public testing::Test {
 protected:
  void SetUp() override {
    Random r(5);
    fib_.set_recorder(&recorder_);
    for (std::uint64_t i = 1; i <= 6; ++i) {
      if (i == 4) {
        ASSERT_TRUE(fib_.begin(DeltaKind::kIncremental).ok());
        const ClassId id = contents(fib_).groups.begin()->first;
        ASSERT_TRUE(fib_.withdraw_group(id).ok());
        ASSERT_TRUE(fib_.end(at(i), "nonce").ok());
        while (fib_.step(9)) {
        }
        continue;
      }
      BucketBitmap some{};
      for (std::uint32_t b = 0; b < kBuckets; b += 2) set_bucket(some, b);
      send_full(&fib_, random_reference(r, 12, 4), i, i == 5 ? &some : nullptr);
    }
  }
  // The next place to damage after n.
  [[nodiscard]] std::size_t next(std::size_t n) const {
    constexpr std::size_t kNear = 40;
    bool near = std::getenv("DVR_STRESS") != nullptr || n < kJournalHeader + kNear;
    for (const std::size_t end : recorder_.ends_) {
      near = near || (n + kNear > end && n < end + kNear);
    }
    return n + (near ? 1 : 5);
  }

  Fib fib_;
  Recorder recorder_;
};

TEST_F(JournalTest, ReplaysAll) {
  Fib copy;
  const Replay replay = replay_journal(recorder_.journal_, &copy);
  EXPECT_EQ(replay.error, "");
  EXPECT_EQ(replay.deltas, 6u);
  EXPECT_EQ(replay.good_bytes, recorder_.journal_.size());
  EXPECT_EQ(copy.digest(), fib_.digest());
  EXPECT_EQ(contents(copy).prefixes, contents(fib_).prefixes);
  EXPECT_EQ(copy.summary().position, at(6));
  EXPECT_EQ(local_ids(copy), local_ids(fib_));
}

// Every byte about the ends of deltas, where what is read changes, and within them every fifth,
// of which each bit in turn; every byte with DVR_STRESS.
TEST_F(JournalTest, TornAtEveryByte) {
  for (std::size_t n = kJournalHeader; n < recorder_.journal_.size(); n = next(n)) {
    Fib copy;
    const Replay replay = replay_journal(std::string_view(recorder_.journal_).substr(0, n), &copy);
    std::size_t whole = 0;
    while (whole < recorder_.ends_.size() && recorder_.ends_[whole] <= n) ++whole;
    ASSERT_EQ(replay.deltas, whole);
    ASSERT_EQ(replay.good_bytes, whole == 0 ? kJournalHeader : recorder_.ends_[whole - 1]);
    ASSERT_EQ(replay.error, "");
    ASSERT_EQ(copy.digest(), whole == 0 ? Digest{} : recorder_.digests_[whole - 1]);
    ASSERT_FALSE(copy.summary().partial);
  }
}

TEST_F(JournalTest, EveryFlipEndsIt) {
  for (std::size_t n = kJournalHeader; n < recorder_.journal_.size(); n = next(n)) {
    std::string bad = recorder_.journal_;
    bad[n] = static_cast<char>(bad[n] ^ (1 << (n % 8)));
    Fib copy;
    const Replay replay = replay_journal(bad, &copy);
    std::size_t before = 0;
    while (recorder_.ends_[before] <= n) ++before;
    ASSERT_EQ(replay.deltas, before) << n;
    ASSERT_EQ(copy.digest(), before == 0 ? Digest{} : recorder_.digests_[before - 1]);
  }
}

TEST_F(JournalTest, ContinuesOnlyItsCheckpoint) {
  EXPECT_TRUE(continues(recorder_.journal_, {}));
  EXPECT_FALSE(continues(recorder_.journal_, {1, 0}));
  EXPECT_FALSE(continues("", {}));
  EXPECT_FALSE(continues("DVRJNL", {}));
}

}  // namespace
}  // namespace dvr::test
