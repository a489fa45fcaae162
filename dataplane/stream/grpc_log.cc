#include "stream/grpc_log.h"

#include <grpc/support/log.h>

#include <atomic>

namespace dvr::stream {
namespace {

std::atomic<Logger*> target{nullptr};

void forward(gpr_log_func_args* line) {
  Logger* const logger = target.load(std::memory_order_acquire);
  if (logger == nullptr) return;
  if (line->severity == GPR_LOG_SEVERITY_ERROR) {
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
