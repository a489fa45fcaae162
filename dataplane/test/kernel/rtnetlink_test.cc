// Messages from and to plain data, and the table of what is wanted and had.
#include "sinks/kernel/rtnetlink.h"

#include <gtest/gtest.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "sinks/kernel/listener.h"
#include "sinks/kernel/netlink.h"
#include "sinks/kernel/route_table.h"
#include "test/kernel/scene.h"

namespace dvr::kernel::test {
namespace {

alignas(nlmsghdr) char buffer[kMostMessage];

TEST(RtnetlinkTest, RoutesComeBackAsTheyWentOut) {
  for (const char* text : {"0.0.0.0/0", "10.1.2.0/24", "192.0.2.1/32", "::/0", "2001:db8::/48"}) {
    for (const std::uint32_t table : {254u, 100u, 70000u}) {
      RouteOperation op;
      op.prefix = parse_prefix(text).value();
      op.group = 0x20000007;
      const auto route = read_route(put_route(buffer, op, {table, 70}), table);
      ASSERT_TRUE(route) << text;
      EXPECT_EQ(to_string(route->prefix), text);
      EXPECT_EQ(route->group, 0x20000007u);
      EXPECT_EQ(route->metric, 70u);
      EXPECT_EQ(route->protocol, kProtocol);
      EXPECT_EQ(route->type, RouteType::kGroup);
      EXPECT_FALSE(read_route(put_route(buffer, op, {table, 70}), table + 1)) << "another table";
      op.type = RouteType::kProhibit;
      EXPECT_EQ(read_route(put_route(buffer, op, {table, 70}), table)->type, RouteType::kProhibit);
      op.type = RouteType::kUnreachable;
      op.metric = 9;  // a stray
      const auto stray = read_route(put_route(buffer, op, {table, 70}), table);
      EXPECT_EQ(stray->type, RouteType::kUnreachable);
      EXPECT_EQ(stray->metric, 9u);
      EXPECT_EQ(stray->group, 0u);
    }
  }
}

// What the kernel says of a failure, and that nothing is read beyond an answer that is
// cut off or bent (ASan watches: it lies at the end of its allocation).
TEST(RtnetlinkTest, OutcomesOfBentAnswers) {
  struct Answer {
    std::int32_t error;
    std::uint16_t flags;
    std::uint32_t said;  // the length of the request that it names
    std::string words;   // with what ends them
    std::size_t cut;
  };
  const auto outcome = [](const Answer& a) {
    std::string bytes(sizeof(nlmsghdr) + sizeof(nlmsgerr), '\0');
    if (!a.words.empty()) {
      nlattr words{};
      words.nla_len = static_cast<std::uint16_t>(sizeof words + a.words.size());
      words.nla_type = NLMSGERR_ATTR_MSG;
      bytes.append(reinterpret_cast<const char*>(&words), sizeof words).append(a.words);
    }
    bytes.resize(bytes.size() - a.cut);
    const auto answer = std::make_unique<char[]>(bytes.size());
    auto* const h = reinterpret_cast<nlmsghdr*>(bytes.data());
    h->nlmsg_len = static_cast<std::uint32_t>(bytes.size());
    h->nlmsg_type = NLMSG_ERROR;
    h->nlmsg_flags = a.flags;
    if (a.cut == 0) {
      auto* const e = reinterpret_cast<nlmsgerr*>(bytes.data() + sizeof(nlmsghdr));
      e->error = a.error;
      e->msg.nlmsg_len = a.said;
    }
    std::memcpy(answer.get(), bytes.data(), bytes.size());
    return outcome_of(reinterpret_cast<const nlmsghdr*>(answer.get()));
  };
  constexpr std::uint16_t kWords = NLM_F_CAPPED | NLM_F_ACK_TLVS;
  const std::string said("no such device\0", 15);
  EXPECT_TRUE(outcome({0, 0, 16, "", 0}).ok());
  EXPECT_EQ(outcome({-ENODEV, kWords, 16, said, 0}).words, "no such device");
  EXPECT_EQ(outcome({-ENODEV, NLM_F_ACK_TLVS, 16, said, 0}).words, "no such device");
  const std::string plain = std::strerror(ENODEV);
  EXPECT_EQ(outcome({-ENODEV, 0, 16, said, 0}).words, plain);
  EXPECT_EQ(outcome({-ENODEV, kWords, 16, "without an end", 0}).words, plain);
  for (const std::uint32_t length : {0u, 15u, 17u, 4096u, 0x7fffffffu, 0xffffffffu}) {
    EXPECT_EQ(outcome({-ENODEV, NLM_F_ACK_TLVS, length, said, 0}).error, ENODEV) << length;
  }
  for (const std::size_t cut : {1u, 4u, 19u, 20u}) {
    EXPECT_EQ(outcome({0, 0, 0, "", cut}).error, EBADMSG) << cut;
  }
  for (const std::int32_t error : {1, 4096, -4096, std::numeric_limits<std::int32_t>::min()}) {
    EXPECT_EQ(outcome({error, kWords, 16, said, 0}).error, EBADMSG) << error;
  }
}

TEST(RtnetlinkTest, NextHopsComeBackAsTheyWentOut) {
  const Member members[] = {
      {4, true, 0, {}},
      {6, true, 0, {}},
      {4, false, 7, {}},
      {6, false, 7, {}},
      {4, false, 7, parse_address("10.0.0.2").value()},
      {6, false, 7, parse_address("fe80::2").value()},
  };
  for (const Member& m : members) {
    const auto fact = read_nexthop(put_member(buffer, 0xe0200003, m));
    ASSERT_TRUE(fact);
    EXPECT_EQ(fact->id, 0xe0200003u);
    EXPECT_FALSE(fact->group);
    EXPECT_TRUE(fact->member == m);
    EXPECT_EQ(fact->protocol, kProtocol);
  }
  std::vector<GroupEntry> entries;
  for (std::uint32_t i = 0; i < 64; ++i) {
    entries.push_back({0xe0000000 + i, static_cast<std::uint16_t>(1 + i * 1040)});
  }
  const nlmsghdr* const m = put_group(buffer, 0x20000001, entries, false);
  EXPECT_LE(m->nlmsg_len, kMostMessage);
  const auto fact = read_nexthop(m);
  ASSERT_TRUE(fact && fact->group);
  EXPECT_EQ(fact->entries, entries);
}

// Whatever is cut off or bent, nothing behind the message is read (ASan watches).
TEST(RtnetlinkTest, NeighboursAreReadAndProbed) {
  for (const char* text : {"10.0.0.2", "fd00::2", "fe80::2"}) {
    const Neighbour n{7, parse_address(text).value()};
    for (const bool known : {true, false}) {
      nlmsghdr* const m = put_probe(buffer, n, known);
      auto* const h = reinterpret_cast<ndmsg*>(reinterpret_cast<char*>(m) + NLMSG_HDRLEN);
      EXPECT_EQ(h->ndm_ifindex, 7);
      EXPECT_EQ(h->ndm_state, known ? NUD_PROBE : NUD_NONE);
      EXPECT_EQ(h->ndm_flags, known ? 0 : NTF_USE);
      EXPECT_FALSE(read_neighbour(m)) << "it says neither";
      using State = NeighbourFact::State;
      const std::pair<int, std::optional<State>> states[] = {
          {NUD_FAILED, State::kFailed},   {NUD_REACHABLE, State::kAnswers},
          {NUD_PERMANENT, State::kFixed}, {NUD_NOARP, State::kFixed},
          {NUD_STALE, std::nullopt},      {NUD_DELAY, std::nullopt},
          {NUD_INCOMPLETE, std::nullopt}};
      for (const auto& [state, means] : states) {
        h->ndm_state = static_cast<std::uint16_t>(state);
        const auto fact = read_neighbour(m);
        ASSERT_EQ(fact.has_value(), means.has_value()) << state;
        if (!fact) continue;
        EXPECT_EQ(fact->state, *means);
        EXPECT_TRUE(fact->neighbour == n);
      }
      h->ndm_state = NUD_FAILED;
      m->nlmsg_type = RTM_DELNEIGH;
      EXPECT_FALSE(read_neighbour(m));
      m->nlmsg_type = RTM_NEWNEIGH;
      m->nlmsg_len = NLMSG_HDRLEN + sizeof(ndmsg);
      EXPECT_FALSE(read_neighbour(m)) << "without an address";
      m->nlmsg_len = NLMSG_HDRLEN + 4;
      EXPECT_FALSE(read_neighbour(m));
    }
  }
}

TEST(RtnetlinkTest, MalformedMessagesAreNoFacts) {
  std::mt19937_64 random(1);
  RouteOperation op;
  op.prefix = parse_prefix("2001:db8::/48").value();
  op.group = 5;
  const GroupEntry entries[] = {{1, 2}, {3, 4}};
  int bent = 0;
  for (int i = 0; i < 20000; ++i) {
    nlmsghdr* const m = i % 3 == 0   ? put_route(buffer, op, {254, 70})
                        : i % 3 == 1 ? put_group(buffer, 5, entries, false)
                                     : put_member(buffer, 5, {4, false, 2, Address::v4(1)});
    const std::uint32_t length = m->nlmsg_len;
    // A copy that ends where the message does.
    std::vector<char> exact(buffer, buffer + length);
    if (i % 2 == 0) {
      exact.resize(sizeof(nlmsghdr) + random() % (length - sizeof(nlmsghdr)));
    } else {
      exact[sizeof(nlmsghdr) + random() % (length - sizeof(nlmsghdr))] =
          static_cast<char>(random());
    }
    auto* const copy = reinterpret_cast<nlmsghdr*>(exact.data());
    copy->nlmsg_len = static_cast<std::uint32_t>(exact.size());
    const bool fact = read_route(copy, 254) || read_nexthop(copy) || read_link(copy);
    bent += fact ? 0 : 1;
    read_way(copy);
  }
  EXPECT_GT(bent, 1000);
}

template <class P>
void compare_with_map(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  RouteTable<P> table;
  std::map<P, std::uint32_t> model;
  for (int i = 0; i < 20000; ++i) {
    const int length = static_cast<int>(random() % 24);
    // Few distinct addresses, so that chains meet.
    const auto address = static_cast<typename P::Address>(
        (static_cast<typename P::Address>(random() % 700) << (P::kWidth - 24)) &
        mask_of<typename P::Address>(length));
    const P p{address, static_cast<std::uint8_t>(length)};
    if (random() % 5 < 3) {
      table.at(p).wanted = model[p] = static_cast<std::uint32_t>(1 + i);
    } else if (auto* const e = table.find(p)) {
      table.erase(e);
      model.erase(p);
    } else {
      EXPECT_FALSE(model.contains(p));
    }
  }
  EXPECT_EQ(table.size(), model.size());
  for (const auto& [p, id] : model) {
    auto* const e = table.find(p);
    ASSERT_NE(e, nullptr) << to_string(p);
    EXPECT_EQ(e->wanted, id);
  }
  std::size_t seen = 0;
  table.for_each([&](const auto& e) {
    ++seen;
    EXPECT_EQ(model.at(e.prefix()), e.wanted);
  });
  EXPECT_EQ(seen, model.size());
}

TEST(ListenerTest, NamesThatOthersChoseArePrintable) {
  EXPECT_EQ(printable("ip"), "ip");
  EXPECT_EQ(printable("a b~!"), "a b~!");
  EXPECT_EQ(printable("caf\xc3"), "caf?");  // cut in the middle of a character
  EXPECT_EQ(printable("x\n\x7f"), "x??");
}

TEST(RouteTableTest, HoldsWhatAMapHolds) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    compare_with_map<Prefix4>(seed);
    compare_with_map<Prefix6>(seed);
  }
}

TEST(RouteTableTest, AnEntryIsSmall) {
  EXPECT_EQ(sizeof(RouteTable<Prefix4>::Entry), 16u);
  EXPECT_EQ(sizeof(RouteTable<Prefix6>::Entry), 32u);
}

}  // namespace
}  // namespace dvr::kernel::test
