#include "cmd/options.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>

namespace dvr::cmd {
namespace {

// Sets a variable for one test.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Environment() { unsetenv(name_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
};

TEST(OptionsTest, Defaults) {
  const Parsed parsed = parse_options({"--router", "r1"});
  ASSERT_TRUE(parsed.options) << parsed.text;
  const Options& o = *parsed.options;
  EXPECT_EQ(o.router, "r1");
  EXPECT_EQ(o.controllers, std::vector<std::string>{"127.0.0.1:9190"});
  EXPECT_EQ(o.listen, "127.0.0.1:9290");
  EXPECT_EQ(o.sink, "memory");
  EXPECT_EQ(o.state_dir, "");
  EXPECT_FALSE(o.takeover || o.adopt || o.insecure || o.json);
  EXPECT_EQ(o.level, stream::Level::kInfo);
}

TEST(OptionsTest, EveryFlag) {
  const Parsed parsed = parse_options(
      {"--controller", "10.0.0.1:9190,c2.example:1", "--controller", ":7", "--router=edge-1.x_y",
       "--sink", "memory", "--state-dir", "/tmp/s", "--listen", "unix:/tmp/x.sock", "--takeover",
       "--adopt", "--log-format", "json", "--log-level", "debug"});
  ASSERT_TRUE(parsed.options) << parsed.text;
  const Options& o = *parsed.options;
  EXPECT_EQ(o.controllers,
            (std::vector<std::string>{"10.0.0.1:9190", "c2.example:1", "127.0.0.1:7"}));
  EXPECT_EQ(o.router, "edge-1.x_y");
  EXPECT_EQ(o.state_dir, "/tmp/s");
  EXPECT_EQ(o.listen, "unix:/tmp/x.sock");
  EXPECT_TRUE(o.takeover && o.adopt && o.json);
  EXPECT_EQ(o.level, stream::Level::kDebug);
}

TEST(OptionsTest, TheXdpSink) {
  const Parsed parsed =
      parse_options({"--router", "r1", "--sink", "xdp", "--interface", "eth0,eth1", "--interface",
                     "eth2", "--bpffs", "/run/bpf", "--tune-kernel", "--probe", "7"});
  ASSERT_TRUE(parsed.options) << parsed.text;
  EXPECT_EQ(parsed.options->sink, "xdp");
  EXPECT_EQ(parsed.options->interfaces, (std::vector<std::string>{"eth0", "eth1", "eth2"}));
  EXPECT_EQ(parsed.options->bpffs, "/run/bpf");
  EXPECT_TRUE(parsed.options->tune_kernel);
  EXPECT_EQ(parsed.options->probe, 7u);
  const Parsed detach = parse_options({"--router", "r1", "--xdp-detach"});
  ASSERT_TRUE(detach.options) << detach.text;
  EXPECT_TRUE(detach.options->xdp_detach);
  EXPECT_EQ(detach.options->bpffs, "/sys/fs/bpf");
}

TEST(OptionsTest, KernelFlags) {
  const Parsed defaults = parse_options({"--router", "r1", "--sink", "kernel"});
  ASSERT_TRUE(defaults.options) << defaults.text;
  EXPECT_EQ(defaults.options->sink, "kernel");
  EXPECT_EQ(defaults.options->table, 254u);
  EXPECT_EQ(defaults.options->metric, 70u);
  EXPECT_FALSE(defaults.options->tune_kernel);
  EXPECT_EQ(defaults.options->probe, 0u);
  const Parsed parsed =
      parse_options({"--router", "r1", "--sink", "kernel", "--table", "4294967295", "--metric", "5",
                     "--tune-kernel", "--probe", "7"});
  ASSERT_TRUE(parsed.options) << parsed.text;
  EXPECT_EQ(parsed.options->table, 4294967295u);
  EXPECT_EQ(parsed.options->metric, 5u);
  EXPECT_TRUE(parsed.options->tune_kernel);
  EXPECT_EQ(parsed.options->probe, 7u);
}

TEST(OptionsTest, FlagsOverEnvironmentOverDefaults) {
  const Environment router("DVR_ROUTER", "from-env");
  const Environment controllers("DVR_CONTROLLER", "a:1,b:2");
  const Environment listen("DVR_LISTEN", "127.0.0.1:1");
  const Environment takeover("DVR_TAKEOVER", "true");
  const Parsed parsed = parse_options({"--listen", "127.0.0.1:2"});
  ASSERT_TRUE(parsed.options) << parsed.text;
  EXPECT_EQ(parsed.options->router, "from-env");
  EXPECT_EQ(parsed.options->controllers, (std::vector<std::string>{"a:1", "b:2"}));
  EXPECT_EQ(parsed.options->listen, "127.0.0.1:2");
  EXPECT_TRUE(parsed.options->takeover);
}

struct Refused {
  std::vector<std::string> arguments;
  const char* words;
};

TEST(OptionsTest, WhatIsWrongIsNamed) {
  const std::vector<Refused> cases = {
      {{}, "--router"},
      {{"--router", ""}, "--router"},
      {{"--router", "-x"}, "--router"},
      {{"--router", "a b"}, "--router"},
      {{"--router", std::string(64, 'r')}, "--router"},
      {{"--router", "r1", "--unknown"}, "--unknown"},
      {{"--router", "r1", "stray"}, "stray"},
      {{"--router", "r1", "--sink", "vpp"}, "--sink"},
      {{"--router", "r1", "--sink", "kernel", "--table", "255"}, "--table"},
      {{"--router", "r1", "--sink", "kernel", "--table", "0"}, "--table"},
      {{"--router", "r1", "--sink", "kernel", "--table", "main"}, "--table"},
      {{"--router", "r1", "--sink", "kernel", "--metric", "0"}, "--metric"},
      {{"--router", "r1", "--tune-kernel"}, "--sink kernel"},
      {{"--router", "r1", "--probe", "5"}, "--sink kernel"},
      {{"--router", "r1", "--sink", "kernel", "--probe", "3601"}, "--probe"},
      {{"--router", "r1", "--sink", "xdp"}, "--interface"},
      {{"--router", "r1", "--sink", "kernel", "--interface", "eth0"}, "--sink xdp"},
      {{"--router", "r1", "--sink", "xdp", "--interface", "e0,e1,e0"}, "'e0' is named twice"},
      {{"--router", "r1", "--log-level", "loud"}, "--log-level"},
      {{"--router", "r1", "--log-format", "xml"}, "--log-format"},
      {{"--router", "r1", "--controller", "nohost"}, "--controller"},
      {{"--router", "r1", "--controller", "h:99999"}, "--controller"},
      {{"--router", "r1", "--controller", "h:1,bad host:2"}, "--controller"},
      {{"--router", "r1", "--controller", "h:0"}, "port 0"},
      {{"--router", "r1", "--listen", "::1:9"}, "--listen"},
      {{"--router", "r1", "--listen", "unix:"}, "--listen"},
      {{"--router", "r1", "--listen", "0.0.0.0:9290"}, "--insecure"},
      {{"--router", "r1", "--listen", "[::]:9290"}, "--insecure"},
      {{"--router", "r1", "--ca-file", "a", "--cert-file", "b"}, "--key-file"},
      {{"--router", "r1", "--crl-file", "a"}, "--cert-file"},
  };
  for (const Refused& c : cases) {
    const Parsed parsed = parse_options(c.arguments);
    EXPECT_FALSE(parsed.options);
    EXPECT_EQ(parsed.status, 2);
    EXPECT_NE(parsed.text.find(c.words), std::string::npos)
        << "wanted '" << c.words << "' in: " << parsed.text;
  }
}

TEST(OptionsTest, InsecureAllowsOtherAddresses) {
  const Parsed parsed = parse_options({"--router", "r1", "--listen", "0.0.0.0:9290", "--insecure"});
  ASSERT_TRUE(parsed.options) << parsed.text;
  EXPECT_EQ(parsed.options->listen, "0.0.0.0:9290");
}

TEST(OptionsTest, HelpAndVersionAreNoErrors) {
  const Parsed help = parse_options({"--help"});
  EXPECT_FALSE(help.options);
  EXPECT_EQ(help.status, 0);
  for (const char* name : {"--controller", "--router", "--state-dir", "DVR_CONTROLLER"}) {
    EXPECT_NE(help.text.find(name), std::string::npos) << name << " in: " << help.text;
  }
  const Parsed version = parse_options({"--version"});
  EXPECT_EQ(version.status, 0);
  EXPECT_NE(version.text.find("dvr-dataplane "), std::string::npos);
}

TEST(AddressTest, LoopbackIsRecognised) {
  for (const char* yes : {"127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:1", "unix:/x"}) {
    EXPECT_TRUE(is_loopback(yes)) << yes;
  }
  for (const char* no : {"0.0.0.0:1", "10.0.0.1:1", "[::]:1", "example.org:1", "128.0.0.1:1"}) {
    EXPECT_FALSE(is_loopback(no)) << no;
  }
}

}  // namespace
}  // namespace dvr::cmd
