// The form of a flat table, and the lookup of one address in it.
//
// Words. A place is one 32-bit word: a leaf, which is the id of the answer, or
// a node: 2^stride slots for the next `stride` bits of the address. The slots
// are bytes or halves, which are ids, or words again. So a node takes what its
// content needs: ids of a byte where all are small, wider ones beside them.
//
//   leaf  0 | id, 0: the default route's, kEscape: ask the trie
//   node  1 | kind 2 | stride 4, 1..15 | block 25, in units of 4 bytes
//
// The root has 2^18 words for IPv4 and 2^20 for IPv6. A leaf of 0 means that
// nothing but the default route covers the place; its id is apart, in the view,
// so that it comes and goes with one store.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lib/prefix.h"

namespace dvr {

namespace flat {

inline constexpr std::uint32_t kNode = 1u << 31;
inline constexpr int kKindShift = 29;
inline constexpr int kStrideShift = 25;
inline constexpr std::uint32_t kBlockMask = (1u << kStrideShift) - 1;
inline constexpr std::uint32_t kEscape = 0x7fffffff;  // no id has it
inline constexpr int kMaxStride = 15;

// Kinds of nodes: what a slot is.
inline constexpr std::uint32_t kBytes = 0;
inline constexpr std::uint32_t kHalves = 1;
inline constexpr std::uint32_t kWords = 2;
// The one word in the block is the place at bit 64: vector code, which holds
// the first 64 bits only, stops here. Its stride counts no bits.
inline constexpr std::uint32_t kFar = 3;

inline constexpr std::size_t kMaxArena = (std::size_t{kBlockMask} + 1) * 4;

template <class P>
inline constexpr int kRootBits = P::kWidth == 32 ? 18 : 20;

constexpr std::uint32_t kind_of(std::uint32_t w) { return w >> kKindShift & 3; }
constexpr int stride_of(std::uint32_t w) { return static_cast<int>(w >> kStrideShift & 15); }
constexpr std::size_t offset_of(std::uint32_t w) { return std::size_t{w & kBlockMask} * 4; }
constexpr std::uint32_t node_word(std::uint32_t kind, int stride, std::uint32_t block) {
  return kNode | kind << kKindShift | static_cast<std::uint32_t>(stride) << kStrideShift | block;
}

// One slot. Slots are atomics for the readers, whatever their width.
inline std::uint32_t load_slot(const std::uint8_t* block, std::uint32_t kind, std::size_t i) {
  switch (kind) {
    case kBytes:
      return __atomic_load_n(block + i, __ATOMIC_ACQUIRE);
    case kHalves:
      return __atomic_load_n(reinterpret_cast<const std::uint16_t*>(block) + i, __ATOMIC_ACQUIRE);
    default:
      return __atomic_load_n(reinterpret_cast<const std::uint32_t*>(block) + i, __ATOMIC_ACQUIRE);
  }
}
inline void store_slot(std::uint8_t* block, std::uint32_t kind, std::size_t i, std::uint32_t v) {
  switch (kind) {
    case kBytes:
      return __atomic_store_n(block + i, static_cast<std::uint8_t>(v), __ATOMIC_RELEASE);
    case kHalves:
      return __atomic_store_n(reinterpret_cast<std::uint16_t*>(block) + i,
                              static_cast<std::uint16_t>(v), __ATOMIC_RELEASE);
    default:
      return __atomic_store_n(reinterpret_cast<std::uint32_t*>(block) + i, v, __ATOMIC_RELEASE);
  }
}

// What readers go by.
struct View {
  const std::uint32_t* root = nullptr;
  const std::uint8_t* nodes = nullptr;
};

#if defined(__SANITIZE_THREAD__)
#define DVR_FLAT_EXACT 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define DVR_FLAT_EXACT 1
#endif
#endif

// A slot without a branch on its kind: four bytes from where it begins, cut.
inline std::uint32_t load_any(const std::uint8_t* block, std::uint32_t kind, std::size_t i) {
#if defined(DVR_FLAT_EXACT)
  return load_slot(block, kind, i);
#else
  // The bytes behind the slot may be another's, and change at any time; they are cut off.
  std::uint32_t v;
  std::memcpy(&v, block + (i << kind), sizeof v);
  return v & (~std::uint32_t{0} >> (32 - (8u << (kind & 3u))));
#endif
}

// The leaf that `a` ends at, from word w at `depth`.
template <class A>
inline std::uint32_t descend(const View& view, A a, std::uint32_t w, int depth) {
  constexpr int kWidth = static_cast<int>(sizeof(A) * 8);
  while ((w & kNode) != 0) {
    const std::uint8_t* block = view.nodes + offset_of(w);
    const std::uint32_t kind = kind_of(w);
    if (kind == kFar) {
      w = load_slot(block, kWords, 0);
      continue;
    }
    const int stride = stride_of(w);
    const auto i = static_cast<std::size_t>(static_cast<A>(a << depth) >> (kWidth - stride));
    w = load_any(block, kind, i);
    depth += stride;
  }
  return w;
}

template <class A>
inline std::uint32_t leaf_of(const View& view, A a) {
  constexpr int kWidth = static_cast<int>(sizeof(A) * 8);
  constexpr int kRoot = kRootBits<BasicPrefix<A>>;
  const std::uint32_t* const root = view.root + static_cast<std::size_t>(a >> (kWidth - kRoot));
  const std::uint32_t w = __atomic_load_n(root, __ATOMIC_ACQUIRE);
#if !defined(DVR_FLAT_EXACT)
  if constexpr (kWidth == 32) {
    // Leaf or node is a coin's toss for the branch predictor: a leaf is read again
    // instead, and every address takes the same two loads.
    const std::uint32_t is_node = 0u - (w >> 31);
    const std::uint32_t kind = kind_of(w) & is_node;
    const int stride = stride_of(w);
    const std::size_t slot = static_cast<std::size_t>(a << kRoot >> ((32 - stride) & 31)) << kind;
    const auto leaf = reinterpret_cast<std::uintptr_t>(root);
    const auto node = reinterpret_cast<std::uintptr_t>(view.nodes + offset_of(w) + slot);
    const std::uintptr_t pick = 0 - static_cast<std::uintptr_t>(w >> 31);
    std::uint32_t v;
    std::memcpy(&v, reinterpret_cast<const void*>(leaf ^ ((leaf ^ node) & pick)), sizeof v);
    v &= (~std::uint32_t{0} >> (32 - (8u << kind))) | ~is_node;
    if ((v & kNode) == 0) return v;
    return descend(view, a, v, kRoot + (stride & static_cast<int>(is_node)));
  }
#endif
  return descend(view, a, w, kRoot);
}

}  // namespace flat
}  // namespace dvr
