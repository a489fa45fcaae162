// The client on its own thread, lookups on others, a controller on the test's:
// what TSan watches. gRPC is not in this program.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "test/stream/rig.h"

namespace dvr::stream {
namespace {

TEST(ConcurrencyTest, LookupsAndStatsBesideDeltasAndReconnects) {
  Fib fib;
  MemorySink sink(fib);
  PipeTransport transport;
  const SystemClock clock;
  Board board;
  FakeLogger logger;
  ClientOptions options;
  options.session.router = "r1";
  options.session.instance = "i";
  options.controllers = {"c:1"};
  Client client(options, fib, {&sink}, nullptr, transport, clock, board, logger);
  std::thread writer([&] { client.run(); });

  // Invariant of every state the model passes through: 10.0.0.0/8 is there, and
  // a lookup below it hits it or something longer, with at least one next hop.
  Model model = small_table().at(1);
  std::atomic<bool> filled{false}, done{false};
  std::atomic<std::uint64_t> lookups{0}, wrong{0}, partial{0};
  std::vector<std::thread> readers;
  for (int r = 0; r < 2; ++r) {
    readers.emplace_back([&] {
      while (!done.load()) {
        if (!filled.load()) {
          std::this_thread::yield();
          continue;
        }
        const auto match = fib.lookup(Address::v4(0x0a010203));
        if (!match || match->next_hops.empty()) wrong.fetch_add(1);
        pb::Stats stats;
        board.fill(&stats);
        if (fib.summary().partial) partial.fetch_add(1);
        lookups.fetch_add(1);
      }
    });
  }

  std::uint64_t revision = 1;
  for (int stream = 0; stream < 3; ++stream) {
    transport.receive(pb::DataPlaneMessage::kHello);
    transport.deliver(Rig::welcome_message(model.position()));
    std::uint64_t number = 0;
    const auto send = [&](const std::vector<pb::DeltaChunk>& chunks) {
      for (const auto& chunk : chunks) {
        pb::ControllerMessage message;
        *message.mutable_delta() = chunk;
        transport.deliver(std::move(message));
      }
      const pb::Ack ack = transport.receive(pb::DataPlaneMessage::kAck).ack();
      EXPECT_EQ(ack.delta(), number);
      EXPECT_EQ(ack.digest(), model.digest().bytes());
    };
    send(model.full(++number, 2));
    filled.store(true);
    for (int i = 0; i < 100; ++i) {
      const Model before = model;
      model.at(++revision);
      if (i % 2 == 0) {
        model.set("10.1.0.0/16", i % 4 == 0 ? 'a' : 'b').group('a', {hop("192.0.2.8")});
      } else {
        model.remove("10.1.0.0/16").group('a', {hop("192.0.2.1"), hop("192.0.2.4")});
      }
      send(model.delta(before, ++number, 1));
      pb::Observation observation;
      observation.set_time_ms(revision);
      client.observe(std::move(observation));
    }
    transport.end();
  }
  done.store(true);
  for (auto& reader : readers) reader.join();
  client.stop();
  writer.join();
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_EQ(partial.load(), 0u);
  EXPECT_GT(lookups.load(), 0u);
  EXPECT_EQ(fib.digest(), model.digest());
}

}  // namespace
}  // namespace dvr::stream
