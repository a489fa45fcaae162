// Session: this data plane's side of the FIB protocol on one stream (decision 2).
//
// It says Hello, judges the Welcome, applies deltas, acknowledges them, returns
// credit, hands the configuration to the sinks and answers lookups. It owns no time, no connection
// and no thread: the Client feeds it what the transport delivers and closes the stream when it
// reports an error. The table outlives every stream: nothing that a controller
// does wrong takes a route away.
//
// Order on the wire after a delta: the Ack first and at once, then the Credit
// (in halves of the window, so an idle delta costs one message). Whatever else a
// delta entails (journal, board, memory) is the Client's, after the Ack is out.
//
// Refusals leave the table as it is: a controller of another log (unless it is
// adopted), of an older epoch, or of another protocol.
//
// Threading: the Fib's writer. Errors: a Status whose message tells the operator
// what to do; the stream must then be closed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/fib.h"
#include "lib/status.h"
#include "sinks/sink.h"
#include "stream/addresses.h"
#include "stream/board.h"
#include "stream/delta.h"
#include "stream/logger.h"
#include "stream/saved.h"
#include "stream/transport.h"
#include "stream/unconfirmed.h"

namespace dvr::stream {

struct SessionOptions {
  std::string router;
  std::string instance;
  std::string version;
  bool takeover = false;      // until a controller has welcomed this instance
  bool adopt = false;         // until another log was adopted
  std::uint32_t credit = 32;  // chunks of at most 256 KiB that may be on the way
};

class Session {
 public:
  // What a message meant for the Client.
  struct Outcome {
    Status status;                       // not ok: close the stream
    bool welcomed = false;               // the stream is established
    bool delta = false;                  // a delta ended and was acknowledged
    bool chunk = false;                  // part of one was applied
    std::optional<std::uint64_t> audit;  // the controller asks for an audit, under this id
  };

  Session(SessionOptions options, Fib& fib, std::vector<Sink*> sinks, Transport& transport,
          Addresses& addresses, Saved& saved, Unconfirmed& unconfirmed, Board& board,
          Logger& logger);

  // The stream is open: says Hello.
  void opened();
  // Handles the next message.
  Outcome handle(const pb::ControllerMessage& message);
  // The stream is over. Returns whether a delta was cut.
  bool closed();

  // Hands what a controller configured before this process began to the sinks.
  void restore();

  // Sends an observation; false when there is no welcomed stream, or one that does not read.
  bool observe(const pb::Observation& observation);
  // Sends counters, unless the stream is congested.
  void send_counters(const pb::Counters& counters);
  // Sends what an audit came to, if this stream still is there to hear it.
  void send_audit(const pb::AuditReport& report);
  // What the sinks have counted.
  [[nodiscard]] SinkCounters sink_counters() const;
  [[nodiscard]] const std::vector<Sink*>& sink_list() const { return sink_list_; }
  // Sends the status of every sink that changed since it was last sent.
  void send_sinks();
  // The sinks as last sent, for the board.
  [[nodiscard]] const std::vector<pb::SinkStatus>& sinks() const { return sent_; }

  // Applies an inverse (no stream is up).
  Status undo(const pb::Unconfirmed& unconfirmed) { return deltas_.undo(unconfirmed); }

  [[nodiscard]] bool welcomed() const { return welcomed_; }
  // A delta has ended on this stream and left the controller's digest.
  [[nodiscard]] bool synced() const { return synced_; }
  // The last delta left another digest.
  [[nodiscard]] bool diverged() const { return diverged_; }
  [[nodiscard]] bool last_full() const { return deltas_.full(); }
  [[nodiscard]] const std::string& node() const { return node_; }

 private:
  Status welcome(const pb::Welcome& welcome);
  Status delta(const pb::DeltaChunk& chunk, Outcome& outcome);
  Status configure(const pb::Config& config);
  void probe(const Probes& probes);
  void acknowledge();
  void learn(const google::protobuf::RepeatedPtrField<std::string>& addresses);
  void report(std::vector<pb::SinkStatus>* to) const;
  const std::string& bucket_bytes();

  SessionOptions options_;
  Fib& fib_;
  std::vector<Sink*> sink_list_;
  Transport& transport_;
  Addresses& addresses_;
  Saved& saved_;
  Unconfirmed& unconfirmed_;
  Board& board_;
  Logger& logger_;
  Deltas deltas_;

  bool welcomed_ = false;
  bool synced_ = false;
  bool diverged_ = false;
  bool adopting_ = false;  // this stream's log is another one than the table's
  std::string node_;
  std::uint64_t granted_ = 0;   // chunks that the controller may still send
  std::uint64_t consumed_ = 0;  // chunks applied whose credit was not returned
  Probes probes_;               // as configured last
  std::vector<pb::SinkStatus> sent_;
  pb::DataPlaneMessage out_;  // reused: an ack allocates little

  // The sums of the last Hello and the digest that they belong to: a table that
  // did not change since is not hashed again.
  std::optional<Digest> bucket_digest_;
  std::string bucket_bytes_;
};

}  // namespace dvr::stream
