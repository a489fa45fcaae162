// The path of AVX-512: sixteen addresses a vector, eight vectors side by side, level by level.
//
// One gather at a time is slower than scalar code; eight that do not depend on
// each other keep the memory busy. Vectors read whole words where a slot is a
// byte, across what other slots say, and cut: each byte is one of the values it had.
#if defined(__x86_64__)

#include <immintrin.h>

#include "lib/flat_lookup.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC's own headers (PR 105593)
#endif

#define DVR_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define DVR_AVX512_INLINE DVR_AVX512 __attribute__((always_inline)) inline

namespace dvr::flat {
namespace {

constexpr std::size_t kLanes = 16;

DVR_AVX512_INLINE __m512i all(std::uint32_t v) { return _mm512_set1_epi32(static_cast<int>(v)); }

// Nodes that vectors go on with: all but kFar.
DVR_AVX512_INLINE __mmask16 open(__m512i w) {
  return _mm512_cmplt_epi32_mask(w, all(kNode | kFar << kKindShift));
}

// From the words w, at addresses whose next bits are the first of h, to the words
// behind those in `m`.
DVR_AVX512_INLINE __m512i step(const View& view, __m512i w, __m512i h, __m512i stride,
                               __mmask16 m) {
  const __m512i kind = _mm512_and_si512(_mm512_srli_epi32(w, kKindShift), all(3));
  const __m512i i = _mm512_srlv_epi32(h, _mm512_sub_epi32(all(32), stride));
  const __m512i at = _mm512_add_epi32(_mm512_slli_epi32(_mm512_and_si512(w, all(kBlockMask)), 2),
                                      _mm512_sllv_epi32(i, kind));
  const __m512i got = _mm512_mask_i32gather_epi32(w, m, at, view.nodes, 1);
  const __m512i keep = _mm512_permutexvar_epi32(
      kind, _mm512_setr_epi32(0xff, 0xffff, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
  return _mm512_mask_and_epi32(w, m, got, keep);
}

DVR_AVX512_INLINE __m512i strides(__m512i w) {
  return _mm512_and_si512(_mm512_srli_epi32(w, kStrideShift), all(15));
}

DVR_AVX512_INLINE __mmask16 put(std::uint32_t* out, __m512i w, __m512i fallback) {
  const __mmask16 none = _mm512_testn_epi32_mask(w, w);
  _mm512_storeu_si512(out, _mm512_mask_mov_epi32(w, none, fallback));
  return _mm512_cmpeq_epi32_mask(w, all(kEscape));
}

// Lanes of several vectors, moved together: those of each mask, one behind the other. What is
// done to them goes back to where they were with spread. (In registers: to memory, the
// instruction is a hundred times as slow on Zen 4.)
DVR_AVX512_INLINE std::size_t count(__mmask16 m) {
  return static_cast<std::size_t>(__builtin_popcount(m));
}
DVR_AVX512_INLINE void gather_up(std::uint32_t* to, __mmask16 m, __m512i x) {
  _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(m, x));
}
DVR_AVX512_INLINE __m512i spread(__m512i x, __mmask16 m, const std::uint32_t* from) {
  return _mm512_mask_expand_epi32(x, m, _mm512_loadu_si512(from));
}
// The lanes of vector v where `n` lanes are moved together.
DVR_AVX512_INLINE __mmask16 lanes(std::size_t n, std::size_t v) {
  const std::size_t left = n - v * kLanes;
  return static_cast<__mmask16>(left >= kLanes ? 0xffffu : (1u << left) - 1);
}

// From the words of a block's root slots to the words behind them.
template <std::size_t kVectors>
DVR_AVX512_INLINE void first4(const View& view, const std::uint32_t* a, __m512i* w) {
  constexpr int kRoot = kRootBits<Prefix4>;
  constexpr std::size_t kBlock = kLanes * kVectors;
  __mmask16 nodes[kVectors];
  std::size_t n = 0;
  for (std::size_t v = 0; v < kVectors; ++v) {
    nodes[v] = _mm512_movepi32_mask(w[v]);
    n += count(nodes[v]);
  }
  if (n > kBlock * 3 / 4) {
    for (std::size_t v = 0; v < kVectors; ++v) {
      const __m512i key = _mm512_loadu_si512(a + v * kLanes);
      w[v] = step(view, w[v], _mm512_slli_epi32(key, kRoot), strides(w[v]), nodes[v]);
    }
    return;
  }
  // Most are leaves: what is not, moved together, needs fewer gathers.
  alignas(64) std::uint32_t words[kBlock + kLanes], keys[kBlock + kLanes];
  std::size_t at = 0;
  for (std::size_t v = 0; v < kVectors; ++v) {
    gather_up(words + at, nodes[v], w[v]);
    gather_up(keys + at, nodes[v], _mm512_loadu_si512(a + v * kLanes));
    at += count(nodes[v]);
  }
  for (std::size_t v = 0; v * kLanes < n; ++v) {
    const __m512i x = _mm512_load_si512(words + v * kLanes);
    const __m512i key = _mm512_load_si512(keys + v * kLanes);
    _mm512_store_si512(words + v * kLanes,
                       step(view, x, _mm512_slli_epi32(key, kRoot), strides(x), lanes(n, v)));
  }
  at = 0;
  for (std::size_t v = 0; v < kVectors; ++v) {
    w[v] = spread(w[v], nodes[v], words + at);
    at += count(nodes[v]);
  }
}

// Whole blocks of kVectors vectors; how many addresses they were.
template <std::size_t kVectors>
DVR_AVX512_INLINE std::size_t blocks4(const View& view, const std::uint32_t* a, std::uint32_t* out,
                                      std::size_t n, __m512i otherwise, std::uint32_t* escapes) {
  constexpr int kRoot = kRootBits<Prefix4>;
  constexpr std::size_t kBlock = kLanes * kVectors;
  std::size_t i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    __m512i w[kVectors];
    for (std::size_t v = 0; v < kVectors; ++v) {
      const __m512i key = _mm512_loadu_si512(a + i + v * kLanes);
      w[v] = _mm512_i32gather_epi32(_mm512_srli_epi32(key, 32 - kRoot), view.root, 4);
    }
    first4<kVectors>(view, a + i, w);
    std::uint32_t more = 0;
    for (std::size_t v = 0; v < kVectors; ++v) {
      more |= _mm512_movepi32_mask(w[v]);
      *escapes |= put(out + i + v * kLanes, w[v], otherwise);
    }
    if (more == 0) continue;
    // Something is longer than the first node: the rest of the way, for what stands there.
    for (std::size_t v = 0; v < kVectors; ++v) {
      const __m512i key = _mm512_loadu_si512(a + i + v * kLanes);
      __m512i depth = all(24);
      for (__mmask16 m = open(w[v]); m != 0; m = open(w[v])) {
        const __m512i stride = strides(w[v]);
        w[v] = step(view, w[v], _mm512_sllv_epi32(key, depth), stride, m);
        depth = _mm512_add_epi32(depth, stride);
      }
      *escapes |= put(out + i + v * kLanes, w[v], otherwise);
    }
  }
  return i;
}

}  // namespace

DVR_AVX512 bool avx512::lookup4(const View& view, const std::uint32_t* a, std::uint32_t* out,
                                std::size_t n, std::uint32_t fallback) {
  const __m512i otherwise = all(fallback);
  std::uint32_t escapes = 0;
  std::size_t i = blocks4<8>(view, a, out, n, otherwise, &escapes);
  if (i < n) i += blocks4<4>(view, a + i, out + i, n - i, otherwise, &escapes);
  if (i < n) i += blocks4<1>(view, a + i, out + i, n - i, otherwise, &escapes);
  return rest4(view, a + i, out + i, n - i, fallback) || escapes != 0;
}

namespace {

// The first 32 bits of sixteen addresses, and the next.
template <Order kOrder>
DVR_AVX512_INLINE void load6(const void* a, __m512i* h, __m512i* l) {
  const char* p = static_cast<const char*>(a);
  const __m512i pick =
      kOrder == Order::kHost
          ? _mm512_setr_epi32(3, 7, 11, 15, 19, 23, 27, 31, 2, 6, 10, 14, 18, 22, 26, 30)
          : _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29);
  __m512i x = _mm512_permutex2var_epi32(_mm512_loadu_si512(p), pick, _mm512_loadu_si512(p + 64));
  __m512i y =
      _mm512_permutex2var_epi32(_mm512_loadu_si512(p + 128), pick, _mm512_loadu_si512(p + 192));
  if constexpr (kOrder == Order::kNetwork) {
    const __m512i swap = _mm512_set4_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203);
    x = _mm512_shuffle_epi8(x, swap);
    y = _mm512_shuffle_epi8(y, swap);
  }
  *h = _mm512_shuffle_i64x2(x, y, 0x44);
  *l = _mm512_shuffle_i64x2(x, y, 0xee);
}

