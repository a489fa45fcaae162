// Transport: one bidirectional message stream to a controller, and the only
// place where the data plane's main thread waits.
//
// The session logic runs as a single-threaded actor: it calls wait, handles
// what happened, sends, and waits again. So nothing in it needs a lock, and the
// thread that reads a delta from the socket is the one that applies it and
// writes the ack: no hand-over stands in the way of an idle delta.
//
// Contract
//   Streams    At most one stream is current. open abandons the current one and
//              starts the next; events of abandoned streams are not delivered.
//   Order      Messages are sent in the order of send and received in theirs.
//              Nothing is delayed to fill packets.
//   Threading  Every member is for the owner's thread, except wake.
//   Bounds     A message received is at most kMaxMessageBytes; a larger one
//              closes the stream.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "fib.pb.h"

namespace dvr::stream {

namespace pb = ::dvr::fib::v1;

using TimePoint = std::chrono::steady_clock::time_point;

inline constexpr std::size_t kMaxMessageBytes = std::size_t{8} << 20;

// Why a stream ended.
struct Closing {
  enum class Reason : std::uint8_t {
    kEnded,          // the controller ended it in good order
    kUnavailable,    // unreachable, lost, or shutting down: try again
    kAlreadyExists,  // another instance serves this router
    kRefused,        // the controller will not serve this data plane as it is
  };
  Reason reason = Reason::kEnded;
  std::string message;
};

// What wait reports.
struct Event {
  enum class Kind : std::uint8_t { kOpened, kMessage, kClosed, kWoken, kTimeout };
  Kind kind = Kind::kTimeout;
  // kMessage: valid until the next wait, open or close.
  pb::ControllerMessage* message = nullptr;
  // kClosed.
  Closing closing;
};

class Transport {
 public:
  Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  virtual ~Transport() = default;

  // Starts a stream to address ("host:port" or "unix:path"). kOpened or kClosed follows.
  virtual void open(const std::string& address) = 0;

  // Abandons the current stream; no event follows. Without one it does nothing.
  virtual void close() = 0;

  // Queues a message on the current stream; what can be written at once is.
  // Dropped when no stream is open: kClosed tells the owner.
  virtual void send(const pb::DataPlaneMessage& message) = 0;

  // Messages queued and not yet taken by the wire. Senders of what may be
  // dropped (counters) look at it first.
  [[nodiscard]] virtual std::size_t queued() const = 0;

  // Waits for the next event, until the deadline (then kTimeout).
  virtual Event wait(TimePoint deadline) = 0;

  // Makes the current or next wait return kWoken. Any thread; several calls may
  // count as one.
  virtual void wake() = 0;
};

}  // namespace dvr::stream
