// A FIB as one block of bytes: the content of a checkpoint.
//
//   "DVRFIB\0" version u8 (2) · position · nonce · digest · sections, size u64 each before them:
//   classes: local id u32, class id 16, withdrawn u8, hops unless withdrawn; behind it their count
//   u32 · table IPv4 · table IPv6 · layout of the engines u32 · engine IPv4 · engine IPv6
//   checksum: MurmurHash3_x64_128 of all before
//
// Tables and engines are stored as they are in memory (about 26 MiB for an Internet
// table), so a restart copies and checks instead of inserting a million times.
//
// Version 1, columns of prefixes that are inserted one by one, is read still:
//   position · nonce · digest · classes: count u32, each local id u32, class id 16, hops
//   IPv4: count u64, address, length, (local id - 1) columns · IPv6 likewise · checksum
#pragma once

#include <string>
#include <string_view>

#include "lib/digest.h"
#include "lib/fib.h"
#include "lib/status.h"

namespace dvr {

// Copies a whole table, outside a delta and not partial: an image without its checksum, which
// seal_image adds on whatever thread has the time. About 35 ms a million prefixes.
std::string copy_image(const Fib& fib);
void seal_image(std::string* image);
// Both.
std::string encode_image(const Fib& fib);

// The checksum that ends an image; all zero when it is too short to have one.
Digest image_checksum(std::string_view image);

// Fills an empty Fib that nobody reads yet. kCorrupt: the Fib is empty again. Checks checksum,
// form and that the digest of the result is the stored one.
Status load_image(std::string_view image, Fib* fib);

}  // namespace dvr