// Addresses on their way: words, and the next 64 bits behind each word's depth.
struct Lanes {
  __m512i w, h, l;
};

DVR_AVX512_INLINE void advance(const View& view, Lanes* x, __mmask16 m) {
  const __m512i stride = strides(x->w);
  x->w = step(view, x->w, x->h, stride, m);
  x->h = _mm512_or_si512(_mm512_sllv_epi32(x->h, stride),
                         _mm512_srlv_epi32(x->l, _mm512_sub_epi32(all(32), stride)));
  x->l = _mm512_sllv_epi32(x->l, stride);
}

// The addresses of a block on their way. Each level holds what of the level before has not
// arrived, where that saves vectors; answers go back level by level.
template <std::size_t kVectors>
struct Levels {
  static constexpr std::size_t kBlock = kLanes * kVectors;
  static constexpr std::size_t kMost = 8;

  alignas(64) std::uint32_t words[kMost][kBlock + kLanes];
  alignas(64) std::uint32_t h[kBlock + kLanes], l[kBlock + kLanes];  // of the last level
  __mmask16 rest[kMost][kVectors];  // which lanes the next level has
  std::size_t vectors[kMost];

  static constexpr std::size_t vectors_of(std::size_t lanes) {
    return (lanes + kLanes - 1) / kLanes;
  }

