// Frames of UDP-like packets, built from what a test says of them.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "lib/prefix.h"
#include "sinks/xdp/around.h"

namespace dvr::xdp::test {

struct Packet {
  Mac to{}, from{2, 0, 0, 0, 9, 9};
  bool vlan = false;
  Address source, destination;
  std::uint8_t ttl = 64;
  std::uint8_t protocol = 17;
  std::uint16_t id = 1;
  std::uint16_t fragment = 0;  // IPv4's word: flags and offset; any but 0 for IPv6: a header
  std::uint16_t source_port = 1000, destination_port = 2000;
  bool options = false;  // IPv4: a word of them; IPv6: hop by hop
  bool bad_checksum = false;
  int payload = 40;  // bytes behind the ports
  int padding = 0;   // behind the packet
  int cut = 0;       // bytes missing at its end

  // Of the IP packet.
  [[nodiscard]] int length() const {
    const bool extra = destination.family == 6 && (options || fragment != 0);
    return (destination.family == 4 ? 20 : 40) + (options && !extra ? 4 : 0) + (extra ? 8 : 0) + 4 +
           payload;
  }

  [[nodiscard]] std::vector<std::uint8_t> frame() const {
    std::vector<std::uint8_t> f;
    const auto u8 = [&](unsigned v) { f.push_back(static_cast<std::uint8_t>(v)); };
    const auto u16 = [&](unsigned v) {
      u8(v >> 8);
      u8(v & 0xff);
    };
    f.insert(f.end(), to.begin(), to.end());
    f.insert(f.end(), from.begin(), from.end());
    if (vlan) {
      u16(0x8100);
      u16(5);
    }
    const bool four = destination.family == 4;
    u16(four ? 0x0800 : 0x86dd);
    const std::size_t ip = f.size();
    if (four) {
      u8(options ? 0x46 : 0x45);
      u8(0);
      u16(static_cast<unsigned>(length()));
      u16(id);
      u16(fragment);
      u8(ttl);
      u8(protocol);
      u16(0);
      for (const Address& a : {source, destination}) {
        u16(a.as_v4() >> 16);
        u16(a.as_v4() & 0xffff);
      }
      if (options) {
        u16(0x0101);
        u16(0x0101);
      }
      std::uint32_t sum = bad_checksum ? 1 : 0;
      for (std::size_t i = ip; i < f.size(); i += 2)
        sum += static_cast<std::uint32_t>(f[i] << 8 | f[i + 1]);
      while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
      f[ip + 10] = static_cast<std::uint8_t>(~sum >> 8);
      f[ip + 11] = static_cast<std::uint8_t>(~sum);
    } else {
      u16(0x6000);
      u16(0);
      u16(static_cast<unsigned>(length() - 40));
      u8(options ? 0u : fragment != 0 ? 44u : protocol);
      u8(ttl);
      for (const Address& a : {source, destination}) {
        std::uint8_t bytes[16];
        store_u128(a.bits, bytes);
        f.insert(f.end(), bytes, bytes + 16);
      }
      if (options || fragment != 0) {
        u8(protocol);
        u8(0);
        u16(options ? 0x0104u : fragment);
        u16(0);
        u16(0);
      }
    }
    u16(source_port);
    u16(destination_port);
    for (int i = 0; i < payload; ++i) u8(static_cast<unsigned>(i));
    f.resize(f.size() - static_cast<std::size_t>(cut));
    for (int i = 0; i < padding; ++i) u8(0);
    return f;
  }
};

}  // namespace dvr::xdp::test
