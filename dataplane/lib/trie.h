// A multibit trie with path skipping, for both families.
//
// Words. Every place in the structure is one atomic 32-bit word: a value (the
// id and length of the prefix that covers the place, 0: none), or a pointer to
// a node or to a skip. Values are pushed down to the leaves, so a lookup ends
// at the first value it meets.
//
//   root   2^20 words by the first 20 bits. For IPv4 nearly every lookup ends
//          there or one node (one cache line) further.
//   node   2, 4, 8 or 16 words: one for each value of the next 1 to 4 bits.
//   skip   {length, fallback, target, path}: addresses that share the first
//          `length` bits of `path` go on at target, all others end with
//          fallback, a value. A lone long prefix costs one skip (16 or 32
//          bytes) however long it is, so memory is O(prefixes) for any input.
//   short  prefixes below /12 are kept apart by the first 12 bits and asked
//          only when the trie has nothing: a default route costs 4,096 stores.
//
// A value knows its length, which makes updates local: setting a prefix paints
// the places below it whose value is not longer, erasing paints those whose
// value has exactly its length. Each store is atomic; restructuring builds the
// new part first and publishes it with one release store that changes no
// answer. What is unlinked is retired to the epoch.
//
// Two neighbouring prefixes with one id and one length have equal values, so
// a node of equal words folds into one value although several prefixes made
// it; a place may therefore hold a value longer than the place's own depth.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "lib/arena.h"
#include "lib/bytes.h"
#include "lib/epoch.h"
#include "lib/hit.h"
#include "lib/pages.h"

namespace dvr {

template <class P>
class Trie {
 public:
  using PrefixType = P;
  using Address = typename P::Address;

  static constexpr int kShortBits = 12;

  // `epoch` must outlive the engine. Throws std::bad_alloc.
  Trie(Epoch* epoch, std::size_t limit)
      : epoch_(epoch),
        arena_(std::min(limit, kMaxArena)),
        root_(std::size_t{1} << kRootBits),
        short_(std::size_t{1} << kShortBits) {}
  ~Trie() { epoch_->drain(); }
  Trie(const Trie&) = delete;
  Trie& operator=(const Trie&) = delete;

  bool set(const P& p, std::uint32_t id) { return apply({p, value(p.length, id), false}); }

  bool erase(const P& p, Hit cover) {
    std::uint32_t to = 0;
    // What is below kShortBits is found by the fallthrough to short_.
    if (cover && (cover.length >= kShortBits || p.length < kShortBits)) {
      to = value(cover.length, cover.id);
    }
    return apply({p, to, true});
  }

  [[nodiscard]] Hit lookup(Address a) const {
    return hit(resolve(a, root_[bits_of(a, 0, kRootBits)].load(std::memory_order_acquire)), a);
  }

  // Asks for what an update of p meets first, then, when that is there, next.
  void expect(const P& p) const { __builtin_prefetch(&root_[bits_of(p.address, 0, kRootBits)]); }
  void expect_node(const P& p) const {
    const std::uint32_t w = load(root_[bits_of(p.address, 0, kRootBits)]);
    if (is_pointer(w)) __builtin_prefetch(block(w));
  }

  // Tells f(start, id) of every run of addresses of one answer within the place of the first
  // `depth` bits of `at`, in order, the first at the place's start; `rest` where nothing of
  // kShortBits or more covers it. Writer only; kShortBits <= depth. Cost: of what is in the
  // place.
  template <class F>
  void runs(Address at, int depth, std::uint32_t rest, F f) const {
    std::uint32_t last = kNoRun;
    const auto emit = [&](Address start, std::uint32_t v) {
      const std::uint32_t id = v == 0 ? rest : v & kMaxId;
      if (id != last) f(start, id);
      last = id;
    };
    const std::size_t first = bits_of(at, 0, kRootBits);
    if (depth < kRootBits) {
      for (std::size_t i = 0; i < std::size_t{1} << (kRootBits - depth); ++i) {
        const Address start = static_cast<Address>(first + i) << (kWidth - kRootBits);
        walk(load(root_[first + i]), kRootBits, start, emit);
      }
      return;
    }
    std::uint32_t w = load(root_[first]);
    for (int d = kRootBits; d < depth && is_pointer(w);) {
      const Word* b = block(w);
      if (is_skip(w)) {
        const auto length = static_cast<int>(load(b[kLengthAt]));
        const int common = std::min(length, depth);
        if ((at ^ path_of(b)) >> (kWidth - common) != 0) {
          w = load(b[kFallbackAt]);
        } else if (length > depth) {
          break;  // the place has the skip in it
        } else {
          w = load(b[kTargetAt]);
        }
        d = length;
      } else {
        const int below = d + stride_of(w);
        if (below > depth) {
          const std::size_t from = bits_of(at, d, stride_of(w));
          for (std::size_t i = 0; i < std::size_t{1} << (below - depth); ++i) {
            walk(load(b[from + i]), below, at + (static_cast<Address>(i) << (kWidth - below)),
                 emit);
          }
          return;
        }
        w = load(b[bits_of(at, d, stride_of(w))]);
        d = below;
      }
    }
    walk(w, depth, at, emit);
  }

