#include "stream/grpc_transport.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/channel_arguments.h>

#include <algorithm>
#include <deque>

#include "fib.grpc.pb.h"

namespace dvr::stream {
namespace {

// A full table travels within the credit of a few MiB; the rest is head room
// for an Unconfirmed of the largest size.
constexpr std::size_t kQuotaBytes = std::size_t{64} << 20;
constexpr int kQuotaThreads = 4;

gpr_timespec to_gpr(TimePoint deadline) {
  if (deadline == TimePoint::max()) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(
      deadline - std::chrono::steady_clock::now());
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(left.count(), GPR_TIMESPAN));
}

Closing to_closing(const grpc::Status& status) {
  using Reason = Closing::Reason;
  switch (status.error_code()) {
    case grpc::StatusCode::OK:
      return {Reason::kEnded, "the controller ended the stream"};
    case grpc::StatusCode::ALREADY_EXISTS:
      return {Reason::kAlreadyExists, status.error_message()};
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::UNIMPLEMENTED:
      return {Reason::kRefused, status.error_message()};
    default:
      return {Reason::kUnavailable, status.error_message()};
  }
}

std::shared_ptr<grpc::Channel> dial(const std::string& address,
                                    const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                                    const grpc::ResourceQuota& quota) {
  grpc::ChannelArguments arguments;
  arguments.SetResourceQuota(quota);
  arguments.SetMaxReceiveMessageSize(static_cast<int>(kMaxMessageBytes));
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, static_cast<int>(kKeepaliveTime.count()));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, static_cast<int>(kKeepaliveTimeout.count()));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  return grpc::CreateCustomChannel(address, credentials, arguments);
}

}  // namespace

// One stream. Its tags point back to it, so it lives until the last of its
// operations has come out of the queue.
struct GrpcTransport::Call {
  enum class Op : std::uint8_t { kStart, kRead, kWrite, kFinish };
  struct Tag {
    Call* call;
    Op op;
  };

  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<pb::Fib::Stub> stub;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<pb::DataPlaneMessage, pb::ControllerMessage>>
      stream;
  pb::ControllerMessage incoming;
  std::deque<pb::DataPlaneMessage> outgoing;
  grpc::Status status;
  Tag start{this, Op::kStart}, read{this, Op::kRead}, write{this, Op::kWrite},
      finish{this, Op::kFinish};
  int pending = 0;  // operations in the queue
  bool open = false, reading = false, writing = false, finishing = false;

  void post_read() {
    if (!open || reading || finishing) return;
    reading = true;
    ++pending;
    stream->Read(&incoming, &read);
  }

  void post_write(const pb::DataPlaneMessage& message) {
    writing = true;
    ++pending;
    stream->Write(message, &write);
  }

  void post_finish() {
    if (finishing) return;
    finishing = true;
    ++pending;
    stream->Finish(&status, &finish);
  }
};

GrpcTransport::GrpcTransport(std::shared_ptr<grpc::ChannelCredentials> credentials)
    : credentials_(std::move(credentials)),
      quota_("dvr-dataplane"),
      alarm_(std::make_unique<grpc::Alarm>()) {
  quota_.Resize(kQuotaBytes).SetMaxThreads(kQuotaThreads);
}

GrpcTransport::~GrpcTransport() {
  close();
  {
    const std::lock_guard lock(wake_mutex_);
    alarm_.reset();  // cancels: its tag comes out below
  }
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  Event ignored;
  while (queue_.Next(&tag, &ok)) complete(tag, ok, ignored);
}

void GrpcTransport::open(const std::string& address) {
  close();
  auto call = std::make_unique<Call>();
  call->channel = dial(address, credentials_, quota_);
  call->stub = pb::Fib::NewStub(call->channel);
  call->stream = call->stub->PrepareAsyncSubscribe(&call->context, &queue_);
  ++call->pending;
  call->stream->StartCall(&call->start);
  current_ = call.get();
  calls_.push_back(std::move(call));
}

void GrpcTransport::close() {
  if (current_ == nullptr) return;
  current_->context.TryCancel();
  current_->post_finish();
  current_ = nullptr;
}

void GrpcTransport::send(const pb::DataPlaneMessage& message) {
  if (current_ == nullptr || !current_->open || current_->finishing) return;
  if (current_->writing) {
    current_->outgoing.push_back(message);
  } else {
    current_->post_write(message);
  }
}

std::size_t GrpcTransport::queued() const {
  return current_ == nullptr ? 0 : current_->outgoing.size();
}

Event GrpcTransport::wait(TimePoint deadline) {
  if (current_ != nullptr) current_->post_read();
  Event event;
  for (;;) {
    void* tag = nullptr;
    bool ok = false;
    const auto got = queue_.AsyncNext(&tag, &ok, to_gpr(deadline));
    if (got != grpc::CompletionQueue::GOT_EVENT) return Event{};
    if (complete(tag, ok, event)) return event;
  }
}

void GrpcTransport::wake() {
  const std::lock_guard lock(wake_mutex_);
  if (wake_pending_ || alarm_ == nullptr) return;
  wake_pending_ = true;
  alarm_->Set(&queue_, gpr_now(GPR_CLOCK_MONOTONIC), this);
}

bool GrpcTransport::complete(void* tag, bool ok, Event& event) {
  if (tag == this) {
    const std::lock_guard lock(wake_mutex_);
    wake_pending_ = false;
    event.kind = Event::Kind::kWoken;
    return true;
  }
  auto* const call = static_cast<Call::Tag*>(tag)->call;
  const bool current = call == current_;
  bool deliver = false;
  --call->pending;
  switch (static_cast<Call::Tag*>(tag)->op) {
    case Call::Op::kStart:
      call->open = ok;
      if (!ok) call->post_finish();
      event.kind = Event::Kind::kOpened;
      deliver = ok && current;
      break;
    case Call::Op::kRead:
      call->reading = false;
      if (!ok) call->post_finish();
      event.kind = Event::Kind::kMessage;
      event.message = &call->incoming;
      deliver = ok && current;
      break;
    case Call::Op::kWrite:
      call->writing = false;
      if (!ok) {
        call->outgoing.clear();
        call->post_finish();
      } else if (!call->outgoing.empty() && !call->finishing) {
        const pb::DataPlaneMessage next = std::move(call->outgoing.front());
        call->outgoing.pop_front();
        call->post_write(next);
      }
      break;
    case Call::Op::kFinish:
      event.kind = Event::Kind::kClosed;
      event.closing = to_closing(call->status);
      deliver = current;
      if (current) current_ = nullptr;
      break;
  }
  if (call->pending == 0 && call != current_) {
    // A current call without operations merely waits for the owner's next wait.
    std::erase_if(calls_, [call](const auto& held) { return held.get() == call; });
  }
  return deliver;
}

}  // namespace dvr::stream
