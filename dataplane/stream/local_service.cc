#include "stream/local_service.h"

#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <atomic>
#include <chrono>
#include <utility>

#include "fib.grpc.pb.h"
#include "stream/audit.h"
#include "stream/messages.h"

namespace dvr::stream {
namespace {

constexpr std::chrono::milliseconds kStopGrace{200};
// Requests are a few bytes; nobody needs more.
constexpr int kMaxRequestBytes = 64 << 10;
constexpr std::size_t kQuotaBytes = std::size_t{16} << 20;

}  // namespace

// A call that the sinks answer in seconds; a caller who goes is not waited for.
class AuditCall final : public grpc::ServerUnaryReactor {
 public:
  static AuditCall* start(const std::vector<Sink*>& sinks, std::uint64_t id,
                          pb::AuditReport* reply) {
    auto* const call = new AuditCall(reply);
    const std::shared_ptr<AuditCall> self(call);
    call->self_ = self;
    audit_sinks(sinks, [self, id](const pb::AuditReport& report) { self->answer(report, id); });
    return call;
  }

 private:
  explicit AuditCall(pb::AuditReport* reply) : reply_(reply) {}

  // Whoever comes first finishes the call; the others leave it alone.
  void answer(const pb::AuditReport& report, std::uint64_t id) {
    if (finished_.exchange(true)) return;
    *reply_ = report;
    reply_->set_id(id);
    Finish(grpc::Status::OK);
  }
  void OnCancel() override {
    if (!finished_.exchange(true)) Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { self_.reset(); }

  std::atomic<bool> finished_{false};
  pb::AuditReport* const reply_;
  std::shared_ptr<AuditCall> self_;  // until gRPC is done with it
};

class LocalService::Handler final : public pb::DataPlane::CallbackService {
 public:
  Handler(const Fib& fib, Board& board, std::vector<Sink*> sinks, Identity identity)
      : fib_(fib), board_(board), sinks_(std::move(sinks)), identity_(std::move(identity)) {}

  grpc::ServerUnaryReactor* GetStats(grpc::CallbackServerContext* context, const pb::StatsRequest*,
                                     pb::Stats* stats) override {
    const Summary held = fib_.summary();
    stats->set_router(identity_.router);
    stats->set_instance(identity_.instance);
    to_message(held.position, stats->mutable_position());
    stats->set_digest(held.digest.bytes());
    stats->set_prefixes4(held.prefixes4);
    stats->set_prefixes6(held.prefixes6);
    stats->set_classes(held.classes);
    stats->set_engine_bytes(held.engine_bytes);
    board_.fill(stats);
    pb::Counters& counters = *stats->mutable_counters();
    counters.set_lookups(board_.lookups.load(std::memory_order_relaxed));
    for (const Sink* sink : sinks_) {
      for (const auto& [name, value] : sink->counters()) (*counters.mutable_more())[name] = value;
    }
    return done(context, grpc::Status::OK);
  }

  grpc::ServerUnaryReactor* HealthCheck(grpc::CallbackServerContext* context,
                                        const pb::HealthRequest*, pb::Health* health) override {
    board_.fill(health);
    return done(context, grpc::Status::OK);
  }

  grpc::ServerUnaryReactor* Lookup(grpc::CallbackServerContext* context,
                                   const pb::LookupRequest* request,
                                   pb::LookupAnswer* reply) override {
    if (request->address().size() != 4 && request->address().size() != 16) {
      return done(context,
                  {grpc::StatusCode::INVALID_ARGUMENT, "address: must have 4 or 16 bytes"});
    }
    if (!request->vrf().empty()) {
      return done(context, {grpc::StatusCode::INVALID_ARGUMENT,
                            "vrf: only the default one, which is empty, is served"});
    }
    board_.lookups.fetch_add(1, std::memory_order_relaxed);
    answer(fib_, *request, reply);
    return done(context, grpc::Status::OK);
  }

  grpc::ServerUnaryReactor* Audit(grpc::CallbackServerContext*, const pb::AuditRequest* request,
                                  pb::AuditReport* reply) override {
    return AuditCall::start(sinks_, request->id(), reply);
  }

 private:
  static grpc::ServerUnaryReactor* done(grpc::CallbackServerContext* context,
                                        const grpc::Status& status) {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(status);
    return reactor;
  }

  const Fib& fib_;
  Board& board_;
  const std::vector<Sink*> sinks_;
  const Identity identity_;
};

LocalService::LocalService(const Fib& fib, Board& board, std::vector<Sink*> sinks,
                           Identity identity)
    : handler_(std::make_unique<Handler>(fib, board, std::move(sinks), std::move(identity))) {}

LocalService::~LocalService() { stop(); }

Status LocalService::start(const std::string& address) {
  grpc::ResourceQuota quota("dvr-local");
  quota.Resize(kQuotaBytes);
  grpc::ServerBuilder builder;
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  // Two data planes on one port would share the calls at random.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  int port = 0;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(handler_.get());
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port == 0) {
    stop();
    return {Code::kIo, "cannot listen on " + address + ": is it in use?"};
  }
  address_ = address.starts_with("unix:")
                 ? address
                 : address.substr(0, address.rfind(':') + 1) + std::to_string(port);
  return {};
}

void LocalService::stop() {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now() + kStopGrace);
  server_->Wait();
  server_.reset();
}

}  // namespace dvr::stream
