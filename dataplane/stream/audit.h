// An audit of all sinks at once, as the protocol tells it.
#pragma once

#include <functional>
#include <vector>

#include "fib.pb.h"
#include "sinks/sink.h"

namespace dvr::stream {

// Asks every sink for an audit and calls done once, when the last has answered: on a thread of
// a sink's, which it must not hold up, or on this one where no sink has anything to
// compare (the report is empty then). Any thread; the sinks are there until it returns.
void audit_sinks(const std::vector<Sink*>& sinks,
                 std::function<void(const dvr::fib::v1::AuditReport&)> done);

}  // namespace dvr::stream
