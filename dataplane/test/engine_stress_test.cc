// The engine beside readers, and on the real tables under updates, every path against a model.
//
// DVR_STRESS: seconds of each stress (a third of one). DVR_UPDATES: random updates on each real
// table (100000, and fewer addresses are compared).
// DVR_TABLES: the directory of the real tables, as for internet_test.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>
#include <unordered_map>

#include "lib/lpm_table.h"
#include "test/tables.h"

namespace dvr::test {
namespace {

long number_from(const char* name, long otherwise) {
  const char* e = std::getenv(name);
  return e != nullptr ? std::atol(e) : otherwise;
}

// Each prefix has an id of its own, so a reader can judge every answer by itself: the prefix
// of the id has the address, and is no shorter than the prefix that is always there.
template <class P>
void stress(std::size_t count, std::uint64_t seed) {
  using A = typename P::Address;
  Random r(seed);
  const A base = random_address<A>(r) & mask_of<A>(P::kWidth / 4);
  const auto somewhere = [base](Random& random) {
    const A within = random_address<A>(random) & ~mask_of<A>(P::kWidth / 4);
    return static_cast<A>(base | within);
  };
  std::vector<P> prefixes{P{0, 0}, cut<P>(base, P::kWidth / 4)};
  std::set<P> seen(prefixes.begin(), prefixes.end());
  while (prefixes.size() < count) {
    const P p = cut<P>(somewhere(r), 1 + static_cast<int>(below(r, P::kWidth)));
    if (seen.insert(p).second) prefixes.push_back(p);
  }
  LpmTable<P> table;
  for (std::uint32_t i = 0; i < 2; ++i) ASSERT_TRUE(table.set(prefixes[i], i + 1));

  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> answers{0}, wrong{0};
  std::vector<std::thread> readers;
  for (std::uint64_t k = 0; k < 3; ++k) {
    readers.emplace_back([&, k] {
      Random random(seed * 100 + k);
      const std::vector<flat::Path> paths(flat::kPaths.begin(), flat::kPaths.end());
      std::vector<A> keys(200);
      std::vector<std::uint32_t> ids(200);
      const auto judge = [&](A a, std::uint32_t id) {
        const bool good = id >= 1 && id <= prefixes.size() && prefixes[id - 1].contains(a) &&
                          prefixes[id - 1].length >= (prefixes[1].contains(a) ? P::kWidth / 4 : 0);
        if (!good) wrong.fetch_add(1, std::memory_order_relaxed);
      };
      for (std::size_t round = k; !stop.load(std::memory_order_relaxed); ++round) {
        for (A& a : keys) a = below(random, 8) == 0 ? random_address<A>(random) : somewhere(random);
        const flat::Path path = paths[round % paths.size()];
        if (!flat::supported(path)) continue;
        const Epoch::Guard guard(table.epoch());
        table.engine().find(path, keys, ids);
        for (std::size_t i = 0; i < keys.size(); ++i) judge(keys[i], ids[i]);
        judge(keys[0], table.engine().find(keys[0]));
        judge(keys[1], table.engine().lookup(keys[1]).id);
        if (table.engine().live() == 0) wrong.fetch_add(1, std::memory_order_relaxed);
        answers.fetch_add(keys.size(), std::memory_order_relaxed);
      }
    });
  }
  const auto end = std::chrono::steady_clock::now() +
                   (std::getenv("DVR_STRESS") != nullptr
                        ? std::chrono::milliseconds(1000 * number_from("DVR_STRESS", 1))
                        : std::chrono::milliseconds(333));
  std::uint64_t updates = 0;
  while (std::chrono::steady_clock::now() < end || answers.load() < 10000) {
    for (int i = 0; i < 100; ++i, ++updates) {
      const std::size_t at = 2 + below(r, count - 2);
      if (below(r, 2) == 0) {
        ASSERT_TRUE(table.set(prefixes[at], static_cast<std::uint32_t>(at + 1)));
      } else {
        table.erase(prefixes[at]);
      }
    }
  }
  stop = true;
  for (std::thread& t : readers) t.join();
  EXPECT_EQ(wrong.load(), 0u) << "of " << answers.load() << " answers, " << updates << " updates";
}

TEST(EngineStress, Narrow4) { stress<Prefix4>(250, 1); }
TEST(EngineStress, Narrow6) { stress<Prefix6>(250, 2); }
TEST(EngineStress, Wide4) { stress<Prefix4>(4000, 3); }
TEST(EngineStress, Wide6) { stress<Prefix6>(4000, 4); }
TEST(EngineStress, Widest4) { stress<Prefix4>(70000, 5); }
TEST(EngineStress, Widest6) { stress<Prefix6>(70000, 6); }

template <class P>
struct HashOf {
  std::size_t operator()(const P& p) const {
    const auto low = static_cast<std::uint64_t>(p.address);
    const auto high = static_cast<std::uint64_t>(p.address >> (P::kWidth / 2));
    return static_cast<std::size_t>(
        ((high * 0x9e3779b97f4a7c15ULL ^ low) + p.length) * 0xff51afd7ed558ccdULL >> 9);
  }
};

// A real table with `ids` ids at random; churn, then random updates; a model beside it.
template <class P>
class RealTable {
 public:
  using A = typename P::Address;

