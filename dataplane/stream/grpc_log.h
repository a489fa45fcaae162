// Sends gRPC's own log lines through our Logger, so that they do not break the
// form of the log: its errors as warnings, since the stream reports what matters.
#pragma once

#include "stream/logger.h"

namespace dvr::stream {

// From now on; logger must live until the process ends or null is set. Any thread.
void route_grpc_log(Logger* logger);

}  // namespace dvr::stream
