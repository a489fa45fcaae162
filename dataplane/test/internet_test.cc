// The real tables of dataplane/tables through a whole Fib, against a slow model.
//
// The environment's DVR_TABLES is a directory with prefixes4.txt, prefixes6.txt
// and churn.txt; ctest unpacks them into the build directory.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <unordered_map>

#include "lib/fib.h"
#include "test/fib_model.h"

namespace dvr::test {
namespace {

constexpr std::uint32_t kOriginClasses = 64;  // 0...63 by origin, the rest by churn's next hops
constexpr std::uint32_t kClasses = 128;
constexpr int kAddresses = 100000;  // of each kind

struct HashPrefix {
  std::size_t operator()(const Prefix& p) const {
    const std::uint64_t h = static_cast<std::uint64_t>(p.address.bits >> 64) * 0x9e3779b97f4a7c15 ^
                            static_cast<std::uint64_t>(p.address.bits);
    return static_cast<std::size_t>((h ^ p.length) * 0xff51afd7ed558ccd >> 7);
  }
};

// Every length is tried, longest first.
class HashModel {
 public:
  using Entries = std::unordered_map<Prefix, std::uint32_t, HashPrefix>;

  Entries entries;

  [[nodiscard]] std::pair<Prefix, std::uint32_t> lookup(const Address& a) const {
    for (int length = a.family == 4 ? 32 : 128; length >= 0; --length) {
      const Prefix p = a.family == 4 ? Prefix::of(cut<Prefix4>(a.as_v4(), length))
                                     : Prefix::of(cut<Prefix6>(a.bits, length));
      const auto it = entries.find(p);
      if (it != entries.end()) return *it;
    }
    return {{}, kClasses};
  }
  [[nodiscard]] Digest digest() const {
    Digest d;
    std::set<std::uint32_t> used;
    for (const auto& [p, c] : entries) {
      d += prefix_item(p, class_id(c));
      used.insert(c);
    }
    for (const std::uint32_t c : used) d += group_item(class_id(c), hops(c));
    return d;
  }
};

std::uint32_t number_of(std::string_view text, std::uint32_t below_this) {
  return static_cast<std::uint32_t>(murmur3(text.data(), text.size()).lo % below_this);
}

class InternetTest : public testing::Test {
 protected:
  using Changes = std::vector<std::pair<Prefix, std::uint32_t>>;

  void SetUp() override {
    const char* directory = std::getenv("DVR_TABLES");
    if (directory == nullptr) {
      GTEST_SKIP() << "DVR_TABLES is not set: the tables are not unpacked (is zstd installed?)";
    }
    directory_ = directory;
    for (std::uint32_t c = 0; c < kClasses; ++c) numbers_[class_id(c)] = c;
    for (const char* name : {"/prefixes4.txt", "/prefixes6.txt"}) {
      std::ifstream in(directory_ + name);
      std::string prefix, origin;
      while (in >> prefix >> origin) {
        const auto p = parse_prefix(prefix);
        ASSERT_TRUE(p) << prefix;
        model_.entries[*p] = number_of(origin, kOriginClasses);
      }
    }
    ASSERT_EQ(model_.entries.size(), 901899u + 160147u);
  }

  void begin(DeltaKind kind) {
    ASSERT_TRUE(fib_.begin(kind).ok());
    for (std::uint32_t c = 0; c < kClasses; ++c) {
      ASSERT_TRUE(fib_.define_class(c, class_id(c), "").ok());
      ASSERT_TRUE(fib_.set_group(c, hops(c)).ok());
    }
  }

  void load() {
    std::vector<PackedColumns> chunks(1);
    std::size_t n = 0;
    for (const auto& [p, c] : model_.entries) {
      if (++n % 20000 == 0) chunks.emplace_back();
      chunks.back().add(p, c);
    }
    const auto start = std::chrono::steady_clock::now();
    begin(DeltaKind::kFull);
    for (const PackedColumns& columns : chunks) ASSERT_TRUE(fib_.set(columns.view()).ok());
    ASSERT_TRUE(fib_.end(at(1), "n").ok());
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    const Summary s = fib_.summary();
    std::cout << "loaded " << s.prefixes4 << " IPv4 and " << s.prefixes6 << " IPv6 prefixes in "
              << took.count() << " ms; engines " << (s.engine_bytes >> 10) << " KiB, tables "
              << (s.table_bytes >> 10) << " KiB\n";
    EXPECT_EQ(s.prefixes4, 901899u);
    EXPECT_EQ(s.prefixes6, 160147u);
    EXPECT_LT(s.engine_bytes + s.table_bytes, std::uint64_t{100} << 20);
  }

