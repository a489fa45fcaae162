// KernelModel: the kernel's rules about next hops and routes in ordered maps, one by one and
// slowly, with the same answers; and what others do to it.
//
// What the rules are was tried on Linux 6.18: see sink_test.cc for the same scenes with the kernel.
#pragma once

#include <algorithm>
#include <cerrno>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sinks/kernel/port.h"

namespace dvr::kernel::test {

struct PrefixOrder {
  bool operator()(const Prefix& a, const Prefix& b) const {
    if (a.address.family != b.address.family) return a.address.family < b.address.family;
    if (a.address.bits != b.address.bits) return a.address.bits < b.address.bits;
    return a.length < b.length;
  }
};

struct ModelRoute {
  std::uint8_t protocol = 0;
  RouteType type = RouteType::kGroup;
  std::uint32_t group = 0;

  friend bool operator==(const ModelRoute&, const ModelRoute&) = default;
};

class KernelModel final : public Port {
 public:
  using Key = std::pair<Prefix, std::uint32_t>;  // prefix, metric
  struct KeyOrder {
    bool operator()(const Key& a, const Key& b) const {
      const PrefixOrder less;
      if (less(a.first, b.first)) return true;
      return !less(b.first, a.first) && a.second < b.second;
    }
  };
  struct Object {
    std::uint8_t protocol = kProtocol;
    bool group = false;
    Member member;
    std::vector<GroupEntry> entries;
  };

  explicit KernelModel(std::uint32_t metric) : metric_(metric) {}

  // --- Port.

  Outcome add_member(std::uint32_t id, const Member& m) override {
    if (refuses()) return {ENOMEM, "out of memory"};
    if (objects.contains(id)) return {EEXIST, "File exists"};
    if (!m.blackhole && !usable.contains(m.interface)) return {ENETDOWN, "Network is down"};
    objects[id] = {kProtocol, false, m, {}};
    changed();
    return {};
  }

  Outcome set_group(std::uint32_t id, std::span<const GroupEntry> entries, bool replace) override {
    if (refuses()) return {ENOMEM, "out of memory"};
    replacements += replace ? 1 : 0;
    if (replace && refuses_replacement()) return {EBUSY, "Device or resource busy"};
    const auto known = objects.find(id);
    if (!replace && known != objects.end()) return {EEXIST, "File exists"};
    if (replace && known == objects.end()) return {ENOENT, "No such file or directory"};
    if (replace && !known->second.group) return {EINVAL, "Can not replace a nexthop by a group"};
    if (entries.empty()) return {EINVAL, "Invalid group"};
    std::set<std::uint32_t> ids;
    for (const GroupEntry& e : entries) {
      const auto member = objects.find(e.member);
      if (member == objects.end() || member->second.group) return {EINVAL, "Invalid nexthop id"};
      if (!ids.insert(e.member).second) return {EINVAL, "Nexthop id can not be used twice"};
      if (member->second.member.blackhole && entries.size() > 1)
        return {EINVAL, "Blackhole nexthop can not be used in a group with more than 1 path"};
    }
    const std::vector<GroupEntry> wanted(entries.begin(), entries.end());
    if (replace && six_routes(id) && has_v4(wanted))
      return {EINVAL, "IPv6 routes can not use an IPv4 nexthop"};
    objects[id] = {kProtocol, true, {}, wanted};
    changed();
    return {};
  }

  Outcome remove_nexthop(std::uint32_t id) override {
    if (!objects.contains(id)) return {ENOENT, "No such file or directory"};
    if (refuses_removal()) return {EBUSY, "Device or resource busy"};
    take_away(id);
    changed();
    return {};
  }

  void routes(std::span<const RouteOperation> list, std::vector<RouteFailure>* failed) override {
    operations += list.size();
    for (std::size_t i = 0; i < list.size(); ++i) {
      Outcome outcome = route(list[i]);
      if (!outcome.ok()) failed->push_back({i, std::move(outcome)});
      changed();
    }
  }

  std::optional<std::uint32_t> interface_of(const Address& gateway) override {
    const auto link = on_link.find(to_string(gateway));
    if (link == on_link.end()) return std::nullopt;
    return link->second;
  }

  // --- What others do, and the kernel by itself.

  // Next hops of the interface go, silently.
  void down(std::uint32_t interface) {
    usable.erase(interface);
    std::vector<std::uint32_t> gone;
    for (const auto& [id, o] : objects) {
      if (!o.group && !o.member.blackhole && o.member.interface == interface) gone.push_back(id);
    }
    for (std::uint32_t id : gone) take_away(id);
  }
  void up(std::uint32_t interface) { usable.insert(interface); }
  void remove_object(std::uint32_t id) { take_away(id); }