  // Opens a level of the `n` open lanes of `level`.
  DVR_AVX512_INLINE void together(std::size_t level, std::size_t n) {
    std::size_t at = 0;
    for (std::size_t v = 0; v < vectors[level]; ++v) {
      const std::size_t k = v * kLanes;
      const __m512i w = _mm512_load_si512(words[level] + k);
      const __mmask16 m = rest[level][v] = open(w);
      gather_up(words[level + 1] + at, m, w);
      // What is written lies before what is still to be read.
      gather_up(h + at, m, _mm512_load_si512(h + k));
      gather_up(l + at, m, _mm512_load_si512(l + k));
      at += count(m);
    }
    _mm512_storeu_si512(words[level + 1] + n, _mm512_setzero_si512());
    vectors[level + 1] = vectors_of(n);
  }

  // One node further; how many lanes are still open.
  DVR_AVX512_INLINE std::size_t advance_all(const View& view, std::size_t level) {
    std::size_t n = 0;
    for (std::size_t v = 0; v < vectors[level]; ++v) {
      const std::size_t k = v * kLanes;
      Lanes x{_mm512_load_si512(words[level] + k), _mm512_load_si512(h + k),
              _mm512_load_si512(l + k)};
      advance(view, &x, open(x.w));
      _mm512_store_si512(words[level] + k, x.w);
      _mm512_store_si512(h + k, x.h);
      _mm512_store_si512(l + k, x.l);
      n += count(open(x.w));
    }
    return n;
  }

