// Tables beside memory that runs out: an update that fails has changed nothing, and one that
// succeeded is seen by every kind of lookup.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "lib/lpm_table.h"
#include "test/tables.h"

namespace {

// Allocations that still succeed; below 0: all.
long left = -1;
std::size_t refused = 0;

}  // namespace

// Not inlined: GCC would see a pair that does not match.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  if (left == 0) {
    ++refused;
    throw std::bad_alloc();
  }
  if (left > 0) --left;
  void* const p = std::malloc(bytes);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace dvr::test {
namespace {

template <class P>
class MemoryTest : public testing::Test {
 public:
  using FixtureAddress = typename P::Address;

  void check(FixtureAddress a) {
    const std::uint32_t want = model_.lookup(a).id;
    ASSERT_EQ(table_.engine().lookup(a).id, want);
    ASSERT_EQ(table_.engine().find(a), want);
    std::uint32_t id = 0;
    table_.engine().find(std::span<const FixtureAddress>(&a, 1), std::span(&id, 1));
    ASSERT_EQ(id, want);
  }

  LpmTable<P> table_{std::size_t{1} << 28};
  Model<P> model_;
};

using Families = testing::Types<Prefix4, Prefix6>;
TYPED_TEST_SUITE(MemoryTest, Families);

TYPED_TEST(MemoryTest, AnUpdateThatFailsHasChangedNothing) {
  using P = TypeParam;
  using A = typename P::Address;
  Random r(1);
  const A base = random_address<A>(r) & mask_of<A>(8);
  std::size_t failed = 0;
  for (int i = 0; i < 20000; ++i) {
    const A a = static_cast<A>(base | (random_address<A>(r) & ~mask_of<A>(14)));
    const P p = cut<P>(a, 8 + static_cast<int>(below(r, P::kWidth - 7)));
    const auto id = 1 + static_cast<std::uint32_t>(below(r, 60000));
    const bool erases = below(r, 3) == 0;
    left = static_cast<long>(below(r, 3));
    bool done = false;
    try {
      done = erases ? this->table_.erase(p) : this->table_.set(p, id);
    } catch (const std::bad_alloc&) {
      ++failed;
    }
    left = -1;
    if (done && erases) this->model_.erase(p);
    if (done && !erases) this->model_.set(p, id);
    ASSERT_EQ(this->table_.size(), this->model_.entries().size());
    for (const A edge : edges(p)) this->check(edge);
    if (testing::Test::HasFatalFailure()) return;
  }
  EXPECT_GT(refused, 100u);
  EXPECT_GT(failed, 0u);
}

}  // namespace
}  // namespace dvr::test
