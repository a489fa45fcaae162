// libbpf's structures of options, without its macro, which is no C++.
#pragma once

#include <cstring>

namespace dvr::xdp {

// All zero but for its size, which tells libbpf its version.
template <class T>
T bpf_options() {
  T options;
  std::memset(&options, 0, sizeof options);
  options.sz = sizeof options;
  return options;
}

}  // namespace dvr::xdp
