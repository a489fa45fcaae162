// The path of AVX2: eight addresses a vector, eight vectors side by side, level by
// level. As flat_avx512.cc, where the reasons are.
#if defined(__x86_64__)

#include <immintrin.h>

#include "lib/flat_lookup.h"

#define DVR_AVX2 __attribute__((target("avx2")))
#define DVR_AVX2_INLINE DVR_AVX2 __attribute__((always_inline)) inline

namespace dvr::flat {
namespace {

constexpr std::size_t kLanes = 8;
constexpr std::size_t kVectors = 8;
constexpr std::size_t kBlock = kLanes * kVectors;

DVR_AVX2_INLINE __m256i all(std::uint32_t v) { return _mm256_set1_epi32(static_cast<int>(v)); }

DVR_AVX2_INLINE __m256i load(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}

// Nodes that vectors go on with, all but kFar: a lane's sign says so.
DVR_AVX2_INLINE __m256i open(__m256i w) {
  return _mm256_cmpgt_epi32(all(kNode | kFar << kKindShift), w);
}
DVR_AVX2_INLINE int any(__m256i mask) { return _mm256_movemask_ps(_mm256_castsi256_ps(mask)); }

DVR_AVX2_INLINE __m256i strides(__m256i w) {
  return _mm256_and_si256(_mm256_srli_epi32(w, kStrideShift), all(15));
}

DVR_AVX2_INLINE __m256i step(const View& view, __m256i w, __m256i h, __m256i stride, __m256i m) {
  const __m256i kind = _mm256_and_si256(_mm256_srli_epi32(w, kKindShift), all(3));
  const __m256i i = _mm256_srlv_epi32(h, _mm256_sub_epi32(all(32), stride));
  const __m256i at = _mm256_add_epi32(_mm256_slli_epi32(_mm256_and_si256(w, all(kBlockMask)), 2),
                                      _mm256_sllv_epi32(i, kind));
  const __m256i got =
      _mm256_mask_i32gather_epi32(w, reinterpret_cast<const int*>(view.nodes), at, m, 1);
  const __m256i keep =
      _mm256_permutevar8x32_epi32(_mm256_setr_epi32(0xff, 0xffff, -1, -1, 0, 0, 0, 0), kind);
  return _mm256_blendv_epi8(w, _mm256_and_si256(got, keep), m);
}

DVR_AVX2_INLINE int put(std::uint32_t* out, __m256i w, __m256i fallback) {
  const __m256i none = _mm256_cmpeq_epi32(w, _mm256_setzero_si256());
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_blendv_epi8(w, fallback, none));
  return any(_mm256_cmpeq_epi32(w, all(kEscape)));
}

DVR_AVX2_INLINE __m256i root_words(const View& view, __m256i i) {
  return _mm256_i32gather_epi32(reinterpret_cast<const int*>(view.root), i, 4);
}

}  // namespace

DVR_AVX2 bool avx2::lookup4(const View& view, const std::uint32_t* a, std::uint32_t* out,
                            std::size_t n, std::uint32_t fallback) {
  constexpr int kRoot = kRootBits<Prefix4>;
  const __m256i otherwise = all(fallback);
  int escapes = 0;
  std::size_t i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    __m256i w[kVectors];
    for (std::size_t v = 0; v < kVectors; ++v) {
      w[v] = root_words(view, _mm256_srli_epi32(load(a + i + v * kLanes), 32 - kRoot));
    }
    int more = 0;
    for (std::size_t v = 0; v < kVectors; ++v) {
      const __m256i key = load(a + i + v * kLanes);
      w[v] = step(view, w[v], _mm256_slli_epi32(key, kRoot), strides(w[v]), open(w[v]));
      more |= any(open(w[v]));
      escapes |= put(out + i + v * kLanes, w[v], otherwise);
    }
    if (more == 0) continue;
    for (std::size_t v = 0; v < kVectors; ++v) {
      const __m256i key = load(a + i + v * kLanes);
      __m256i depth = all(24);
      for (__m256i m = open(w[v]); any(m) != 0; m = open(w[v])) {
        const __m256i stride = strides(w[v]);
        w[v] = step(view, w[v], _mm256_sllv_epi32(key, depth), stride, m);
        depth = _mm256_add_epi32(depth, stride);
      }
      escapes |= put(out + i + v * kLanes, w[v], otherwise);
    }
  }
  return rest4(view, a + i, out + i, n - i, fallback) || escapes != 0;
}