  RealTable(const std::string& directory, std::size_t ids)
      : ids_(ids), files_(read(directory)), prefixes_(files_.prefixes), churn_(files_.churn) {
    for (const P& p : prefixes_) set(p);
  }

  void run() {
    ASSERT_GT(prefixes_.size(), 100000u);
    check();
    for (const auto& [p, comes] : churn_) comes ? set(p) : erase(p);
    check();
    const long updates = number_from("DVR_UPDATES", 100000);
    for (long i = 0; i < updates; ++i) {
      P p = prefixes_[below(r_, prefixes_.size())];
      if (below(r_, 16) == 0) {
        p = cut<P>(p.address | (random_address<A>(r_) & ~mask_of<A>(p.length)),
                   p.length + static_cast<int>(
                                  below(r_, static_cast<std::size_t>(P::kWidth + 1 - p.length))));
      }
      below(r_, 2) == 0 ? set(p) : erase(p);
      if (i % (updates / 4 + 1) == 0) check();
      if (testing::Test::HasFatalFailure()) return;
    }
    check();
  }

 private:
  struct Files {
    std::vector<P> prefixes;
    std::vector<std::pair<P, bool>> churn;
  };
  // The files, read once.
  static const Files& read(const std::string& directory) {
    static const Files files = [&directory] {
      Files f;
      for (const Prefix& p : read_table(
               (directory + (P::kWidth == 32 ? "/prefixes4.txt" : "/prefixes6.txt")).c_str())) {
        f.prefixes.push_back(P{static_cast<A>(p.address.bits), p.length});
      }
      std::ifstream in(directory + "/churn.txt");
      std::string seconds, kind, prefix, peer, next_hop;
      while (in >> seconds >> kind >> prefix >> peer >> next_hop) {
        const auto p = parse_prefix(prefix);
        if (!p || p->address.family != (P::kWidth == 32 ? 4 : 6)) continue;
        f.churn.push_back({P{static_cast<A>(p->address.bits), p->length}, kind == "A"});
      }
      return f;
    }();
    return files;
  }

  void set(const P& p) {
    const auto id = 1 + static_cast<std::uint32_t>(below(r_, ids_));
    ASSERT_TRUE(table_.set(p, id));
    model_[p] = id;
  }
  void erase(const P& p) { ASSERT_EQ(table_.erase(p), model_.erase(p) == 1); }

  void check() {
    std::vector<A> keys(std::getenv("DVR_UPDATES") != nullptr ? 20000 : 8000);
    std::vector<std::uint32_t> want, ids(keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const P& p = prefixes_[below(r_, prefixes_.size())];
      const A host = random_address<A>(r_) & ~mask_of<A>(p.length);
      keys[i] = i % 4 == 0   ? random_address<A>(r_)
                : i % 4 == 1 ? edges(p)[below(r_, 5)]
                             : static_cast<A>(p.address | host);
      std::uint32_t id = 0;
      for (int length = P::kWidth; length >= 0 && id == 0; --length) {
        const auto it = model_.find(cut<P>(keys[i], length));
        if (it != model_.end()) id = it->second;
      }
      want.push_back(id);
    }
    for (const flat::Path path : flat::kPaths) {
      if (!flat::supported(path)) continue;
      table_.engine().find(path, keys, ids);
      ASSERT_EQ(ids, want) << flat::name_of(path);
    }
    for (std::size_t i = 0; i < keys.size(); ++i) ASSERT_EQ(table_.engine().find(keys[i]), want[i]);
  }

  std::size_t ids_;
  const Files& files_;
  const std::vector<P>& prefixes_;
  const std::vector<std::pair<P, bool>>& churn_;
  Random r_{17};
  LpmTable<P> table_;
  std::unordered_map<P, std::uint32_t, HashOf<P>> model_;
};

class RealTables : public testing::TestWithParam<std::size_t> {
 protected:
  void SetUp() override {
    if (std::getenv("DVR_TABLES") == nullptr) {
      GTEST_SKIP() << "DVR_TABLES is not set: the tables are not unpacked (is zstd installed?)";
    }
  }
};

TEST_P(RealTables, V4) { RealTable<Prefix4>(std::getenv("DVR_TABLES"), GetParam()).run(); }
TEST_P(RealTables, V6) { RealTable<Prefix6>(std::getenv("DVR_TABLES"), GetParam()).run(); }
INSTANTIATE_TEST_SUITE_P(Ids, RealTables, testing::Values(1, 255, 4000, 60000, 70000));

}  // namespace
}  // namespace dvr::test
