#include "stream/grpc_log.h"

#include <grpc/support/log.h>

#include <atomic>
#include <string_view>

namespace dvr::stream {
namespace {

std::atomic<Logger*> target{nullptr};

void forward(gpr_log_func_args* line) {
  Logger* const logger = target.load(std::memory_order_acquire);
  if (logger == nullptr) return;
  // The client tells why a connection failed, once and with the controller's address.
  const bool told = std::string_view(line->message).starts_with("Handshake failed");
  if (line->severity == GPR_LOG_SEVERITY_ERROR && !told) {
    logger->warn("grpc", {{"text", line->message}});
  } else {
    logger->debug("grpc", {{"text", line->message}});
  }
}

}  // namespace

void route_grpc_log(Logger* logger) {
  target.store(logger, std::memory_order_release);
  gpr_set_log_function(forward);
}

}  // namespace dvr::stream
