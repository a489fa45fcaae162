// The C interface of libdvrlpm.so, through the library itself.
#include "lib/lpm.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "test/tables.h"

namespace dvr::test {
namespace {

TEST(Lpm, NamesItself) { EXPECT_STREQ(lpm_name(), "dvr"); }

TEST(Lpm, SetReplaceDelete4) {
  void* t = lpm4_new();
  ASSERT_NE(t, nullptr);
  EXPECT_EQ(lpm4_one(t, 0x0a000001), 0u);
  EXPECT_EQ(lpm4_set(t, 0, 0, 7), 0);
  EXPECT_EQ(lpm4_set(t, 0x0a000000, 8, 65534), 0);
  EXPECT_EQ(lpm4_set(t, 0x0a000001, 32, 3), 0);
  const std::vector<std::uint32_t> keys{0x0a000001, 0x0a000002, 0x0b000000};
  std::vector<std::uint32_t> ids(3);
  lpm4_bulk(t, keys.data(), ids.data(), 3);
  EXPECT_EQ(ids, (std::vector<std::uint32_t>{3, 65534, 7}));
  EXPECT_EQ(lpm4_set(t, 0x0a000000, 8, 9), 0);
  EXPECT_EQ(lpm4_del(t, 0x0a000001, 32), 0);
  EXPECT_EQ(lpm4_one(t, 0x0a000001), 9u);
  EXPECT_EQ(lpm4_del(t, 0, 0), 0);
  EXPECT_EQ(lpm4_one(t, 0x0b000000), 0u);
  EXPECT_GT(lpm4_bytes(t), 0u);
  lpm4_free(t);
}

TEST(Lpm, RefusesWhatIsNoPrefix) {
  void* four = lpm4_new();
  EXPECT_EQ(lpm4_set(four, 0x0a000001, 8, 1), -1);
  EXPECT_EQ(lpm4_set(four, 0x0a000000, 33, 1), -1);
  EXPECT_EQ(lpm4_set(four, 0x0a000000, -1, 1), -1);
  EXPECT_EQ(lpm4_set(four, 0x0a000000, 8, 0), -1);
  EXPECT_EQ(lpm4_set(four, 0x0a000000, 8, 1u << 23), -1);
  EXPECT_EQ(lpm4_del(four, 0x0a000000, 8), -1);
  EXPECT_EQ(lpm4_one(four, 0x0a000000), 0u);
  lpm4_free(four);
  void* six = lpm6_new();
  std::uint8_t a[16] = {0x20, 0x01};
  EXPECT_EQ(lpm6_set(six, a, 129, 1), -1);
  EXPECT_EQ(lpm6_set(six, a, 8, 1), -1);
  EXPECT_EQ(lpm6_set(six, a, 300, 1), -1);
  EXPECT_EQ(lpm6_del(six, a, 16), -1);
  lpm6_free(six);
}

TEST(Lpm, NetworkOrder6) {
  void* t = lpm6_new();
  Random r(1);
  Model<Prefix6> model;
  std::vector<std::array<std::uint8_t, 16>> keys(1000);
  for (auto& key : keys) {
    const Prefix6 p = cut<Prefix6>(random_address<u128>(r), static_cast<int>(below(r, 129)));
    const auto id = 1 + static_cast<std::uint32_t>(below(r, 70000));
    std::uint8_t bytes[16];
    store_u128(p.address, bytes);
    ASSERT_EQ(lpm6_set(t, bytes, p.length, id), 0);
    model.set(p, id);
    store_u128(p.address | (random_address<u128>(r) & ~mask_of<u128>(p.length)), key.data());
  }
  std::vector<std::uint32_t> ids(keys.size());
  lpm6_bulk(t, reinterpret_cast<const std::uint8_t(*)[16]>(keys.data()), ids.data(), keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const Hit want = model.lookup(load_u128(keys[i].data()));
    ASSERT_EQ(ids[i], want.id);
    ASSERT_EQ(lpm6_one(t, keys[i].data()), want.id);
  }
  lpm6_free(t);
}

// Readers that never said hello, beside the writer: a default route is always there.
TEST(Lpm, ReadersRegisterThemselves) {
  void* t = lpm4_new();
  ASSERT_EQ(lpm4_set(t, 0, 0, 1), 0);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> batches{0}, wrong{0};
  std::vector<std::thread> readers;
  for (std::uint64_t k = 0; k < 2; ++k) {
    readers.emplace_back([&, k] {
      Random r(k);
      std::vector<std::uint32_t> keys(150), ids(150);
      while (!stop.load(std::memory_order_relaxed)) {
        for (auto& key : keys) key = 0x0a000000u | static_cast<std::uint32_t>(below(r, 1u << 20));
        lpm4_bulk(t, keys.data(), ids.data(), keys.size());
        for (const std::uint32_t id : ids) wrong.fetch_add(id == 0 || id > 300 ? 1 : 0);
        const std::uint32_t one = lpm4_one(t, keys[0]);
        wrong.fetch_add(one == 0 || one > 300 ? 1 : 0);
        batches.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  Random r(9);
  for (int i = 0; i < 5000 || batches.load() < 100; ++i) {
    const auto p = cut<Prefix4>(0x0a000000u | static_cast<std::uint32_t>(below(r, 1u << 20)),
                                12 + static_cast<int>(below(r, 21)));
    if (below(r, 2) == 0) {
      lpm4_del(t, p.address, p.length);
    } else {
      ASSERT_EQ(lpm4_set(t, p.address, p.length, 1 + static_cast<std::uint32_t>(below(r, 300))), 0);
    }
  }
  stop = true;
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(wrong.load(), 0u);
  lpm4_free(t);
}

}  // namespace
}  // namespace dvr::test
