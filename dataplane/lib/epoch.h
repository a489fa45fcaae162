// Epoch-based reclamation: writers that unlink, any number of readers that never wait.
//
// A reader holds a Guard while it follows pointers into a shared structure. The
// writer unlinks first and retires after; what was retired is released once
// every Guard that could have seen it has ended. Readers never wait for the writer.
//
// Readers. A thread registers itself on its first Guard; its record is found by
// thread-local storage, is given to another thread after it has ended, and
// says since which epoch it reads. A Guard costs two plain stores.
//
// Why it is right: a Guard stores the epoch it read, then reads pointers. The
// writer raises the epoch, stamps what it has retired with the one before, then puts a
// barrier into every thread (membarrier) and visits every record. Either the visit sees
// the record's epoch and keeps what the Guard may hold (stamp >= its epoch), or
// the store came after the barrier, and so did the reading of pointers: it sees everything
// unlinked before. Where the kernel has no membarrier, and under ThreadSanitizer, which
// cannot see it, both sides use read-modify-writes of the record instead: then either the visit
// sees the claim, or the claim reads from the visit and sees what came before it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>

namespace dvr {

class Epoch {
  // A thread that reads, or one that has ended and whose record is free.
  struct alignas(64) Reader {
    std::atomic<std::uint64_t> since{0};  // the epoch of its outermost guard; 0: none
    std::uint32_t depth = 0;              // its own
    std::atomic<bool> taken{true};
    Reader* next = nullptr;
  };

 public:
  // Guard: any thread; nests: what the outermost could see is held until the last one
  // ends, in whatever order they end. Not for holding across blocking calls: nothing is given
  // back while one lives, of no Epoch of the process.
  class Guard {
   public:
    explicit Guard(const Epoch& /*epoch*/) : reader_(enter()) {}
    ~Guard() {
      if (--reader_->depth == 0) reader_->since.store(0, std::memory_order_release);
    }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    Reader* reader_;
  };

  using Release = void (*)(void* context, std::uint64_t argument);

  Epoch() = default;
  ~Epoch() { drain(); }
  Epoch(const Epoch&) = delete;
  Epoch& operator=(const Epoch&) = delete;

  // One writer. Calls release(context, argument) when no reader can hold it; never where there
  // is no memory to remember it: who unlinked it cannot link it again, so that is a leak at most.
  void retire(Release release, void* context, std::uint64_t argument) noexcept;
  // Releases what can be; called by retire itself now and then.
  void reclaim();
  // Releases everything; no guard may be left. What retires calls it before it goes away.
  void drain();
  [[nodiscard]] std::size_t retired() const { return retired_.size(); }

 private:
  struct Item {
    std::uint64_t stamp;
    Release release;
    void* context;
    std::uint64_t argument;
  };

  // Of all Epochs of the process: the number, the readers, and this thread's.
  static std::atomic<std::uint64_t> now_;
  static std::atomic<Reader*> readers_;
  static const bool barriers_;  // the kernel puts them into other threads
#if defined(__x86_64__) && defined(__linux__)
  [[gnu::tls_model("initial-exec")]]
#endif
  static thread_local Reader* mine_;

  struct Registration;
  static Reader* register_reader();
  static Reader* enter() {
    Reader* const r = mine_ != nullptr ? mine_ : register_reader();
    if (r->depth++ > 0) return r;
    const std::uint64_t now = now_.load(std::memory_order_acquire);
    if (barriers_) {
      r->since.store(now, std::memory_order_relaxed);
      std::atomic_signal_fence(std::memory_order_seq_cst);
    } else {
      r->since.exchange(now, std::memory_order_acq_rel);
    }
    return r;
  }
  // The oldest epoch that a reader may still read in.
  static std::uint64_t oldest();

  std::deque<Item> retired_;
  std::size_t since_ = 0;
};

}  // namespace dvr
