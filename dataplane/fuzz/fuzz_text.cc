// Addresses and prefixes as text: what parses is printed and parsed to the same.
#include <cstdlib>
#include <string_view>

#include "lib/prefix.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto a = dvr::parse_address(text)) {
    if (dvr::parse_address(dvr::to_string(*a)) != a) std::abort();
  }
  if (const auto p = dvr::parse_prefix(text)) {
    if (dvr::parse_prefix(dvr::to_string(*p)) != p) std::abort();
  }
  return 0;
}
