// What a lookup answers with.
#pragma once

#include <cstdint>

namespace dvr {

// Ids are 1..kMaxId; 0 means "nothing".
inline constexpr std::uint32_t kMaxId = (1u << 23) - 1;

// Hit is the id and the length of the prefix that matched; id 0: none did.
struct Hit {
  std::uint32_t id = 0;
  std::uint8_t length = 0;

  explicit operator bool() const { return id != 0; }
  friend bool operator==(const Hit&, const Hit&) = default;
};

}  // namespace dvr
