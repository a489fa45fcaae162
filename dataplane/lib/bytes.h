// Writing and reading of stored integers, strings and next hops: little-endian,
// lengths before contents. A Reader never reads past its end: once it would
// have, it is bad for ever and gives zeros.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/digest.h"
#include "lib/group.h"

namespace dvr {

class ByteWriter {
 public:
  explicit ByteWriter(std::string* out) : out_(out) {}

  void u8(std::uint8_t v) { *out_ += static_cast<char>(v); }
  void u16(std::uint16_t v) { little(v, 2); }
  void u32(std::uint32_t v) { little(v, 4); }
  void u64(std::uint64_t v) { little(v, 8); }
  void raw(std::string_view s) { *out_ += s; }
  void text(std::string_view s) {
    u32(static_cast<std::uint32_t>(s.size()));
    raw(s);
  }
  void hops(std::span<const NextHop> hops) {
    u16(static_cast<std::uint16_t>(hops.size()));
    for (const NextHop& h : hops) append_hop_bytes(h, out_);
  }
  // n words, f(i) each.
  template <class F>
  void words(std::size_t n, F f) {
    const std::size_t at = out_->size();
    out_->resize(at + n * 4);
    char* p = out_->data() + at;
    for (std::size_t i = 0; i < n; ++i, p += 4) {
      const std::uint32_t v = f(i);
      p[0] = static_cast<char>(v);
      p[1] = static_cast<char>(v >> 8);
      p[2] = static_cast<char>(v >> 16);
      p[3] = static_cast<char>(v >> 24);
    }
  }
  // What f writes, its size before it.
  template <class F>
  void section(F f) {
    const std::size_t at = out_->size();
    u64(0);
    f();
    const std::uint64_t size = out_->size() - at - 8;
    for (int i = 0; i < 8; ++i) {
      (*out_)[at + static_cast<std::size_t>(i)] = static_cast<char>(size >> (8 * i));
    }
  }

 private:
  void little(std::uint64_t v, int n) {
    for (int i = 0; i < n; ++i) *out_ += static_cast<char>(v >> (8 * i));
  }
  std::string* out_;
};

// The i-th word of what ByteWriter::words wrote.
inline std::uint32_t word_at(std::string_view words, std::size_t i) {
  const auto* p = reinterpret_cast<const unsigned char*>(words.data()) + i * 4;
  return std::uint32_t{p[0]} | std::uint32_t{p[1]} << 8 | std::uint32_t{p[2]} << 16 |
         std::uint32_t{p[3]} << 24;
}

class ByteReader {
 public:
  explicit ByteReader(std::string_view in) : in_(in) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] std::size_t left() const { return in_.size(); }

  std::uint8_t u8() { return static_cast<std::uint8_t>(little(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(little(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(little(4)); }
  std::uint64_t u64() { return little(8); }
  std::string_view raw(std::uint64_t n) {
    if (n > in_.size()) {
      ok_ = false;
      in_ = {};
      return {};
    }
    const std::string_view s = in_.substr(0, static_cast<std::size_t>(n));
    in_.remove_prefix(static_cast<std::size_t>(n));
    return s;
  }
  std::string_view text() { return raw(u32()); }
  std::string_view section() { return raw(u64()); }
  // n words, for word_at.
  std::string_view words(std::uint64_t n) { return raw(n > in_.size() ? n : n * 4); }
  ClassId class_id() { return ClassId::from_bytes(raw(16)).value_or(ClassId{}); }
  Digest digest() { return Digest::from_bytes(raw(16)).value_or(Digest{}); }
  std::vector<NextHop> hops() {
    std::vector<NextHop> out(u16());
    if (out.size() > kMaxNextHops) {
      ok_ = false;
      return {};
    }
    for (NextHop& h : out) {
      h.type = static_cast<NextHop::Type>(u8());
      const std::uint8_t family = u8();
      const std::string_view address = raw(16);
      if (ok_ && (family == 4 || family == 6)) {
        h.address = *address_from_bytes(address.substr(0, family == 4 ? 4 : 16));
      } else if (family != 0) {
        ok_ = false;
      }
      h.weight = u16();
      h.interface = raw(u8());
      h.via = raw(u8());
    }
    return out;
  }

 private:
  std::uint64_t little(int n) {
    std::uint64_t v = 0;
    const std::string_view s = raw(static_cast<std::uint64_t>(n));
    for (std::size_t i = 0; i < s.size(); ++i) {
      v |= std::uint64_t{static_cast<unsigned char>(s[i])} << (8 * i);
    }
    return v;
  }
  std::string_view in_;
  bool ok_ = true;
};

}  // namespace dvr
