// The program's version, defined by CMake from DVR_VERSION.
#pragma once

#ifndef DVR_VERSION
#define DVR_VERSION "devel"
#endif

namespace dvr::cmd {

inline constexpr const char* kVersion = DVR_VERSION;

}  // namespace dvr::cmd
