// LocalService: the gRPC service DataPlane for operators on this machine: stats,
// health and lookups, answered from the table itself, and audits of the sinks. It is up before the
// first connection to a controller and does not depend on one.
//
// Threading: gRPC's own threads call it; it reads through the Fib's lock-free
// readers and the Board.
#pragma once

#include <grpcpp/server.h>

#include <memory>
#include <string>
#include <vector>

#include "lib/fib.h"
#include "lib/status.h"
#include "sinks/sink.h"
#include "stream/board.h"

namespace dvr::stream {

class LocalService {
 public:
  struct Identity {
    std::string router;
    std::string instance;
  };

  // All of them must outlive the service.
  LocalService(const Fib& fib, Board& board, std::vector<Sink*> sinks, Identity identity);
  ~LocalService();
  LocalService(const LocalService&) = delete;
  LocalService& operator=(const LocalService&) = delete;

  // Serves on "host:port" or "unix:path". Port 0 takes a free one: see address().
  // Errors: kIo when the address cannot be listened on.
  Status start(const std::string& address);
  // Ends the service; calls in progress get `kStopGrace`. Harmless when not started.
  void stop();

  // Where it serves, with the port that was taken.
  [[nodiscard]] const std::string& address() const { return address_; }

 private:
  class Handler;
  std::unique_ptr<Handler> handler_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace dvr::stream
