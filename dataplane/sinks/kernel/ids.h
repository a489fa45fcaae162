// Ids of our next-hop objects in the kernel, whose one space per network namespace
// all programs share.
//
// A data plane serves one table, and the table gives it a slot of the space, so that several
// in one namespace do not meet:
//
//   groups   slot << 24 | IPv6 << 23 | generation << 20 | local id of the class
//   members  0xe0000000 + (slot << 20) + dense number
//
// The local ids of classes are kept over restarts with the FIB, so a group that is met again
// tells which class it was. An id that is taken by something else is passed over by
// taking the class's next generation.
#pragma once

#include <cstdint>

namespace dvr::kernel {

class Ids {
 public:
  static constexpr std::uint32_t kSlots = 223;
  static constexpr std::uint32_t kGenerations = 8;
  static constexpr std::uint32_t kMostClasses = 1u << 20;
  static constexpr std::uint32_t kMostMembers = 1u << 20;

  explicit constexpr Ids(std::uint32_t table) : slot_(1 + table % kSlots) {}

  [[nodiscard]] constexpr std::uint32_t slot() const { return slot_; }
  [[nodiscard]] constexpr std::uint32_t group(std::uint32_t local, bool six,
                                              std::uint32_t generation) const {
    return slot_ << 24 | (six ? 1u << 23 : 0u) | generation << 20 | local;
  }
  [[nodiscard]] constexpr std::uint32_t member(std::uint32_t number) const {
    return kMembers + (slot_ << 20) + number;
  }
  [[nodiscard]] constexpr bool is_group(std::uint32_t id) const { return id >> 24 == slot_; }
  [[nodiscard]] constexpr bool is_member(std::uint32_t id) const {
    return id >= member(0) && id - member(0) < kMostMembers;
  }
  [[nodiscard]] static constexpr std::uint32_t local_of(std::uint32_t group) {
    return group & (kMostClasses - 1);
  }
  [[nodiscard]] static constexpr bool six_of(std::uint32_t group) {
    return (group >> 23 & 1u) != 0;
  }

 private:
  static constexpr std::uint32_t kMembers = 0xe0000000;
  std::uint32_t slot_;
};

}  // namespace dvr::kernel