  // --- What it shows.

  [[nodiscard]] std::vector<NexthopFact> nexthops() const {
    std::vector<NexthopFact> facts;
    for (const auto& [id, o] : objects)
      facts.push_back({id, o.protocol, o.group, o.member, o.entries});
    return facts;
  }
  [[nodiscard]] RouteFact fact(const Key& key, const ModelRoute& r) const {
    return {key.first, r.protocol, key.second, r.type, r.group};
  }
  // Ours only, as the dump's filter has it.
  [[nodiscard]] std::vector<RouteFact> our_routes() const {
    std::vector<RouteFact> facts;
    for (const auto& [key, r] : table) {
      if (r.protocol == kProtocol) facts.push_back(fact(key, r));
    }
    return facts;
  }
  // Where packets of a route go: "gateway@interface*weight", sorted; or its type.
  [[nodiscard]] std::string way(const ModelRoute& r) const {
    if (r.type == RouteType::kUnreachable) return "unreachable";
    if (r.type == RouteType::kProhibit) return "prohibit";
    if (r.group == 0) return "foreign";
    std::set<std::string> ways;
    for (const GroupEntry& e : objects.at(r.group).entries) {
      const Member& m = objects.at(e.member).member;
      std::string text = m.blackhole ? "blackhole" : to_string(m.gateway);
      text += "@" + std::to_string(m.interface) + "*" + std::to_string(e.weight);
      ways.insert(text);
    }
    std::string all;
    for (const std::string& w : ways) all += w + " ";
    return all;
  }

  std::map<std::uint32_t, Object> objects;
  std::map<Key, ModelRoute, KeyOrder> table;
  std::set<std::uint32_t> usable;                        // interfaces
  std::map<std::string, std::uint32_t> on_link;          // addresses
  std::uint64_t operations = 0;                          // on routes
  std::uint64_t replacements = 0;                        // of groups that were asked for
  std::function<bool()> refuses = [] { return false; };  // to add
  std::function<bool()> refuses_replacement = [] { return false; };
  std::function<bool()> refuses_removal = [] { return false; };
  std::function<void()> changed = [] {};  // after each change by the Port

 private:
  Outcome route(const RouteOperation& op) {
    const Key key{op.prefix, op.metric != 0 ? op.metric : metric_};
    const auto known = table.find(key);
    if (op.kind == RouteOperation::Kind::kDelete) {
      if (known == table.end() || known->second.protocol != kProtocol)
        return {ESRCH, "No such process"};
      if (refuses_removal()) return {EBUSY, "Device or resource busy"};
      table.erase(known);
      return {};
    }
    if (refuses()) return {ENOMEM, "out of memory"};
    if (op.type == RouteType::kGroup) {
      const auto group = objects.find(op.group);
      if (group == objects.end()) return {EINVAL, "Nexthop id does not exist"};
      if (op.prefix.address.family == 6 && has_v4(group->second.entries))
        return {EINVAL, "IPv6 routes can not use an IPv4 nexthop"};
    }
    if (op.kind == RouteOperation::Kind::kAdd && known != table.end())
      return {EEXIST, "File exists"};
    table[key] = {kProtocol, op.type, op.type == RouteType::kGroup ? op.group : 0};
    return {};
  }

  [[nodiscard]] bool has_v4(const std::vector<GroupEntry>& entries) const {
    return std::any_of(entries.begin(), entries.end(), [this](const GroupEntry& e) {
      return objects.at(e.member).member.family == 4;
    });
  }
  [[nodiscard]] bool six_routes(std::uint32_t group) const {
    return std::any_of(table.begin(), table.end(), [group](const auto& r) {
      return r.second.group == group && r.first.first.address.family == 6;
    });
  }

  void take_away(std::uint32_t id) {
    const bool group = objects.at(id).group;
    objects.erase(id);
    std::erase_if(table, [id](const auto& r) { return r.second.group == id; });
    if (group) return;
    std::vector<std::uint32_t> empty;
    for (auto& [other, o] : objects) {
      if (!o.group) continue;
      std::erase_if(o.entries, [id](const GroupEntry& e) { return e.member == id; });
      if (o.entries.empty()) empty.push_back(other);
    }
    for (std::uint32_t other : empty) take_away(other);
  }

  std::uint32_t metric_;
};

}  // namespace dvr::kernel::test