  // What covers `at` of the prefixes below kShortBits, an empty Hit: none. Any thread.
  [[nodiscard]] Hit short_hit(Address at) const {
    const std::uint32_t v = short_[bits_of(at, 0, kShortBits)].load(std::memory_order_acquire);
    return {v & kMaxId, static_cast<std::uint8_t>(length_of(v))};
  }
  // Calls f with each of them that others do not hide, perhaps more than once.
  template <class F>
  void shorts(F f) const {
    std::uint32_t last = 0;
    for (std::size_t i = 0; i < std::size_t{1} << kShortBits; ++i) {
      const std::uint32_t v = load(short_[i]);
      if (v != 0 && v != last) f(Hit{v & kMaxId, static_cast<std::uint8_t>(length_of(v))});
      last = v;
    }
  }

  // Whether one answer holds for the whole place of the first `depth` bits of `at`, as
  // far as the root says, and which, as runs tells it; kShortBits <= depth <= kRootBits.
  [[nodiscard]] bool plain(Address at, int depth, std::uint32_t rest, std::uint32_t* id) const {
    const std::size_t first = bits_of(at, 0, kRootBits);
    const std::uint32_t w = load(root_[first]);
    if (is_pointer(w)) return false;
    for (std::size_t i = 1; i < std::size_t{1} << (kRootBits - depth); ++i) {
      if (load(root_[first + i]) != w) return false;
    }
    *id = w == 0 ? rest : w & kMaxId;
    return true;
  }

  [[nodiscard]] std::size_t bytes() const {
    return arena_.bytes() + (sizeof(Word) << kRootBits) + (sizeof(Word) << kShortBits);
  }

  // Of what save writes; an engine of another layout is filled from the table.
  static constexpr std::uint32_t kLayout = 1;

  // A copy, for a restart.
  void save(std::string* out) const {
    save_words(root_, std::size_t{1} << kRootBits, out);
    save_words(short_, std::size_t{1} << kShortBits, out);
    arena_.save(out);
  }

  // Takes it into an empty engine, before there are readers. Every word is looked at:
  // what is restored is a trie whose values known(id) admits, whatever the bytes.
  // False: they are none; the engine must then not be used.
  template <class F>
  [[nodiscard]] bool restore(ByteReader* in, F known) {
    if (!restore_words(root_, std::size_t{1} << kRootBits, in) ||
        !restore_words(short_, std::size_t{1} << kShortBits, in) || !arena_.restore(in)) {
      return false;
    }
    for (std::size_t i = 0; i < std::size_t{1} << kRootBits; ++i) {
      const std::uint32_t w = load(root_[i]);
      const Address in_place = static_cast<Address>(i) << (kWidth - kRootBits);
      if (w != 0 && !sound(w, kRootBits, in_place, known)) return false;
    }
    for (std::size_t i = 0; i < std::size_t{1} << kShortBits; ++i) {
      const std::uint32_t w = load(short_[i]);
      if (is_pointer(w) || !sound(w, kShortBits, 0, known)) return false;
    }
    arena_.free_unclaimed();
    return true;
  }

 private:
  using Word = WordArena::Word;

  static constexpr int kWidth = P::kWidth;
  static constexpr int kRootBits = 20;
  static constexpr int kStride = 4;
  static constexpr std::size_t kMaxArena = std::size_t{2} << 30;  // what 28 bits of handle reach

