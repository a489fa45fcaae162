// The longest-prefix-match engines' common face.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

#include "lib/prefix.h"

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

// What an engine offers. set, erase: one writer. lookup: any threads beside
// it, each inside an Epoch::Guard of the epoch that the engine was made with.
// An engine holds no prefix list of its own: the owner knows the table and
// tells erase which prefix covers the erased one (the longest match of it in
// the table without it; an empty Hit: none).
template <class E>
concept Engine = requires(E e, const E c, typename E::PrefixType p, std::uint32_t id, Hit cover,
                          typename E::PrefixType::Address a) {
  { e.set(p, id) } -> std::same_as<bool>;  // false: memory limit reached, unchanged
  { e.erase(p, cover) } -> std::same_as<bool>;
  { c.lookup(a) } -> std::same_as<Hit>;
  { c.bytes() } -> std::same_as<std::size_t>;
};

}  // namespace dvr
