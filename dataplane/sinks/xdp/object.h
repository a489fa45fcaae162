// The compiled program.
#pragma once

#include <span>

namespace dvr::xdp {

std::span<const unsigned char> object();

}  // namespace dvr::xdp