  void check(const Address& a) {
    const auto [prefix, number] = model_.lookup(a);
    const auto got = fib_.lookup(a);
    ASSERT_EQ(got.has_value(), number != kClasses) << to_string(a);
    const Hit hit = a.family == 4 ? fib_.lookup4(a.as_v4()) : fib_.lookup6(a.bits);
    ASSERT_EQ(static_cast<bool>(hit), got.has_value()) << to_string(a);
    std::uint32_t id = 0;
    if (a.family == 4) {
      const std::uint32_t key = a.as_v4();
      fib_.find4({&key, 1}, {&id, 1});
    } else {
      fib_.find6({&a.bits, 1}, {&id, 1});
    }
    ASSERT_EQ(id, hit.id) << to_string(a);
    if (!got) return;
    ASSERT_EQ(got->prefix, prefix) << to_string(a) << " " << to_string(got->prefix);
    ASSERT_EQ(numbers_.at(got->class_id), number) << to_string(a);
    ASSERT_EQ(got->id, hit.id);
  }

  // Addresses anywhere, within prefixes of the table, and at their edges.
  void check_addresses(std::uint64_t seed) {
    Random r(seed);
    std::vector<Prefix> picked;
    picked.reserve(kAddresses);
    const std::size_t every = std::max<std::size_t>(1, model_.entries.size() / kAddresses);
    std::size_t n = below(r, every);
    for (const auto& entry : model_.entries) {
      if (n++ % every == 0) picked.push_back(entry.first);
    }
    for (int i = 0; i < kAddresses && !HasFatalFailure(); ++i) {
      check(i % 4 == 0 ? Address::v6((random_address<u128>(r) >> 3) | u128{1} << 125)
                       : Address::v4(random_address<std::uint32_t>(r)));
      const Prefix& p = picked[static_cast<std::size_t>(i) % picked.size()];
      const std::size_t edge = below(r, 5);
      if (p.address.family == 4) {
        const Prefix4 q{p.address.as_v4(), p.length};
        check(Address::v4(q.address |
                          (random_address<std::uint32_t>(r) & ~mask_of<std::uint32_t>(q.length))));
        check(Address::v4(edges(q)[edge]));
      } else {
        const Prefix6 q{p.address.bits, p.length};
        check(Address::v6(q.address | (random_address<u128>(r) & ~mask_of<u128>(q.length))));
        check(Address::v6(edges(q)[edge]));
      }
    }
    EXPECT_EQ(fib_.digest(), model_.digest());
    EXPECT_EQ(fib_.installed_digest(), fib_.digest());
  }

  // The 41,212 real updates, in deltas of 256.
  void churn() {
    std::ifstream in(directory_ + "/churn.txt");
    std::string line;
    std::size_t updates = 0;
    std::uint64_t revision = 1;
    PackedColumns set, removed;
    std::map<Prefix, std::uint32_t, PrefixLess> last;  // within a delta the last word counts
    const auto flush = [&] {
      begin(DeltaKind::kIncremental);
      set = removed = {};
      for (const auto& [p, c] : last) (c == kClasses ? removed : set).add(p, c);
      ASSERT_TRUE(fib_.set(set.view()).ok());
      ASSERT_TRUE(fib_.remove(removed.view()).ok());
      ASSERT_TRUE(fib_.end(at(++revision), "n").ok());
      last.clear();
    };
    while (std::getline(in, line)) {
      std::istringstream words(line);
      std::string seconds, kind, prefix, peer, next_hop;
      words >> seconds >> kind >> prefix >> peer >> next_hop;
      const auto p = parse_prefix(prefix);
      if (!p) continue;  // host bits set, as some routers announce them
      if (kind == "A") {
        model_.entries[*p] = kOriginClasses + number_of(next_hop, kClasses - kOriginClasses);
        last[*p] = model_.entries[*p];
      } else {
        model_.entries.erase(*p);
        last[*p] = kClasses;
      }
      ++updates;
      if (last.size() == 256) flush();
    }
    flush();
    EXPECT_GT(updates, 41000u);
  }

  std::string directory_;
  std::map<ClassId, std::uint32_t> numbers_;
  HashModel model_;
  Fib fib_;
};

TEST_F(InternetTest, AnswersAsTheModelAlsoAfterChurnAndAWithdrawal) {
  load();
  check_addresses(1);
  churn();
  check_addresses(2);
  // A class of many prefixes goes: they fall to what covers them.
  ASSERT_TRUE(fib_.begin(DeltaKind::kIncremental).ok());
  ASSERT_TRUE(fib_.withdraw_group(class_id(7)).ok());
  ASSERT_TRUE(fib_.end(at(100000), "n").ok());
  std::erase_if(model_.entries, [](const auto& entry) { return entry.second == 7; });
  EXPECT_EQ(fib_.digest(), model_.digest());
  while (fib_.step(8192)) {
  }
  check_addresses(3);
}

}  // namespace
}  // namespace dvr::test
