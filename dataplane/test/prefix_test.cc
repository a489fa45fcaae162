// Text and byte forms of addresses and prefixes.
#include "lib/prefix.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include "test/tables.h"

namespace dvr::test {
namespace {

TEST(Mask, EveryLength) {
  EXPECT_EQ(mask_of<std::uint32_t>(0), 0u);
  EXPECT_EQ(mask_of<std::uint32_t>(1), 0x80000000u);
  EXPECT_EQ(mask_of<std::uint32_t>(24), 0xffffff00u);
  EXPECT_EQ(mask_of<std::uint32_t>(32), 0xffffffffu);
  EXPECT_EQ(mask_of<u128>(0), u128{0});
  EXPECT_EQ(mask_of<u128>(128), ~u128{0});
  EXPECT_EQ(mask_of<u128>(64), ~u128{0} << 64);
}

TEST(LeadingZeros, OfBothHalves) {
  EXPECT_EQ(leading_zeros(u128{0}), 128);
  EXPECT_EQ(leading_zeros(u128{1}), 127);
  EXPECT_EQ(leading_zeros(u128{1} << 127), 0);
  EXPECT_EQ(leading_zeros(u128{1} << 64), 63);
  EXPECT_EQ(leading_zeros(std::uint32_t{0}), 32);
}

struct Text {
  const char* in;
  const char* out;  // null: refused
};

class AddressText : public testing::TestWithParam<Text> {};

TEST_P(AddressText, ParsesAndFormats) {
  const auto a = parse_address(GetParam().in);
  ASSERT_EQ(a.has_value(), GetParam().out != nullptr);
  if (a) {
    EXPECT_EQ(to_string(*a), GetParam().out);
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, AddressText,
    testing::Values(
        Text{"0.0.0.0", "0.0.0.0"}, Text{"255.255.255.255", "255.255.255.255"},
        Text{"192.168.1.10", "192.168.1.10"}, Text{"1.2.3", nullptr}, Text{"1.2.3.4.5", nullptr},
        Text{"01.2.3.4", nullptr}, Text{"1.2.3.256", nullptr}, Text{"1.2.3.-4", nullptr},
        Text{" 1.2.3.4", nullptr}, Text{"1.2.3.4 ", nullptr}, Text{"1..3.4", nullptr},
        Text{"", nullptr}, Text{"::", "::"}, Text{"::1", "::1"}, Text{"1::", "1::"},
        Text{"2001:DB8::A", "2001:db8::a"}, Text{"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        Text{"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        Text{"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"}, Text{"0:0:0:0:0:0:0:0", "::"},
        Text{"::ffff:1.2.3.4", "::ffff:1.2.3.4"}, Text{"::1.2.3.4", "::102:304"},
        Text{"64:ff9b::192.0.2.1", "64:ff9b::c000:201"},
        Text{"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
        Text{"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"}, Text{"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
        Text{":::", nullptr}, Text{"1::2::3", nullptr}, Text{"1:2:3:4:5:6:7", nullptr},
        Text{"1:2:3:4:5:6:7:8:9", nullptr}, Text{"1:2:3:4:5:6:7:8::", nullptr},
        Text{"::1:2:3:4:5:6:7:8", nullptr}, Text{"12345::", nullptr}, Text{"g::", nullptr},
        Text{"1:", nullptr}, Text{":1", nullptr}, Text{"fe80::1%eth0", nullptr},
        Text{"1:2:3:4:5:6:7:1.2.3.4", nullptr}, Text{"1.2.3.4::", nullptr},
        Text{"::1.2.3", nullptr}, Text{"::+1", nullptr}, Text{"::0x1", nullptr}));

// The C library is an independent reader and writer.
TEST(AddressTextAgainstLibc, RandomAddresses) {
  Random r(1);
  for (int i = 0; i < 20000; ++i) {
    u128 bits = random_address<u128>(r);
    for (int k = 0; k < 8; ++k) {  // runs of zero groups
      if (below(r, 2) == 0) bits &= ~(u128{0xffff} << (16 * k));
    }
    const Address a = Address::v6(bits);
    const std::string bytes = to_bytes(a);
    char theirs[INET6_ADDRSTRLEN];
    ASSERT_NE(inet_ntop(AF_INET6, bytes.data(), theirs, sizeof theirs), nullptr);
    ASSERT_EQ(parse_address(theirs), a) << theirs;
    // RFC 5952 leaves dotted forms other than mapped addresses open; ours has none.
    if (bits >> 48 != 0) {
      ASSERT_EQ(to_string(a), theirs);
    }
    char back[16];
    ASSERT_EQ(inet_pton(AF_INET6, to_string(a).c_str(), back), 1);
    ASSERT_EQ(std::string(back, 16), bytes);
    ASSERT_EQ(address_from_bytes(bytes), a);
  }
}

TEST(PrefixText, CanonicalOnly) {
  EXPECT_EQ(to_string(*parse_prefix("10.0.0.0/8")), "10.0.0.0/8");
  EXPECT_EQ(to_string(*parse_prefix("0.0.0.0/0")), "0.0.0.0/0");
  EXPECT_EQ(to_string(*parse_prefix("2001:db8::/32")), "2001:db8::/32");
  EXPECT_EQ(to_string(*parse_prefix("::1/128")), "::1/128");
  for (const char* bad : {"10.0.0.1/8", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/",
                          "10.0.0.0/-1", "::1/127", "::/129", "/8", "10.0.0.0/8/8", "::/1000"}) {
    EXPECT_FALSE(parse_prefix(bad).has_value()) << bad;
  }
}

TEST(Bytes, OnlyFourOrSixteen) {
  EXPECT_EQ(to_string(*address_from_bytes(std::string("\x0a\x00\x00\x01", 4))), "10.0.0.1");
  EXPECT_FALSE(address_from_bytes("").has_value());
  EXPECT_FALSE(address_from_bytes("12345").has_value());
  EXPECT_EQ(to_bytes(Address{}), "");
  EXPECT_EQ(to_bytes(Address::v4(0x0a000001)), std::string("\x0a\x00\x00\x01", 4));
}

TEST(BasicPrefix, ContainsAndOrder) {
  const Prefix4 p{0x0a000000, 8};
  EXPECT_TRUE(p.contains(0x0affffff));
  EXPECT_FALSE(p.contains(0x0b000000));
  EXPECT_TRUE((Prefix4{0, 0}.contains(0xffffffff)));
  EXPECT_TRUE((Prefix4{0x0a000000, 8} < Prefix4{0x0a000000, 9}));
  EXPECT_FALSE((Prefix4{0x0a000001, 8}.canonical()));
  EXPECT_FALSE((Prefix4{0, 33}.canonical()));
}

}  // namespace
}  // namespace dvr::test