namespace {

// The first 32 bits of eight addresses, and the next. Within, the lanes are in the order
// 0 2 4 6 1 3 5 7, which `settle` undoes.
template <Order kOrder>
DVR_AVX2_INLINE void load6(const char* p, __m256i* h, __m256i* l) {
  constexpr int kHigh = kOrder == Order::kHost ? 0xff : 0x00;  // dword 3, or 0
  constexpr int kLow = kOrder == Order::kHost ? 0xaa : 0x55;   // dword 2, or 1
  __m256i q[4];
  for (int k = 0; k < 4; ++k) q[k] = load(p + 32 * k);
  // Each q has two addresses, one a half: blend dwords so that each half has four.
  const __m256i h01 = _mm256_blend_epi32(_mm256_shuffle_epi32(q[0], kHigh),
                                         _mm256_shuffle_epi32(q[1], kHigh), 0x22);
  const __m256i h23 = _mm256_blend_epi32(_mm256_shuffle_epi32(q[2], kHigh),
                                         _mm256_shuffle_epi32(q[3], kHigh), 0x88);
  const __m256i l01 =
      _mm256_blend_epi32(_mm256_shuffle_epi32(q[0], kLow), _mm256_shuffle_epi32(q[1], kLow), 0x22);
  const __m256i l23 =
      _mm256_blend_epi32(_mm256_shuffle_epi32(q[2], kLow), _mm256_shuffle_epi32(q[3], kLow), 0x88);
  *h = _mm256_blend_epi32(h01, h23, 0xcc);
  *l = _mm256_blend_epi32(l01, l23, 0xcc);
  if constexpr (kOrder == Order::kNetwork) {
    const __m256i swap = _mm256_setr_epi32(0x00010203, 0x04050607, 0x08090a0b, 0x0c0d0e0f,
                                           0x00010203, 0x04050607, 0x08090a0b, 0x0c0d0e0f);
    *h = _mm256_shuffle_epi8(*h, swap);
    *l = _mm256_shuffle_epi8(*l, swap);
  }
}

DVR_AVX2_INLINE __m256i settle(__m256i w) {
  return _mm256_permutevar8x32_epi32(w, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

template <Order kOrder>
DVR_AVX2 bool lookup6_in(const View& view, const void* a, std::uint32_t* out, std::size_t n,
                         std::uint32_t fallback) {
  constexpr int kRoot = kRootBits<Prefix6>;
  const __m256i otherwise = all(fallback);
  const char* keys = static_cast<const char*>(a);
  int escapes = 0;
  std::size_t i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    __m256i w[kVectors], h[kVectors], l[kVectors];
    for (std::size_t v = 0; v < kVectors; ++v) {
      load6<kOrder>(keys + (i + v * kLanes) * 16, &h[v], &l[v]);
      w[v] = root_words(view, _mm256_srli_epi32(h[v], 32 - kRoot));
      h[v] = _mm256_or_si256(_mm256_slli_epi32(h[v], kRoot), _mm256_srli_epi32(l[v], 32 - kRoot));
      l[v] = _mm256_slli_epi32(l[v], kRoot);
    }
    int more = 1;
    while (more != 0) {
      more = 0;
      for (std::size_t v = 0; v < kVectors; ++v) {
        const __m256i m = open(w[v]);
        if (any(m) == 0) continue;
        const __m256i stride = strides(w[v]);
        w[v] = step(view, w[v], h[v], stride, m);
        h[v] = _mm256_or_si256(_mm256_sllv_epi32(h[v], stride),
                               _mm256_srlv_epi32(l[v], _mm256_sub_epi32(all(32), stride)));
        l[v] = _mm256_sllv_epi32(l[v], stride);
        more |= any(open(w[v]));
      }
    }
    int far = 0;
    for (std::size_t v = 0; v < kVectors; ++v) {
      escapes |= put(out + i + v * kLanes, settle(w[v]), otherwise);
      far |= any(w[v]);
    }
    for (std::size_t k = i; far != 0 && k < i + kBlock; ++k) {
      if ((out[k] & kNode) != 0)
        escapes |= rest6<kOrder>(view, keys + k * 16, out + k, 1, fallback);
    }
  }
  return rest6<kOrder>(view, keys + i * 16, out + i, n - i, fallback) || escapes != 0;
}

}  // namespace

bool avx2::lookup6(Order order, const View& view, const void* a, std::uint32_t* out, std::size_t n,
                   std::uint32_t fallback) {
  return order == Order::kHost ? lookup6_in<Order::kHost>(view, a, out, n, fallback)
                               : lookup6_in<Order::kNetwork>(view, a, out, n, fallback);
}

}  // namespace dvr::flat

#endif
