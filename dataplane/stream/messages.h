// Conversions between the library's types and the protocol's messages. What
// comes in is checked here for what the library's types cannot express.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fib.pb.h"
#include "lib/fib.h"
#include "lib/status.h"
#include "sinks/probes.h"
#include "sinks/sink.h"

namespace dvr::stream {

namespace pb = ::dvr::fib::v1;

// Limits of the protocol's text fields, in bytes.
inline constexpr std::size_t kMaxInterface = 15;
inline constexpr std::size_t kMaxName = 63;

void to_message(const Position& from, pb::Position* to);
void to_message(const SinkReport& from, std::string_view name, pb::SinkStatus* to);
void to_message(const NextHop& from, pb::NextHop* to);
Position from_message(const pb::Position& from);

// Reads a group's hops. Errors: kInvalid with the hop and the member at fault.
Status from_message(const pb::Group& from, std::vector<NextHop>* to);

// Reads a configuration's probes. Errors: kInvalid with the probe and the member at fault.
Status from_message(const pb::Config& from, Probes* to);

// The longest match of a request, with the position it is of. A malformed
// address, another VRF and a withdrawn class (whose packets are dropped until its
// prefixes have left) find nothing. Any thread.
void answer(const Fib& fib, const pb::LookupRequest& request, pb::LookupAnswer* answer);

// "<log_id>/<epoch>/<revision>", or "none".
std::string to_text(const Position& position);

}  // namespace dvr::stream
