// Rig: a data plane with everything fake around it, driven step by step.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/checkpoint.h"
#include "lib/fib.h"
#include "sinks/sink.h"
#include "stream/board.h"
#include "stream/client.h"
#include "stream/messages.h"
#include "test/stream/fakes.h"
#include "test/stream/model.h"

namespace dvr::stream {

// A directory of the test's own, removed at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "dvr-stream-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct RigOptions {
  std::vector<std::string> controllers{"c1:1"};
  bool takeover = false;
  bool adopt = false;
  std::uint32_t credit = 8;
  std::string state_dir;  // empty: none
  Sink* sink = nullptr;   // beside the memory sink
};

inline RigOptions with_takeover() {
  RigOptions options;
  options.takeover = true;
  return options;
}
inline RigOptions with_adopt() {
  RigOptions options;
  options.adopt = true;
  return options;
}
inline RigOptions with_credit(std::uint32_t chunks) {
  RigOptions options;
  options.credit = chunks;
  return options;
}
inline RigOptions with_controllers(std::vector<std::string> addresses) {
  RigOptions options;
  options.controllers = std::move(addresses);
  return options;
}
inline RigOptions with_state(const TemporaryDirectory& directory) {
  RigOptions options;
  options.state_dir = directory.path();
  return options;
}

class Rig {
 public:
  explicit Rig(RigOptions options = {}) : Rig(std::move(options), FakeClock()) {}

  Rig(RigOptions options, const FakeClock& at) : sink(fib), transport(clock) {
    clock.advance_to(at.now());
    clock.step_wall(std::chrono::milliseconds(at.unix_millis() - clock.unix_millis()));
    if (!options.state_dir.empty()) {
      StateOptions state;
      state.sync = false;
      EXPECT_TRUE(StateDirectory::open(options.state_dir, state, &directory).ok());
      LoadReport report;
      EXPECT_TRUE(directory->load(&fib, &report).ok());
      EXPECT_EQ(report.damaged, "");
      directory->attach(&fib);
    }
    fib.add_listener(&sink);
    ClientOptions client_options;
    client_options.session.router = "r1";
    client_options.session.instance = "instance-1";
    client_options.session.version = "test";
    client_options.session.takeover = options.takeover;
    client_options.session.adopt = options.adopt;
    client_options.session.credit = options.credit;
    client_options.controllers = options.controllers;
    client_options.seed = 1;
    std::vector<Sink*> sinks{&sink};
    if (options.sink != nullptr) sinks.push_back(options.sink);
    client = std::make_unique<Client>(client_options, fib, std::move(sinks), directory.get(),
                                      transport, clock, board, logger);
  }

  ~Rig() {
    client.reset();
    if (directory) directory->close();
    fib.remove_listener(&sink);
  }

  // Steps until what was queued is handled.
  void drain() {
    while (!transport.idle()) client->step();
  }

  // Steps, time passing, until a stream is dialled.
  void dial() {
    for (int i = 0; i < 100 && !transport.streaming; ++i) client->step();
    ASSERT_TRUE(transport.streaming) << "nothing was dialled";
  }

  // Dials and accepts; returns the Hello.
  pb::Hello hello() {
    dial();
    transport.sent.clear();
    transport.accept();
    drain();
    EXPECT_EQ(transport.sent.size(), 1u);
    if (transport.sent.empty() || !transport.sent[0].has_hello()) {
      ADD_FAILURE() << "no hello";
      return {};
    }
    return transport.sent[0].hello();
  }

  static pb::ControllerMessage welcome_message(const Position& head,
                                               const std::string& nonce = "nonce-1") {
    pb::ControllerMessage message;
    pb::Welcome* const welcome = message.mutable_welcome();
    welcome->set_protocol(1);
    welcome->set_digest_version(1);
    welcome->set_node("node-1");
    welcome->set_epoch_nonce(nonce);
    to_message(head, welcome->mutable_head());
    return message;
  }

  void welcome(const Position& head, const std::string& nonce = "nonce-1") {
    transport.deliver(welcome_message(head, nonce));
    drain();
  }

  // Dials, and is welcomed by a controller at the model's position.
  pb::Hello connect(const Model& model, const std::string& nonce = "nonce-1") {
    pb::Hello said = hello();
    welcome(model.position(), nonce);
    return said;
  }

  void send(const std::vector<pb::DeltaChunk>& chunks) {
    for (const pb::DeltaChunk& chunk : chunks) {
      pb::ControllerMessage message;
      *message.mutable_delta() = chunk;
      transport.deliver(std::move(message));
    }
    drain();
  }

  void lose(const std::string& why = "connection reset") {
    transport.end(Closing::Reason::kUnavailable, why);
    drain();
  }

  // The messages of a kind that were sent since the last clear.
  [[nodiscard]] std::vector<pb::DataPlaneMessage> sent(pb::DataPlaneMessage::KindCase kind) const {
    std::vector<pb::DataPlaneMessage> found;
    for (const auto& message : transport.sent) {
      if (message.kind_case() == kind) found.push_back(message);
    }
    return found;
  }
  [[nodiscard]] std::vector<pb::DataPlaneMessage> acks() const {
    return sent(pb::DataPlaneMessage::kAck);
  }

  [[nodiscard]] std::string health() const {
    pb::Health health;
    board.fill(&health);
    return health.status();
  }

  // Prefix that a lookup hits, "" for none.
  [[nodiscard]] std::string lookup(std::string_view address) const {
    const auto match = fib.lookup(parse_address(address).value());
    return match && !match->next_hops.empty() ? to_string(match->prefix) : "";
  }

  FakeClock clock;
  FakeLogger logger;
  Fib fib;
  MemorySink sink;
  FakeTransport transport;
  Board board;
  std::unique_ptr<StateDirectory> directory;
  std::unique_ptr<Client> client;
};

// A small table: three IPv4 and two IPv6 prefixes in two classes.
inline Model small_table() {
  Model model;
  model.group('a', {hop("192.0.2.1")}).group('b', {hop("192.0.2.2"), hop("192.0.2.3", 3)});
  model.set("10.0.0.0/8", 'a').set("10.1.0.0/16", 'b').set("198.51.100.0/24", 'a');
  model.set("2001:db8::/32", 'a').set("2001:db8:1::/48", 'b');
  return model;
}

}  // namespace dvr::stream
