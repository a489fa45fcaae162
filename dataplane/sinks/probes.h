// Probes: which next hops are asked whether they are there, and how often. A value: what the
// router's configuration says, as the controller sends it.
//
// A rule holds for the next hops with its address, on its interface; what it does not name, it
// does not care for. Of several that hold for one, the one with the address counts, then the one
// with the interface, then the one that names neither.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/prefix.h"

namespace dvr {

struct Probe {
  Address address;        // family 0: any
  std::string interface;  // empty: any
  std::chrono::milliseconds every{0};

  friend bool operator==(const Probe&, const Probe&) = default;
};

class Probes {
 public:
  static constexpr std::size_t kMost = 1024;
  // Nothing is asked more often, whatever a rule says.
  static constexpr std::chrono::milliseconds kLeast{100};

  Probes() = default;
  explicit Probes(std::vector<Probe> rules) : rules_(std::move(rules)) {}

  // The time between two questions to a next hop; none: no rule holds for it. Cost: linear in
  // the rules.
  [[nodiscard]] std::optional<std::chrono::milliseconds> every(const Address& address,
                                                               std::string_view interface) const;
  [[nodiscard]] bool empty() const { return rules_.empty(); }
  [[nodiscard]] std::size_t size() const { return rules_.size(); }

  friend bool operator==(const Probes&, const Probes&) = default;

 private:
  std::vector<Probe> rules_;
};

}  // namespace dvr
