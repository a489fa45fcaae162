// What a controller configures: it reaches the sinks, outlives streams and restarts, and what is
// malformed ends the stream.
#include <gtest/gtest.h>

#include <mutex>

#include "test/stream/audited_sink.h"
#include "test/stream/rig.h"

namespace dvr::stream {
namespace {

// A sink that asks nobody, and knows whom it would.
class ProbingSink final : public AuditedSink {
 public:
  bool probe(const Probes& probes) override {
    told_.push_back(probes);
    return true;
  }
  [[nodiscard]] std::size_t times() const { return told_.size(); }
  // The interval of a next hop on eth0, in ms; -1: no probe holds for it.
  [[nodiscard]] std::int64_t every(const char* address) const {
    if (told_.empty()) return -1;
    const auto every = told_.back().every(parse_address(address).value(), "eth0");
    return every ? every->count() : -1;
  }

 private:
  std::vector<Probes> told_;
};

pb::Config::Probe* add(pb::ControllerMessage& m, const std::string& address,
                       const std::string& interface, std::uint32_t every) {
  pb::Config::Probe* const p = m.mutable_config()->add_probes();
  if (!address.empty()) p->set_address(to_bytes(parse_address(address).value()));
  p->set_interface(interface);
  p->set_interval_ms(every);
  return p;
}

RigOptions with(Sink& sink, const TemporaryDirectory* directory = nullptr) {
  RigOptions options;
  options.sink = &sink;
  if (directory != nullptr) options.state_dir = directory->path();
  return options;
}

TEST(ConfigTest, ProbesReachTheSinksAsTheyChange) {
  ProbingSink sink;
  Rig rig(with(sink));
  rig.connect(small_table());
  EXPECT_EQ(sink.times(), 0u);
  pb::ControllerMessage m;
  m.mutable_config();
  rig.transport.deliver(m);
  rig.drain();
  EXPECT_EQ(sink.times(), 0u) << "there were none before";
  add(m, "", "", 5000);
  add(m, "192.0.2.1", "", 300);
  add(m, "2001:db8::1", "eth0", 200);
  rig.transport.deliver(m);
  rig.transport.deliver(m);
  rig.drain();
  EXPECT_EQ(sink.times(), 1u) << "the same again is nothing";
  EXPECT_EQ(sink.every("192.0.2.1"), 300);
  EXPECT_EQ(sink.every("2001:db8::1"), 200);
  EXPECT_EQ(sink.every("192.0.2.7"), 5000);
  // The next one replaces all of it.
  pb::ControllerMessage other;
  add(other, "192.0.2.7", "", 700);
  rig.transport.deliver(other);
  rig.drain();
  EXPECT_EQ(sink.every("192.0.2.1"), -1);
  EXPECT_EQ(sink.every("192.0.2.7"), 700);
  // A lost stream changes nothing; a controller that has none takes them away.
  rig.lose();
  rig.connect(small_table());
  EXPECT_EQ(sink.every("192.0.2.7"), 700);
  EXPECT_EQ(sink.times(), 2u);
  pb::ControllerMessage none;
  none.mutable_config();
  rig.transport.deliver(none);
  rig.drain();
  EXPECT_EQ(sink.every("192.0.2.7"), -1);
  EXPECT_EQ(sink.times(), 3u);
}

TEST(ConfigTest, ComesWithTheWelcome) {
  ProbingSink sink;
  Rig rig(with(sink));
  const Model model = small_table();
  const auto connect = [&](const pb::Config* config) {
    rig.hello();
    auto welcome = Rig::welcome_message(model.position());
    if (config != nullptr) *welcome.mutable_welcome()->mutable_config() = *config;
    rig.transport.deliver(welcome);
    rig.drain();
  };
  pb::ControllerMessage m;
  add(m, "192.0.2.1", "", 300);
  connect(&m.config());
  EXPECT_EQ(sink.every("192.0.2.1"), 300);
  rig.lose();
  connect(nullptr);  // a controller that knows of no configuration
  EXPECT_EQ(sink.every("192.0.2.1"), 300);
  rig.lose();
  const pb::Config none;
  connect(&none);
  EXPECT_EQ(sink.every("192.0.2.1"), -1);
  rig.lose();
  m.mutable_config()->mutable_probes(0)->set_interval_ms(0);
  connect(&m.config());
  EXPECT_FALSE(rig.transport.streaming);
  EXPECT_EQ(rig.logger.count("probes[0].interval_ms is 0"), 1u) << rig.logger.all();
}

TEST(ConfigTest, OutlivesARestart) {
  const TemporaryDirectory directory;
  {
    ProbingSink sink;
    Rig rig(with(sink, &directory));
    rig.connect(small_table());
    pb::ControllerMessage m;
    add(m, "192.0.2.1", "eth0", 300);
    rig.transport.deliver(m);
    rig.drain();
  }
  {
    ProbingSink sink;
    Rig rig(with(sink, &directory));
    EXPECT_EQ(sink.every("192.0.2.1"), 300) << "before any controller was reached";
    EXPECT_EQ(sink.times(), 1u);
    rig.connect(small_table());
    pb::ControllerMessage none;
    none.mutable_config();
    rig.transport.deliver(none);
    rig.drain();
    EXPECT_EQ(sink.every("192.0.2.1"), -1);
  }
  ProbingSink sink;
  Rig rig(with(sink, &directory));
  EXPECT_EQ(sink.every("192.0.2.1"), -1);
}

TEST(ConfigTest, DamageOnDiskIsNoReasonNotToForward) {
  const TemporaryDirectory directory;
  for (const bool parses : {false, true}) {
    {
      Rig rig(with_state(directory));
      pb::ControllerMessage bad;
      add(bad, "192.0.2.1", "", 300)->set_address("abc");
      const std::string blob = parses ? bad.config().SerializeAsString() : "\xff\xff";
      ASSERT_TRUE(rig.directory->save_blob_later("config", blob).ok());
    }
    ProbingSink sink;
    Rig rig(with(sink, &directory));
    EXPECT_EQ(sink.times(), 0u);
    rig.connect(small_table());
    EXPECT_TRUE(rig.transport.streaming);
  }
}

TEST(ConfigTest, WhereNobodyCanAskItIsSaid) {
  Rig rig;
  rig.connect(small_table());
  pb::ControllerMessage m;
  add(m, "", "", 5000);
  rig.transport.deliver(m);
  rig.drain();
  EXPECT_EQ(rig.logger.count("next hops are not probed"), 1u) << rig.logger.all();
  EXPECT_TRUE(rig.transport.streaming);
}

struct BadConfig {
  const char* name;
  void (*change)(pb::Config*);
  const char* words;
};

class BadConfigTest : public testing::TestWithParam<BadConfig> {};

TEST_P(BadConfigTest, EndsTheStreamAndChangesNothing) {
  ProbingSink sink;
  Rig rig(with(sink));
  rig.connect(small_table());
  pb::ControllerMessage m;
  add(m, "192.0.2.1", "", 300);
  rig.transport.deliver(m);
  rig.drain();
  add(m, "192.0.2.2", "eth0", 300);
  GetParam().change(m.mutable_config());
  rig.transport.deliver(m);
  rig.drain();
  EXPECT_FALSE(rig.transport.streaming);
  EXPECT_EQ(rig.logger.count(GetParam().words), 1u) << rig.logger.all();
  EXPECT_EQ(sink.times(), 1u);
  EXPECT_EQ(sink.every("192.0.2.1"), 300);
}

INSTANTIATE_TEST_SUITE_P(
    All, BadConfigTest,
    testing::Values(
        BadConfig{"Address", [](pb::Config* c) { c->mutable_probes(1)->set_address("abc"); },
                  "probes[1].address has 3 bytes"},
        BadConfig{"Interface",
                  [](pb::Config* c) { c->mutable_probes(0)->set_interface("sixteencharacter"); },
                  "probes[0].interface is too long"},
        BadConfig{"Interval", [](pb::Config* c) { c->mutable_probes(1)->set_interval_ms(0); },
                  "probes[1].interval_ms is 0"},
        BadConfig{"Many",
                  [](pb::Config* c) {
                    for (int i = 0; i < 1024; ++i) c->add_probes()->set_interval_ms(100);
                  },
                  "probes has more than 1024 elements"}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace dvr::stream
