#include "sinks/probes.h"

#include <algorithm>

namespace dvr {

std::optional<std::chrono::milliseconds> Probes::every(const Address& address,
                                                       std::string_view interface) const {
  const Probe* best = nullptr;
  int named = -1;
  for (const Probe& p : rules_) {
    const bool by_address = p.address.family != 0, by_interface = !p.interface.empty();
    if (by_address && p.address != address) continue;
    if (by_interface && p.interface != interface) continue;
    const int names = (by_address ? 2 : 0) + (by_interface ? 1 : 0);
    if (names <= named) continue;
    best = &p;
    named = names;
  }
  if (best == nullptr) return std::nullopt;
  return std::max(best->every, kLeast);
}

}  // namespace dvr
