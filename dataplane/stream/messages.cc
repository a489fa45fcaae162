#include "stream/messages.h"

#include <optional>

namespace dvr::stream {
namespace {

Status bad_hop(int at, const std::string& what) {
  return {Code::kInvalid, "next_hops[" + std::to_string(at) + "]." + what};
}

}  // namespace

void to_message(const Position& from, pb::Position* to) {
  to->set_log_id(from.log_id);
  to->set_epoch(from.epoch);
  to->set_revision(from.revision);
}

Position from_message(const pb::Position& from) {
  return {from.log_id(), from.epoch(), from.revision()};
}

void to_message(const SinkReport& from, std::string_view name, pb::SinkStatus* to) {
  to->set_name(name.data(), name.size());
  to->set_installed(from.installed.bytes());
  to->set_entries(from.entries);
  to->set_failed(from.failed);
  to->set_repaired(from.repaired);
  to->set_deviates(from.deviates);
  for (const SinkFailure& failure : from.failures) {
    pb::Failure* const f = to->add_failures();
    f->set_prefix(failure.prefix);
    f->set_reason(failure.reason);
  }
  if (from.failed > 0) {
    to->set_failed_buckets(from.failed_buckets.data(), from.failed_buckets.size());
  }
}

void to_message(const NextHop& from, pb::NextHop* to) {
  to->set_type(static_cast<pb::NextHop::Type>(from.type));
  to->set_address(to_bytes(from.address));
  to->set_interface(from.interface);
  to->set_weight(from.weight);
  to->set_via(from.via);
}

Status from_message(const pb::Group& from, std::vector<NextHop>* to) {
  to->clear();
  const int count = from.next_hops_size();
  if (count == 0 || count > static_cast<int>(kMaxNextHops)) {
    return {Code::kInvalid, "next_hops: " + std::to_string(count) + " of them, must be 1 to 64"};
  }
  to->reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    const pb::NextHop& hop = from.next_hops(i);
    NextHop out;
    if (!pb::NextHop::Type_IsValid(hop.type())) return bad_hop(i, "type: unknown");
    out.type = static_cast<NextHop::Type>(hop.type());
    if (!hop.address().empty()) {
      const std::optional<Address> address = address_from_bytes(hop.address());
      if (!address) return bad_hop(i, "address: must have 0, 4 or 16 bytes");
      out.address = *address;
    }
    if (hop.weight() < 1 || hop.weight() > 65535) return bad_hop(i, "weight: must be 1 to 65535");
    out.weight = static_cast<std::uint16_t>(hop.weight());
    if (hop.interface().size() > kMaxInterface) return bad_hop(i, "interface: too long");
    out.interface = hop.interface();
    if (hop.via().size() > kMaxName) return bad_hop(i, "via: too long");
    out.via = hop.via();
    to->push_back(std::move(out));
  }
  return {};
}

Status from_message(const pb::Config& from, Probes* to) {
  const auto bad = [](int at, const std::string& what) {
    return Status{Code::kInvalid, "probes[" + std::to_string(at) + "]." + what};
  };
  if (static_cast<std::size_t>(from.probes_size()) > Probes::kMost) {
    return {Code::kInvalid, "probes has more than " + std::to_string(Probes::kMost) + " elements"};
  }
  std::vector<Probe> rules;
  rules.reserve(static_cast<std::size_t>(from.probes_size()));
  for (int i = 0; i < from.probes_size(); ++i) {
    const pb::Config::Probe& p = from.probes(i);
    Probe& rule = rules.emplace_back();
    if (!p.address().empty()) {
      const auto address = address_from_bytes(p.address());
      if (!address) return bad(i, "address has " + std::to_string(p.address().size()) + " bytes");
      rule.address = *address;
    }
    if (p.interface().size() > kMaxInterface) return bad(i, "interface is too long");
    if (p.interval_ms() == 0) return bad(i, "interval_ms is 0");
    rule.interface = p.interface();
    rule.every = std::chrono::milliseconds(p.interval_ms());
  }
  *to = Probes(std::move(rules));
  return {};
}

void answer(const Fib& fib, const pb::LookupRequest& request, pb::LookupAnswer* answer) {
  answer->set_id(request.id());
  to_message(fib.summary().position, answer->mutable_position());
  const std::optional<Address> address = address_from_bytes(request.address());
  if (!address || !request.vrf().empty()) return;
  const std::optional<Match> match = fib.lookup(*address);
  // Its class was withdrawn: packets are dropped, so there is no route to tell of.
  if (!match || match->next_hops.empty()) return;
  answer->set_found(true);
  answer->set_prefix(to_bytes(match->prefix.address));
  answer->set_length(match->prefix.length);
  answer->set_class_id(match->class_id.view().data(), match->class_id.view().size());
  for (const NextHop& hop : match->next_hops) to_message(hop, answer->add_next_hops());
}

std::string to_text(const Position& position) {
  if (position.log_id.empty()) return "none";
  return position.log_id + "/" + std::to_string(position.epoch) + "/" +
         std::to_string(position.revision);
}

}  // namespace dvr::stream