  DVR_AVX512_INLINE void back(std::size_t level) {
    std::size_t at = 0;
    for (std::size_t v = 0; v < vectors[level]; ++v) {
      std::uint32_t* const w = words[level] + v * kLanes;
      const __mmask16 m = rest[level][v];
      _mm512_store_si512(w, spread(_mm512_load_si512(w), m, words[level + 1] + at));
      at += count(m);
    }
  }
};

template <Order kOrder, std::size_t kVectors>
DVR_AVX512_INLINE std::size_t blocks6(const View& view, const char* keys, std::uint32_t* out,
                                      std::size_t n, std::uint32_t fallback,
                                      std::uint32_t* escapes) {
  constexpr int kRoot = kRootBits<Prefix6>;
  constexpr std::size_t kBlock = kLanes * kVectors;
  const __m512i otherwise = all(fallback);
  std::size_t i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    Levels<kVectors> x;
    x.vectors[0] = kVectors;
    std::size_t left = 0;
    for (std::size_t v = 0; v < kVectors; ++v) {
      const std::size_t k = v * kLanes;
      __m512i h, l;
      load6<kOrder>(keys + (i + k) * 16, &h, &l);
      const __m512i w = _mm512_i32gather_epi32(_mm512_srli_epi32(h, 32 - kRoot), view.root, 4);
      _mm512_store_si512(x.words[0] + k, w);
      _mm512_store_si512(
          x.h + k, _mm512_or_si512(_mm512_slli_epi32(h, kRoot), _mm512_srli_epi32(l, 32 - kRoot)));
      _mm512_store_si512(x.l + k, _mm512_slli_epi32(l, kRoot));
      left += count(open(w));
    }
    std::size_t level = 0;
    while (left > 0) {
      if (level + 1 < x.kMost && x.vectors_of(left) * 4 <= x.vectors[level] * 3) {
        x.together(level++, left);
      }
      left = x.advance_all(view, level);
    }
    while (level > 0) x.back(--level);
    for (std::size_t v = 0; v < kVectors; ++v) {
      const __m512i w = _mm512_load_si512(x.words[0] + v * kLanes);
      *escapes |= put(out + i + v * kLanes, w, otherwise);
      // Behind 64 bits.
      for (std::uint32_t far = _mm512_movepi32_mask(w); far != 0; far &= far - 1) {
        const std::size_t at = i + v * kLanes + static_cast<std::size_t>(__builtin_ctz(far));
        *escapes |= rest6<kOrder>(view, keys + at * 16, out + at, 1, fallback);
      }
    }
  }
  return i;
}

template <Order kOrder>
DVR_AVX512 bool lookup6_in(const View& view, const void* a, std::uint32_t* out, std::size_t n,
                           std::uint32_t fallback) {
  const char* keys = static_cast<const char*>(a);
  std::uint32_t escapes = 0;
  std::size_t i = blocks6<kOrder, 8>(view, keys, out, n, fallback, &escapes);
  if (i < n) i += blocks6<kOrder, 4>(view, keys + i * 16, out + i, n - i, fallback, &escapes);
  if (i < n) i += blocks6<kOrder, 1>(view, keys + i * 16, out + i, n - i, fallback, &escapes);
  return rest6<kOrder>(view, keys + i * 16, out + i, n - i, fallback) || escapes != 0;
}

}  // namespace

bool avx512::lookup6(Order order, const View& view, const void* a, std::uint32_t* out,
                     std::size_t n, std::uint32_t fallback) {
  return order == Order::kHost ? lookup6_in<Order::kHost>(view, a, out, n, fallback)
                               : lookup6_in<Order::kNetwork>(view, a, out, n, fallback);
}

}  // namespace dvr::flat

#endif
