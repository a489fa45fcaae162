// Checkpoints and journals of any content, the checksums made right: refused or loaded, and
// what loads can be written and loaded again with the same digest.
#include <cstdlib>

#include "lib/delta_journal.h"
#include "lib/fib_image.h"

namespace {

using namespace dvr;

FibLimits small() {
  FibLimits limits;
  limits.prefixes4 = limits.prefixes6 = 1000;
  limits.classes = 100;
  limits.engine_bytes = 1 << 20;
  return limits;
}

void image(char version, std::string_view body) {
  std::string bytes = std::string("DVRFIB\0", 7) + version + std::string(body);
  bytes += murmur3(bytes.data(), bytes.size()).bytes();
  Fib fib(small()), copy(small());
  if (!load_image(bytes, &fib).ok()) {
    if (fib.installed_entries() != 0 || fib.digest() != Digest{}) std::abort();
    return;
  }
  if (!load_image(encode_image(fib), &copy).ok()) std::abort();
  if (copy.digest() != fib.digest()) std::abort();
}

// Records: a size byte, then the payload.
void journal(std::string_view body) {
  std::string bytes = journal_header({});
  while (!body.empty()) {
    const auto n = std::min<std::size_t>(static_cast<unsigned char>(body[0]) * 4u, body.size() - 1);
    const std::string_view payload = body.substr(1, n);
    for (std::size_t i = 0; i < 4; ++i) bytes += static_cast<char>(n >> (8 * i));
    bytes += murmur3(payload.data(), payload.size()).bytes();
    bytes += payload;
    body.remove_prefix(1 + n);
  }
  Fib fib(small());
  const Replay replay = replay_journal(bytes, &fib);
  if (replay.good_bytes > bytes.size()) std::abort();
  if (fib.in_delta()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 3 == 2) {
    journal(body);
  } else {
    image(static_cast<char>(1 + data[0] % 3), body);
  }
  return 0;
}
