#include "lib/prefix.h"

#include <array>
#include <charconv>
#include <cstring>

namespace dvr {

u128 load_u128(const void* bytes) {
  std::uint64_t word[2];
  std::memcpy(word, bytes, 16);
  if constexpr (std::endian::native == std::endian::little) {
    word[0] = __builtin_bswap64(word[0]);
    word[1] = __builtin_bswap64(word[1]);
  }
  return static_cast<u128>(word[0]) << 64 | word[1];
}

void store_u128(u128 value, void* bytes) {
  std::uint64_t word[2] = {static_cast<std::uint64_t>(value >> 64),
                           static_cast<std::uint64_t>(value)};
  if constexpr (std::endian::native == std::endian::little) {
    word[0] = __builtin_bswap64(word[0]);
    word[1] = __builtin_bswap64(word[1]);
  }
  std::memcpy(bytes, word, 16);
}

namespace {

using Groups = std::array<std::uint16_t, 8>;

Groups groups_of(u128 bits) {
  Groups g{};
  for (std::size_t i = 0; i < 8; ++i) {
    g[i] = static_cast<std::uint16_t>(bits >> (112 - 16 * i));
  }
  return g;
}

void append_v4(std::uint32_t a, std::string* out) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    *out += std::to_string((a >> shift) & 255u);
    if (shift != 0) *out += '.';
  }
}

void append_v6(u128 bits, std::string* out) {
  if (bits >> 32 == 0xffff) {
    *out += "::ffff:";
    append_v4(static_cast<std::uint32_t>(bits), out);
    return;
  }
  const Groups g = groups_of(bits);
  std::size_t best = 8, best_length = 1;  // a run of one zero group is not shortened
  for (std::size_t i = 0; i < 8;) {
    std::size_t end = i;
    while (end < 8 && g[end] == 0) ++end;
    if (end - i > best_length) {
      best = i;
      best_length = end - i;
    }
    i = end == i ? i + 1 : end;
  }
  for (std::size_t i = 0; i < 8;) {
    if (i == best) {
      *out += "::";
      i += best_length;
      continue;
    }
    if (i != 0 && out->back() != ':') *out += ':';
    char hex[4];
    const auto r = std::to_chars(hex, hex + 4, g[i], 16);
    out->append(hex, r.ptr);
    ++i;
  }
}

// A decimal number without sign or leading zeros, at most `limit`.
std::optional<unsigned> parse_decimal(std::string_view s, unsigned limit) {
  if (s.empty() || s.size() > 3 || (s.size() > 1 && s[0] == '0')) return std::nullopt;
  unsigned v = 0;
  for (const char c : s) {
    if (c < '0' || c > '9') return std::nullopt;
    v = v * 10 + static_cast<unsigned>(c - '0');
  }
  if (v > limit) return std::nullopt;
  return v;
}

std::optional<std::uint32_t> parse_v4(std::string_view s) {
  std::uint32_t a = 0;
  for (int i = 0; i < 4; ++i) {
    const std::size_t dot = i < 3 ? s.find('.') : s.size();
    if (dot == std::string_view::npos) return std::nullopt;
    const auto byte = parse_decimal(s.substr(0, dot), 255);
    if (!byte) return std::nullopt;
    a = a << 8 | *byte;
    if (i < 3) s.remove_prefix(dot + 1);
  }
  return a;
}

// Parses colon-separated groups without "::"; a dotted quad may end them where
// `tail` allows. Returns how many groups, or -1.
int parse_groups(std::string_view s, bool tail, Groups* out) {
  int n = 0;
  if (s.empty()) return 0;
  while (true) {
    const std::size_t colon = s.find(':');
    const std::string_view part = s.substr(0, colon);
    if (colon == std::string_view::npos && tail && part.find('.') != std::string_view::npos) {
      const auto v4 = parse_v4(part);
      if (!v4 || n > 6) return -1;
      (*out)[static_cast<std::size_t>(n)] = static_cast<std::uint16_t>(*v4 >> 16);
      (*out)[static_cast<std::size_t>(n) + 1] = static_cast<std::uint16_t>(*v4);
      return n + 2;
    }
    unsigned v = 0;
    const auto r = std::from_chars(part.data(), part.data() + part.size(), v, 16);
    if (part.empty() || part.size() > 4 || r.ec != std::errc{} ||
        r.ptr != part.data() + part.size() || n == 8) {
      return -1;
    }
    (*out)[static_cast<std::size_t>(n++)] = static_cast<std::uint16_t>(v);
    if (colon == std::string_view::npos) return n;
    s.remove_prefix(colon + 1);
  }
}

std::optional<u128> parse_v6(std::string_view s) {
  Groups head{}, rest{};
  const std::size_t gap = s.find("::");
  Groups all{};
  if (gap == std::string_view::npos) {
    if (parse_groups(s, true, &all) != 8) return std::nullopt;
  } else {
    const int n = parse_groups(s.substr(0, gap), false, &head);
    const int m = parse_groups(s.substr(gap + 2), true, &rest);
    if (n < 0 || m < 0 || n + m > 7) return std::nullopt;
    for (int i = 0; i < n; ++i)
      all[static_cast<std::size_t>(i)] = head[static_cast<std::size_t>(i)];
    for (int i = 0; i < m; ++i) {
      all[static_cast<std::size_t>(8 - m + i)] = rest[static_cast<std::size_t>(i)];
    }
  }
  u128 bits = 0;
  for (const std::uint16_t g : all) bits = bits << 16 | g;
  return bits;
}

}  // namespace

std::string to_string(const Address& a) {
  std::string out;
  if (a.family == 4) append_v4(a.as_v4(), &out);
  if (a.family == 6) append_v6(a.bits, &out);
  return out;
}

std::string to_string(const Prefix& p) {
  return to_string(p.address) + '/' + std::to_string(p.length);
}

std::optional<Address> parse_address(std::string_view text) {
  if (text.size() > 45) return std::nullopt;
  if (text.find(':') == std::string_view::npos) {
    if (const auto v4 = parse_v4(text)) return Address::v4(*v4);
    return std::nullopt;
  }
  if (const auto v6 = parse_v6(text)) return Address::v6(*v6);
  return std::nullopt;
}

std::optional<Prefix> parse_prefix(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto address = parse_address(text.substr(0, slash));
  if (!address) return std::nullopt;
  const auto length = parse_decimal(text.substr(slash + 1), address->family == 4 ? 32 : 128);
  if (!length) return std::nullopt;
  const auto l = static_cast<std::uint8_t>(*length);
  const bool canonical = address->family == 4 ? Prefix4{address->as_v4(), l}.canonical()
                                              : Prefix6{address->bits, l}.canonical();
  if (!canonical) return std::nullopt;
  return Prefix{*address, l};
}

std::optional<Address> address_from_bytes(std::string_view bytes) {
  if (bytes.size() == 16) return Address::v6(load_u128(bytes.data()));
  if (bytes.size() != 4) return std::nullopt;
  std::uint32_t a = 0;
  for (const char c : bytes) a = a << 8 | static_cast<unsigned char>(c);
  return Address::v4(a);
}

std::string to_bytes(const Address& a) {
  char buffer[16];
  if (a.family == 6) {
    store_u128(a.bits, buffer);
    return {buffer, 16};
  }
  if (a.family != 4) return {};
  for (int i = 0; i < 4; ++i) buffer[i] = static_cast<char>(a.as_v4() >> (24 - 8 * i));
  return {buffer, 4};
}

}  // namespace dvr
