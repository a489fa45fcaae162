// The compiled program, as bytes of this one.
#include "sinks/xdp/object.h"

__asm__(
    ".section .rodata\n"
    ".balign 16\n"
    "dvr_xdp_object:\n"
    ".incbin \"" DVR_XDP_OBJECT
    "\"\n"
    "dvr_xdp_object_end:\n"
    ".byte 0\n"
    ".text\n");

extern "C" {
extern const unsigned char dvr_xdp_object[];
extern const unsigned char dvr_xdp_object_end[];
}

namespace dvr::xdp {

std::span<const unsigned char> object() { return {dvr_xdp_object, dvr_xdp_object_end}; }

}  // namespace dvr::xdp
