// A slow FIB for the tests: maps, and digests summed from scratch. It also
// drives a Fib by deltas, as a controller would.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <vector>

#include "lib/fib.h"
#include "test/tables.h"

namespace dvr::test {

inline ClassId class_id(std::uint32_t n) {
  ClassId id;
  const Digest d = murmur3(&n, sizeof n, 99);
  id = ClassId::from_bytes(d.bytes()).value();
  return id;
}

inline std::vector<NextHop> hops(std::uint32_t n, std::size_t count = 1) {
  std::vector<NextHop> out(count);
  for (std::size_t i = 0; i < count; ++i) {
    out[i].address = Address::v4(0x0a000000 + n * 64 + static_cast<std::uint32_t>(i));
    out[i].weight = static_cast<std::uint16_t>(1 + (n + i) % 256);
  }
  canonicalize(&out);
  return out;
}

inline bool less(const Prefix& a, const Prefix& b) {
  if (a.address.family != b.address.family) return a.address.family < b.address.family;
  return Prefix6{a.address.bits, a.length} < Prefix6{b.address.bits, b.length};
}
struct PrefixLess {
  bool operator()(const Prefix& a, const Prefix& b) const { return less(a, b); }
};

// Reference is a table as the controller means it.
struct Reference {
  std::map<Prefix, ClassId, PrefixLess> prefixes;
  std::map<ClassId, std::vector<NextHop>> groups;  // of every class that a prefix has, at least

  [[nodiscard]] Digest digest() const {
    Digest d;
    std::set<ClassId> used;
    for (const auto& [p, id] : prefixes) {
      d += prefix_item(p, id);
      used.insert(id);
    }
    for (const ClassId& id : used) d += group_item(id, groups.at(id));
    return d;
  }

  [[nodiscard]] std::optional<Prefix> lookup(const Address& a) const {
    const int width = a.family == 4 ? 32 : 128;
    for (int length = width; length >= 0; --length) {
      const Prefix p = a.family == 4 ? Prefix::of(cut<Prefix4>(a.as_v4(), length))
                                     : Prefix::of(cut<Prefix6>(a.bits, length));
      if (prefixes.contains(p)) return p;
    }
    return std::nullopt;
  }

  void withdraw(const ClassId& id) {
    groups.erase(id);
    std::erase_if(prefixes, [&id](const auto& e) { return e.second == id; });
  }
};

// PackedColumns builds the wire form.
struct PackedColumns {
  std::string address4, length4, class4, address6, length6, class6;

  void add(const Prefix& p, std::uint32_t index) {
    const auto u32 = [](std::uint32_t v, std::string* out) {
      for (int i = 0; i < 4; ++i) *out += static_cast<char>(v >> (8 * i));
    };
    if (p.address.family == 4) {
      u32(p.address.as_v4(), &address4);
      length4 += static_cast<char>(p.length);
      u32(index, &class4);
    } else {
      address6 += to_bytes(p.address);
      length6 += static_cast<char>(p.length);
      u32(index, &class6);
    }
  }
  [[nodiscard]] Columns view() const {
    return {address4, length4, class4, address6, length6, class6};
  }
};

inline Position at(std::uint64_t revision) { return {"log-1", 1, revision}; }

// Sends all of `want` as a FULL delta; with buckets only their prefixes.
inline void send_full(Fib* fib, const Reference& want, std::uint64_t revision,
                      const BucketBitmap* buckets = nullptr) {
  ASSERT_TRUE(fib->begin(DeltaKind::kFull, buckets).ok());
  std::map<ClassId, std::uint32_t> index;
  for (const auto& [id, group] : want.groups) {
    const auto i = static_cast<std::uint32_t>(index.size());
    index[id] = i;
    ASSERT_TRUE(fib->define_class(i, id, "").ok());
    ASSERT_TRUE(fib->set_group(i, group).ok());
  }
  PackedColumns columns;
  for (const auto& [p, id] : want.prefixes) {
    const std::uint32_t bucket = p.address.family == 4
                                     ? bucket_of(Prefix4{p.address.as_v4(), p.length})
                                     : bucket_of(Prefix6{p.address.bits, p.length});
    if (buckets == nullptr || test_bucket(*buckets, bucket)) columns.add(p, index.at(id));
  }
  const Status s = fib->set(columns.view());
  ASSERT_TRUE(s.ok()) << s.message();
  const Status e = fib->end(at(revision), "nonce");
  ASSERT_TRUE(e.ok()) << e.message();
}

// The table in `fib`, as a Reference.
inline Reference contents(const Fib& fib) {
  Reference r;
  std::map<std::uint32_t, ClassId> ids;
  for (const StoredClass& c : fib.classes()) {
    ids[c.id] = c.class_id;
    r.groups[c.class_id] = c.hops;
  }
  fib.for_each4(
      [&](const Prefix4& p, std::uint32_t id) { r.prefixes[Prefix::of(p)] = ids.at(id); });
  fib.for_each6(
      [&](const Prefix6& p, std::uint32_t id) { r.prefixes[Prefix::of(p)] = ids.at(id); });
  return r;
}

// Prefixes, digest, bucket sums and lookups are those of `want`. No pending withdrawals.
inline void expect_equal(const Fib& fib, const Reference& want, Random& random) {
  ASSERT_EQ(contents(fib).prefixes, want.prefixes);
  ASSERT_EQ(fib.digest(), want.digest());
  ASSERT_EQ(fib.installed_digest(), want.digest());
  Digest by_buckets, items;
  const auto sums = fib.buckets();
  for (const Digest& d : *sums) by_buckets += d;
  for (const auto& [p, id] : want.prefixes) items += prefix_item(p, id);
  ASSERT_EQ(by_buckets, items);
  const auto check = [&](const Address& a) {
    const auto expected = want.lookup(a);
    const auto got = fib.lookup(a);
    ASSERT_EQ(got.has_value(), expected.has_value()) << to_string(a);
    if (!got) return;
    ASSERT_EQ(got->prefix, *expected) << to_string(a) << " " << to_string(got->prefix);
    ASSERT_EQ(got->class_id, want.prefixes.at(*expected));
    ASSERT_EQ(got->next_hops, want.groups.at(got->class_id));
  };
  for (const auto& entry : want.prefixes) check(entry.first.address);
  for (int i = 0; i < 200; ++i) {
    check(Address::v4(random_address<std::uint32_t>(random)));
    check(Address::v6(random_address<u128>(random)));
  }
}

// A prefix of a small universe in both families, so that they nest and repeat.
inline Prefix random_prefix(Random& r) {
  if (below(r, 2) == 0) {
    return Prefix::of(cut<Prefix4>(static_cast<std::uint32_t>(0x0a000000 | (r() & 0x00070f07)),
                                   static_cast<int>(below(r, 33))));
  }
  const u128 a = u128{0x20010db8} << 96 | (static_cast<u128>(r() & 0x0f00000f) << 64) | (r() & 3);
  return Prefix::of(cut<Prefix6>(a, static_cast<int>(below(r, 129))));
}

inline Reference random_reference(Random& r, std::size_t n, std::uint32_t classes) {
  Reference want;
  for (std::size_t i = 0; i < n; ++i) {
    const auto c = static_cast<std::uint32_t>(below(r, classes));
    want.prefixes[random_prefix(r)] = class_id(c);
  }
  for (const auto& entry : want.prefixes) {
    want.groups.try_emplace(entry.second,
                            hops(static_cast<std::uint32_t>(below(r, 1000)), 1 + below(r, 3)));
  }
  return want;
}

}  // namespace dvr::test
