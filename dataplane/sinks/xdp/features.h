// What a network device's driver can do with XDP frames.
#pragma once

#include <cstdint>

namespace dvr::xdp {

// Whether the device sends frames that are redirected to it from a driver that runs XDP natively.
// It can change: a veth sends them while its peer has GRO on, or XDP. True also
// where the kernel (before 6.3) does not tell. Cost: microseconds. Any thread.
bool sends_frames(std::uint32_t interface);

}  // namespace dvr::xdp
