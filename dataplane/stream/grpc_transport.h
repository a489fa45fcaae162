// GrpcTransport: the Transport over gRPC.
//
// The owner's thread drives one completion queue, so it does the socket's I/O
// itself: a delta is read, applied and acknowledged without a thread switch.
// Every open makes a channel of its own (gRPC's shared subchannels would carry
// their reconnect back-off from one attempt to the next); retries, proxies and
// service configs are off. HTTP/2 pings find a dead peer within
// kKeepaliveTime + kKeepaliveTimeout: the controller must permit pings at that
// rate, without streams too.
//
// Threading: as Transport. Errors: none are thrown; everything ends as kClosed.
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/credentials.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "stream/transport.h"

namespace dvr::stream {

// Controllers refuse pings that come faster than every 2 s; the rest is for jitter.
inline constexpr std::chrono::milliseconds kKeepaliveTime{2500};
inline constexpr std::chrono::milliseconds kKeepaliveTimeout{2000};

class GrpcTransport final : public Transport {
 public:
  // credentials are shown on every stream; clear text by default.
  explicit GrpcTransport(
      std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials());
  ~GrpcTransport() override;

  void open(const std::string& address) override;
  void close() override;
  void send(const pb::DataPlaneMessage& message) override;
  [[nodiscard]] std::size_t queued() const override;
  Event wait(TimePoint deadline) override;
  void wake() override;

 private:
  struct Call;

  // Handles one completion; true when it is an event for the owner.
  bool complete(void* tag, bool ok, Event& event);

  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  grpc::ResourceQuota quota_;
  grpc::CompletionQueue queue_;
  std::vector<std::unique_ptr<Call>> calls_;  // the current one and abandoned ones that still drain
  Call* current_ = nullptr;

  std::mutex wake_mutex_;
  bool wake_pending_ = false;           // guarded by wake_mutex_: the alarm is set
  std::unique_ptr<grpc::Alarm> alarm_;  // guarded by wake_mutex_
};

}  // namespace dvr::stream