  static constexpr std::uint32_t kPointer = 1u << 31;
  static constexpr std::uint32_t kSkip = 1u << 30;
  static constexpr std::uint32_t kHandle = (1u << 28) - 1;
  static constexpr int kStrideShift = 28;  // stride - 1, of a node pointer

  // Words of a skip.
  static constexpr std::size_t kLengthAt = 0, kFallbackAt = 1, kTargetAt = 2, kPathAt = 3;
  static constexpr std::size_t kPathWords = kWidth / 32;
  static constexpr int kSkipBits = kWidth == 32 ? 2 : 3;
  static_assert(kPathAt + kPathWords <= (std::size_t{1} << kSkipBits));

  // Zeroed words. Pages become resident when they are touched: most of an IPv6 root never
  // is, while all of an IPv4 root is met at random.
  class Words {
   public:
    explicit Words(std::size_t n)
        : pages_(n * sizeof(Word), kWidth == 32 && n * sizeof(Word) >= kHugePage
                                       ? Pages::Huge::kAsk
                                       : Pages::Huge::kNo) {}
    Word& operator[](std::size_t i) const { return static_cast<Word*>(pages_.data())[i]; }

   private:
    Pages pages_;
  };

  // Paint `to` over the region of `prefix` where `exact` matches.
  struct Job {
    P prefix;
    std::uint32_t to;
    bool erase;

    [[nodiscard]] bool takes(std::uint32_t v) const {
      return erase ? v != 0 && length_of(v) == prefix.length : length_of(v) <= prefix.length;
    }
  };

  static constexpr std::uint32_t value(unsigned length, std::uint32_t id) {
    return length << 23 | id;
  }
  static constexpr std::uint32_t length_of(std::uint32_t v) { return v >> 23; }
  static constexpr bool is_pointer(std::uint32_t w) { return (w & kPointer) != 0; }
  static constexpr bool is_skip(std::uint32_t w) {
    return (w & (kPointer | kSkip)) == (kPointer | kSkip);
  }
  static constexpr int stride_of(std::uint32_t w) {
    return static_cast<int>(w >> kStrideShift & 3u) + 1;
  }
  // `count` bits of a from bit `at` on; at < kWidth, count >= 1.
  static constexpr std::size_t bits_of(Address a, int at, int count) {
    return static_cast<std::size_t>(static_cast<Address>(a << at) >> (kWidth - count));
  }
  static std::uint32_t load(const Word& w) { return w.load(std::memory_order_relaxed); }

  Word* block(std::uint32_t w) const { return arena_.at(w & kHandle); }

  static Address path_of(const Word* skip) {
    Address a = 0;
    if constexpr (kWidth == 32) {
      a = load(skip[kPathAt]);
    } else {
      for (std::size_t i = 0; i < kPathWords; ++i) a = a << 32 | load(skip[kPathAt + i]);
    }
    return a;
  }

  // Most words of a root are zero: runs of them are left out, and never touched.
  static constexpr std::size_t kRun = 64;

  static void save_words(const Words& words, std::size_t n, std::string* out) {
    const std::size_t at = out->size();
    out->resize(at + n / kRun / 8);
    for (std::size_t run = 0; run < n / kRun; ++run) {
      const Word* const first = &words[run * kRun];
      if (std::all_of(first, first + kRun, [](const Word& w) { return load(w) == 0; })) continue;
      char& byte = (*out)[at + run / 8];
      byte = static_cast<char>(byte | 1 << (run % 8));
      ByteWriter(out).words(kRun, [first](std::size_t i) { return load(first[i]); });
    }
  }

  static bool restore_words(Words& words, std::size_t n, ByteReader* in) {
    const std::string_view bitmap = in->raw(n / kRun / 8);
    for (std::size_t run = 0; run < n / kRun && in->ok(); ++run) {
      if ((static_cast<unsigned char>(bitmap[run / 8]) >> (run % 8) & 1u) == 0) continue;
      const std::string_view bytes = in->words(kRun);
      for (std::size_t i = 0; i < kRun && in->ok(); ++i) {
        words[run * kRun + i].store(word_at(bytes, i), std::memory_order_relaxed);
      }
    }
    return in->ok();
  }

