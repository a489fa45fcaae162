// Epoch-based reclamation: one writer, many readers.
//
// A reader holds a Guard while it follows pointers into a shared structure. The
// writer unlinks first and retires after; what was retired is released once
// every Guard that could have seen it has ended. Readers never wait for the writer.
//
// Why it is right: a Guard claims a slot by a read-modify-write that stores the
// epoch it read. The writer stamps what it retires with the epoch, then raises
// the epoch, then visits every slot by a read-modify-write. Either the visit
// sees the claim and keeps what the Guard may hold (stamp >= its epoch), or the
// claim comes later in the slot's modification order, reads from the visit and
// so sees everything unlinked before it. Only acquire and release are needed,
// no fences, which ThreadSanitizer cannot see.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>

namespace dvr {

class Epoch {
 public:
  // More concurrent guards than this make the next reader spin until one ends.
  static constexpr std::size_t kSlots = 64;

  // Guard: any thread; nests (each takes a slot). About 10 ns. Not for holding across blocking
  // calls: memory is not given back while one lives.
  class Guard {
   public:
    explicit Guard(const Epoch& epoch) : slot_(epoch.enter()) {}
    ~Guard() { slot_.store(0, std::memory_order_release); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    std::atomic<std::uint64_t>& slot_;
  };

  using Release = void (*)(void* context, std::uint64_t argument);

  Epoch() = default;
  ~Epoch() { drain(); }
  Epoch(const Epoch&) = delete;
  Epoch& operator=(const Epoch&) = delete;

  // Writer only. Calls release(context, argument) when no reader can hold it.
  void retire(Release release, void* context, std::uint64_t argument);
  // Releases what can be; called by retire itself now and then.
  void reclaim();
  // Releases everything; no guard may be left. What retires calls it before it goes away.
  void drain();
  [[nodiscard]] std::size_t retired() const { return retired_.size(); }

 private:
  struct alignas(64) Slot {
    std::atomic<std::uint64_t> epoch{0};  // 0: free
  };
  struct Item {
    std::uint64_t stamp;
    Release release;
    void* context;
    std::uint64_t argument;
  };

  std::atomic<std::uint64_t>& enter() const;

  mutable std::array<Slot, kSlots> slots_;
  alignas(64) std::atomic<std::uint64_t> now_{1};
  std::deque<Item> retired_;
  std::size_t since_ = 0;
};

}  // namespace dvr
