#include "bench/lpm_roofline.h"

#include <random>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__GNUC__) && !defined(__clang__)
// GCC's own headers (PR 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace dvr::bench {

Roofline::Roofline(std::size_t bytes, std::size_t loads)
    : words_(bytes / sizeof(std::uint32_t), 1), at_(loads / 64 * 64) {
  std::mt19937 random(11);
  for (std::uint32_t& i : at_) i = static_cast<std::uint32_t>(random() % words_.size());
}

std::uint32_t Roofline::scalar(std::size_t first, std::size_t end) const {
  std::uint32_t a = 0, b = 0, c = 0, d = 0;
  for (std::size_t i = first; i < end; i += 4) {
    a += words_[at_[i]];
    b += words_[at_[i + 1]];
    c += words_[at_[i + 2]];
    d += words_[at_[i + 3]];
  }
  return a + b + c + d;
}

#if defined(__x86_64__)

namespace {

__attribute__((target("avx512f"))) std::uint32_t gathered(const std::uint32_t* words,
                                                          const std::uint32_t* at, std::size_t n) {
  __m512i sum[4] = {};
  for (std::size_t i = 0; i < n; i += 64) {
    for (std::size_t v = 0; v < 4; ++v) {
      sum[v] = _mm512_add_epi32(
          sum[v], _mm512_i32gather_epi32(_mm512_loadu_si512(at + i + v * 16), words, 4));
    }
  }
  return static_cast<std::uint32_t>(_mm512_reduce_add_epi32(
      _mm512_add_epi32(_mm512_add_epi32(sum[0], sum[1]), _mm512_add_epi32(sum[2], sum[3]))));
}

}  // namespace

std::uint32_t Roofline::gather(std::size_t first, std::size_t end) const {
  if (!__builtin_cpu_supports("avx512f")) return scalar(first, end);
  return gathered(words_.data(), at_.data() + first, end - first);
}

#else

std::uint32_t Roofline::gather(std::size_t first, std::size_t end) const {
  return scalar(first, end);
}

#endif

}  // namespace dvr::bench
