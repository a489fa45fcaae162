// Digests against the vectors shared with the Go tests, and their algebra.
#include "lib/digest.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>

#include "test/tables.h"

namespace dvr::test {
namespace {

std::string unhex(const std::string& s) {
  if (s == "-") return {};
  std::string out;
  for (std::size_t i = 0; i + 1 < s.size(); i += 2) {
    out += static_cast<char>(std::stoi(s.substr(i, 2), nullptr, 16));
  }
  return out;
}

std::string text(const std::string& s) { return s == "-" ? "" : s; }

std::vector<std::string> split(const std::string& s, char at) {
  std::vector<std::string> out;
  std::stringstream in(s);
  for (std::string part; std::getline(in, part, at);) out.push_back(part);
  return out;
}

std::vector<NextHop> hops_of(const std::string& s) {
  std::vector<NextHop> hops;
  if (s == "-") return hops;
  for (const std::string& one : split(s, ';')) {
    const auto f = split(one, ',');
    NextHop h;
    h.type = static_cast<NextHop::Type>(std::stoi(f.at(0)));
    if (f.at(1) != "-") h.address = address_from_bytes(unhex(f.at(1))).value();
    h.weight = static_cast<std::uint16_t>(std::stoul(f.at(2)));
    h.interface = text(f.at(3));
    h.via = text(f.at(4));
    hops.push_back(h);
  }
  return hops;
}

std::string item_of(const ClassId& id, const std::vector<NextHop>& hops) {
  std::string item = std::string("\x02") + std::string(id.view());
  item += static_cast<char>(hops.size());
  item += '\0';
  for (const NextHop& h : hops) append_hop_bytes(h, &item);
  return item;
}

TEST(DigestVectors, SharedWithGo) {
  std::ifstream in(DVR_DIGEST_VECTORS);
  ASSERT_TRUE(in) << DVR_DIGEST_VECTORS;
  std::map<std::string, int> seen;
  Digest sum;
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    const auto f = split(line, ' ');
    SCOPED_TRACE(line);
    ++seen[f.at(0)];
    if (f[0] == "murmur") {
      const std::string bytes = unhex(f.at(1));
      EXPECT_EQ(murmur3(bytes.data(), bytes.size()).hex(), f.at(2));
    } else if (f[0] == "prefix") {
      const Prefix p{address_from_bytes(unhex(f.at(3))).value(),
                     static_cast<std::uint8_t>(std::stoi(f.at(2)))};
      const ClassId id = ClassId::from_bytes(unhex(f.at(4))).value();
      const std::string vrf = text(f.at(5));
      EXPECT_EQ(p.address.family, std::stoi(f.at(1)));
      EXPECT_EQ(prefix_item(p, id, vrf).hex(), f.at(6));
      const std::uint32_t bucket = p.address.family == 4
                                       ? bucket_of(Prefix4{p.address.as_v4(), p.length}, vrf)
                                       : bucket_of(Prefix6{p.address.bits, p.length}, vrf);
      EXPECT_EQ(std::to_string(bucket), f.at(7));
      sum += prefix_item(p, id, vrf);
    } else if (f[0] == "group") {
      const ClassId id = ClassId::from_bytes(unhex(f.at(1))).value();
      const auto hops = hops_of(f.at(2));
      EXPECT_EQ(item_of(id, hops), unhex(f.at(3)));
      EXPECT_EQ(group_item(id, hops).hex(), f.at(4));
      auto again = hops;
      canonicalize(&again);
      EXPECT_EQ(again, hops);
      sum += group_item(id, hops);
    } else if (f[0] == "canonical") {
      auto hops = hops_of(f.at(1));
      canonicalize(&hops);
      EXPECT_EQ(hops, hops_of(f.at(2)));
    } else if (f[0] == "add") {
      const auto a = Digest::from_bytes(unhex(f.at(1))).value();
      EXPECT_EQ((a + Digest::from_bytes(unhex(f.at(2))).value()).hex(), f.at(3));
    } else if (f[0] == "sub") {
      const auto a = Digest::from_bytes(unhex(f.at(1))).value();
      EXPECT_EQ((a - Digest::from_bytes(unhex(f.at(2))).value()).hex(), f.at(3));
    } else if (f[0] == "fib") {
      EXPECT_EQ(sum.hex(), f.at(1));
    } else {
      EXPECT_EQ(f[0], "class") << "unknown record";  // classes are made by controllers alone
    }
  }
  for (const char* kind : {"murmur", "prefix", "group", "canonical", "add", "sub", "fib"}) {
    EXPECT_GT(seen[kind], 0) << kind;
  }
}

// SMHasher's verification value of MurmurHash3_x64_128, 0x6384BA69: the hash of the hashes of
// keys of 0 to 255 bytes.
TEST(Murmur, VerificationValue) {
  unsigned char key[256];
  std::string hashes;
  for (unsigned i = 0; i < 256; ++i) {
    key[i] = static_cast<unsigned char>(i);
    hashes += murmur3(key, i, 256 - i).bytes();
  }
  const std::string last = murmur3(hashes.data(), hashes.size()).bytes();
  EXPECT_EQ(last.substr(0, 4), std::string("\x69\xba\x84\x63", 4));
}

TEST(Digest, SumsCommuteAndCancel) {
  Random r(1);
  std::vector<Digest> items(200);
  for (Digest& d : items) d = {r() | (r() << 63), r()};
  Digest forward, backward;
  for (const Digest& d : items) forward += d;
  for (auto it = items.rbegin(); it != items.rend(); ++it) backward += *it;
  EXPECT_EQ(forward, backward);
  for (const Digest& d : items) forward -= d;
  EXPECT_EQ(forward, Digest{});
  const Digest one{1, 0}, top{~std::uint64_t{0}, ~std::uint64_t{0}};
  EXPECT_EQ(top + one, Digest{});
  EXPECT_EQ(Digest{} - one, top);
}

TEST(Digest, BytesRoundTrip) {
  const Digest d{0x0807060504030201ULL, 0x100f0e0d0c0b0a09ULL};
  EXPECT_EQ(d.hex(), "0102030405060708090a0b0c0d0e0f10");
  EXPECT_EQ(Digest::from_bytes(d.bytes()), d);
  EXPECT_FALSE(Digest::from_bytes("short").has_value());
  EXPECT_FALSE(ClassId::from_bytes(std::string(17, 'x')).has_value());
}

TEST(Buckets, BitmapsAndWireForm) {
  BucketBitmap b{};
  for (const std::uint32_t i : {0u, 7u, 8u, 1023u}) set_bucket(b, i);
  for (std::uint32_t i = 0; i < kBuckets; ++i) {
    EXPECT_EQ(test_bucket(b, i), i == 0 || i == 7 || i == 8 || i == 1023);
  }
  EXPECT_EQ(b[0], 0x81);
  BucketSums sums{};
  sums[1] = {1, 2};
  EXPECT_EQ(to_bytes(sums).size(), kBuckets * 16);
  EXPECT_EQ(to_bytes(sums)[16], 1);
}

}  // namespace
}  // namespace dvr::test