  // Claims the blocks behind w, a word at `depth` of the place where addresses begin
  // with `at`; false when they do not make a trie.
  template <class F>
  bool sound(std::uint32_t w, int depth, Address at, F known) {
    if (!is_pointer(w)) return w == 0 || (length_of(w) <= kWidth && known(w & kMaxId));
    if (depth >= kWidth) return false;
    if (is_skip(w)) {
      if (!arena_.claim(w & kHandle, kSkipBits)) return false;
      const Word* s = block(w);
      const std::uint32_t length = load(s[kLengthAt]);
      const std::uint32_t fallback = load(s[kFallbackAt]);
      const Address path = path_of(s);
      return length > static_cast<std::uint32_t>(depth) && length <= kWidth &&
             (path ^ at) >> (kWidth - depth) == 0 &&
             (path & ~mask_of<Address>(static_cast<int>(length))) == 0 && !is_pointer(fallback) &&
             sound(fallback, depth, at, known) &&
             sound(load(s[kTargetAt]), static_cast<int>(length),
                   path & mask_of<Address>(static_cast<int>(length)), known);
    }
    const int stride = stride_of(w);
    const int below = depth + stride;
    if (below > kWidth || !arena_.claim(w & kHandle, stride)) return false;
    for (std::size_t i = 0; i < std::size_t{1} << stride; ++i) {
      const Address in_place = at | static_cast<Address>(i) << (kWidth - below);
      if (!sound(load(block(w)[i]), below, in_place, known)) return false;
    }
    return true;
  }

  static constexpr std::uint32_t kNoRun = ~std::uint32_t{0};

  // Every value below word w, which holds for the place (at, depth), in order.
  template <class Emit>
  void walk(std::uint32_t w, int depth, Address at, Emit& emit) const {
    if (!is_pointer(w)) {
      emit(at, w);
      return;
    }
    const Word* b = block(w);
    if (is_skip(w)) {
      const auto length = static_cast<int>(load(b[kLengthAt]));
      const std::uint32_t fallback = load(b[kFallbackAt]);
      const Address start = path_of(b) & mask_of<Address>(length);
      const Address last = start | static_cast<Address>(~mask_of<Address>(length));
      if (start != at) emit(at, fallback);
      walk(load(b[kTargetAt]), length, start, emit);
      if (last != (at | static_cast<Address>(~mask_of<Address>(depth)))) emit(last + 1, fallback);
      return;
    }
    const int below = depth + stride_of(w);
    for (std::size_t i = 0; i < std::size_t{1} << stride_of(w); ++i) {
      walk(load(b[i]), below, at | static_cast<Address>(i) << (kWidth - below), emit);
    }
  }

  // From pointer w at `depth` to the word behind it.
  std::uint32_t follow(Address a, std::uint32_t w, int* depth) const {
    const Word* b = block(w);
    if ((w & kSkip) == 0) {
      const int stride = stride_of(w);
      w = b[bits_of(a, *depth, stride)].load(std::memory_order_acquire);
      *depth += stride;
    } else {
      const auto length = static_cast<int>(load(b[kLengthAt]));
      const bool on_path = (a ^ path_of(b)) >> (kWidth - length) == 0;
      w = b[on_path ? kTargetAt : kFallbackAt].load(std::memory_order_acquire);
      *depth = length;
    }
    return w;
  }

  std::uint32_t resolve(Address a, std::uint32_t w) const {
    int depth = kRootBits;
    while (is_pointer(w)) w = follow(a, w, &depth);
    return w;
  }

  Hit hit(std::uint32_t v, Address a) const {
    if (v == 0) v = short_[bits_of(a, 0, kShortBits)].load(std::memory_order_acquire);
    // A short prefix that longer ones replace goes after they came: who saw
    // neither was overtaken, and finds them now.
    if (v == 0) v = resolve(a, root_[bits_of(a, 0, kRootBits)].load(std::memory_order_acquire));
    return {v & kMaxId, static_cast<std::uint8_t>(length_of(v))};
  }

  bool apply(const Job& job) {
    const P& p = job.prefix;
    const int table_bits = p.length < kShortBits ? kShortBits : kRootBits;
    const Words& table = p.length < kShortBits ? short_ : root_;
    const std::size_t first = bits_of(p.address, 0, table_bits);
    if (p.length > kRootBits) return update(table[first], kRootBits, job);
    const std::size_t count = std::size_t{1} << (table_bits - p.length);
    for (std::size_t i = first; i < first + count; ++i) paint(table[i], job);
    return true;
  }

