// A FIB as one block of bytes: the content of a checkpoint.
//
//   "DVRFIB\0" version u8 (1) · position · nonce · digest
//   classes: count u32, each local id u32, class id 16, hops
//   IPv4: count u64, address, length, (local id - 1) columns · IPv6 likewise
//   checksum: MurmurHash3_x64_128 of all before
#pragma once

#include <string>
#include <string_view>

#include "lib/digest.h"
#include "lib/fib.h"
#include "lib/status.h"

namespace dvr {

// Copies a whole table, outside a delta and not partial. About 10 ms a million prefixes.
std::string encode_image(const Fib& fib);

// The checksum that ends an image; all zero when it is too short to have one.
Digest image_checksum(std::string_view image);

// Fills an empty Fib. kCorrupt: the Fib is empty again. Checks checksum,
// form and that the digest of the result is the stored one.
Status load_image(std::string_view image, Fib* fib);

}  // namespace dvr