  // The whole place lies within the prefix.
  void paint(Word& place, const Job& job) {
    const std::uint32_t w = load(place);
    if (!is_pointer(w)) {
      if (w != job.to && job.takes(w)) place.store(job.to, std::memory_order_release);
    } else if (is_skip(w)) {
      paint(block(w)[kFallbackAt], job);
      paint(block(w)[kTargetAt], job);
    } else {
      const std::size_t n = std::size_t{1} << stride_of(w);
      for (std::size_t i = 0; i < n; ++i) paint(block(w)[i], job);
    }
  }

  // The place, at `depth`, contains the prefix. False: no memory, and no answer changed.
  bool update(Word& place, int depth, const Job& job) {
    const P& p = job.prefix;
    if (p.length <= depth) {
      paint(place, job);
      return true;
    }
    const std::uint32_t w = load(place);
    if (!is_pointer(w)) return split_value(place, w, depth, job);
    if (is_skip(w)) return update_skip(place, w, depth, job);

    const int below = depth + stride_of(w);
    const std::size_t first = bits_of(p.address, depth, stride_of(w));
    bool done = true;
    if (p.length < below) {
      const std::size_t count = std::size_t{1} << (below - p.length);
      for (std::size_t i = first; i < first + count; ++i) paint(block(w)[i], job);
    } else {
      done = update(block(w)[first], below, job);
    }
    fold_node(place, w, depth, p.address);
    return done;
  }

  bool split_value(Word& place, std::uint32_t v, int depth, const Job& job) {
    if (v == job.to || !job.takes(v)) return true;
    const P& p = job.prefix;
    if (p.length - depth > kStride) {
      const std::uint32_t skip = new_skip(p.address, p.length, v, job.to);
      if (skip == 0) return false;
      place.store(skip, std::memory_order_release);
      return true;
    }
    const int stride = std::min(kStride, kWidth - depth);
    const std::uint32_t node = new_node(stride, v);
    if (node == 0) return false;
    fill(node, depth, p.address, p.length, job.to);
    place.store(node, std::memory_order_release);
    return true;
  }

  bool update_skip(Word& place, std::uint32_t w, int depth, const Job& job) {
    const P& p = job.prefix;
    Word* skip = block(w);
    const auto length = static_cast<int>(load(skip[kLengthAt]));
    const int common = std::min({leading_zeros(static_cast<Address>(p.address ^ path_of(skip))),
                                 static_cast<int>(p.length), length});
    if (common == length) {
      const bool done = update(skip[kTargetAt], length, job);
      fold_skip(place, w);
      return done;
    }
    if (!job.takes(load(skip[kFallbackAt]))) {
      if (common == p.length) {
        paint(skip[kTargetAt], job);
        fold_skip(place, w);
      }
      return true;
    }
    // The prefix covers the skip, or parts from its path: make a place for it, then go on there.
    const bool made = common == p.length && p.length - depth >= kStride
                          ? wrap(place, w, p)
                          : branch(place, w, depth, common);
    return made && update(place, depth, job);
  }

  // Puts a skip to p around skip w; p covers w's path.
  bool wrap(Word& place, std::uint32_t w, const P& p) {
    const std::uint32_t outer = new_skip(p.address, p.length, load(block(w)[kFallbackAt]), w);
    if (outer == 0) return false;
    place.store(outer, std::memory_order_release);
    return true;
  }

  // Replaces skip w by a node on its path at or a little before bit `common`.
  bool branch(Word& place, std::uint32_t w, int depth, int common) {
    const Word* skip = block(w);
    const auto length = static_cast<int>(load(skip[kLengthAt]));
    const std::uint32_t target = load(skip[kTargetAt]);
    const std::uint32_t fallback = load(skip[kFallbackAt]);
    const Address path = path_of(skip);
    const int at = depth + (common - depth) / kStride * kStride;
    // A subtree below the skip cannot be cut in parts: the node's words must not be longer.
    const int stride = std::min(kStride, (is_pointer(target) ? length : kWidth) - at);

    const std::uint32_t node = new_node(stride, fallback);
    if (node == 0) return false;
    std::uint32_t top = node;
    if (at > depth) {
      top = new_skip(path & mask_of<Address>(at), at, fallback, node);
      if (top == 0) {
        arena_.release(node & kHandle, stride);
        return false;
      }
    }
    const bool keep = length > at + stride;
    fill(node, at, path, keep ? at + stride : length, keep ? w : target);
    place.store(top, std::memory_order_release);
    if (!keep) retire(w, kSkipBits);
    return true;
  }

  // Stores `to` in the words of an unpublished node at `depth` that path/length covers.
  void fill(std::uint32_t node, int depth, Address path, int length, std::uint32_t to) {
    const int stride = stride_of(node);
    const std::size_t first = bits_of(path, depth, stride);
    const std::size_t count = std::size_t{1} << (depth + stride - length);
    for (std::size_t i = first; i < first + count; ++i) {
      block(node)[i].store(to, std::memory_order_relaxed);
    }
  }

  // Takes out a node whose words are equal, or all but one that points on.
  void fold_node(Word& place, std::uint32_t w, int depth, Address in) {
    const int stride = stride_of(w);
    const std::size_t n = std::size_t{1} << stride;
    const Word* node = block(w);
    std::size_t pointers = 0, pointer_at = 0, values = 0;
    std::uint32_t v = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint32_t word = load(node[i]);
      if (is_pointer(word)) {
        if (++pointers > 1) return;
        pointer_at = i;
      } else {
        if (values++ > 0 && word != v) return;
        v = word;
      }
    }
    std::uint32_t to = v;
    if (pointers == 1) {
      to = load(node[pointer_at]);
      if (!is_skip(to) || load(block(to)[kFallbackAt]) != v) {
        const int below = depth + stride;
        const Address path = (in & mask_of<Address>(depth)) | static_cast<Address>(pointer_at)
                                                                  << (kWidth - below);
        to = new_skip(path, below, v, to);
        if (to == 0) return;
      }
    }
    place.store(to, std::memory_order_release);
    retire(w, stride);
  }

  // Takes out a skip that makes no difference.
  void fold_skip(Word& place, std::uint32_t w) {
    const std::uint32_t target = load(block(w)[kTargetAt]);
    const std::uint32_t fallback = load(block(w)[kFallbackAt]);
    const bool same =
        is_skip(target) ? load(block(target)[kFallbackAt]) == fallback : target == fallback;
    if (!same) return;
    place.store(target, std::memory_order_release);
    retire(w, kSkipBits);
  }

  std::uint32_t new_node(int stride, std::uint32_t v) {
    const std::uint32_t handle = arena_.allocate(stride);
    if (handle == 0) return 0;
    const std::size_t n = std::size_t{1} << stride;
    for (std::size_t i = 0; i < n; ++i) arena_.at(handle)[i].store(v, std::memory_order_relaxed);
    return kPointer | static_cast<std::uint32_t>(stride - 1) << kStrideShift | handle;
  }

  std::uint32_t new_skip(Address path, int length, std::uint32_t fallback, std::uint32_t target) {
    const std::uint32_t handle = arena_.allocate(kSkipBits);
    if (handle == 0) return 0;
    Word* s = arena_.at(handle);
    s[kLengthAt].store(static_cast<std::uint32_t>(length), std::memory_order_relaxed);
    s[kFallbackAt].store(fallback, std::memory_order_relaxed);
    s[kTargetAt].store(target, std::memory_order_relaxed);
    for (std::size_t i = 0; i < kPathWords; ++i) {
      s[kPathAt + i].store(
          static_cast<std::uint32_t>(path >> (kWidth - 32 - 32 * static_cast<int>(i))),
          std::memory_order_relaxed);
    }
    return kPointer | kSkip | handle;
  }

  void retire(std::uint32_t w, int bits) {
    epoch_->retire(
        [](void* self, std::uint64_t block) {
          static_cast<Trie*>(self)->arena_.release(static_cast<std::uint32_t>(block),
                                                   static_cast<int>(block >> 32));
        },
        this, static_cast<std::uint64_t>(bits) << 32 | (w & kHandle));
  }

  Epoch* epoch_;
  WordArena arena_;
  Words root_;
  Words short_;
};

}  // namespace dvr
