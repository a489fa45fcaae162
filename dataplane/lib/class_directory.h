// The classes of a FIB: ids, groups, sums.
//
// The writer's record of a class is apart from what readers see, a View: the
// class id and its next hops, immutable, behind an atomic pointer by local id.
// There may be as many classes as prefixes, so both are kept small: next hops
// are packed, and the map from class ids holds only local ids. About 150 bytes
// a class with one next hop.
// Views and ids are given back through the epoch, so a reader that got an id
// from an engine inside a guard finds the class that was meant.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "lib/digest.h"
#include "lib/epoch.h"
#include "lib/group.h"
#include "lib/hit.h"

namespace dvr {

class ClassDirectory {
 public:
  // A class as readers see it: one block of memory.
  class View {
   public:
    // `packed`: next hops as ByteWriter::hops writes them; empty: none.
    static const View* make(const ClassId& id, std::string_view packed);
    static void destroy(const View* view);

    [[nodiscard]] const ClassId& class_id() const { return class_id_; }
    [[nodiscard]] std::string_view packed() const {
      return {reinterpret_cast<const char*>(this + 1), size_};
    }
    [[nodiscard]] std::vector<NextHop> hops() const;

   private:
    View(const ClassId& id, std::uint32_t size) : class_id_(id), size_(size) {}
    ClassId class_id_;
    std::uint32_t size_;  // of the bytes behind
  };

  struct Record {
    ClassId class_id;
    Digest sum;    // of its prefixes' items
    Digest group;  // item of its group, when it has one
    std::uint32_t prefixes = 0;
    std::uint32_t named = 0;  // the last delta that defined it
    bool used = false;        // the id is given out
    bool has_group = false;
    bool withdrawn = false;  // its prefixes are being removed

    // In the digest: usable, and something uses it.
    [[nodiscard]] bool counts() const { return has_group && !withdrawn && prefixes > 0; }
    [[nodiscard]] Digest share() const { return counts() ? sum + group : Digest{}; }
  };

  ClassDirectory(Epoch* epoch, std::size_t limit);
  ~ClassDirectory();
  ClassDirectory(const ClassDirectory&) = delete;
  ClassDirectory& operator=(const ClassDirectory&) = delete;

  // 0: not known. Withdrawn classes are not found.
  [[nodiscard]] std::uint32_t find(const ClassId& id) const;
  // Gives a class a local id and an empty view. 0: the limit is reached.
  std::uint32_t add(const ClassId& id);
  // The same with a chosen id; false when it or the class is taken or out of range.
  bool add_as(const ClassId& id, std::uint32_t local);
  // Publishes new hops, canonical; the record's group follows. False: they are those it has.
  bool set_hops(std::uint32_t local, std::span<const NextHop> hops);
  // Forgets the class id, so that it may come again under another local id, and empties the view.
  void withdraw(std::uint32_t local);
  // A class that was withdrawn before a restart; false as of add_as.
  bool add_withdrawn(const ClassId& id, std::uint32_t local);
  // No prefix refers to it any more: the id is free once no reader can hold it.
  void release(std::uint32_t local);

  [[nodiscard]] Record& at(std::uint32_t local) { return records_[local]; }
  [[nodiscard]] const Record& at(std::uint32_t local) const { return records_[local]; }
  // One more than the highest id ever given.
  [[nodiscard]] std::uint32_t end() const { return static_cast<std::uint32_t>(records_.size()); }
  [[nodiscard]] std::size_t known() const { return known_; }

  // Readers inside a guard of the epoch; the writer always.
  [[nodiscard]] const View* view(std::uint32_t local) const;

 private:
  static constexpr std::size_t kChunk = 2048;
  static constexpr std::size_t kChunks = (std::size_t{kMaxId} + 1) / kChunk;
  using Chunk = std::array<std::atomic<const View*>, kChunk>;

  void publish(std::uint32_t local, const View* view);
  // Takes a local id out of those that are free; false: it is taken or out of range.
  bool claim(std::uint32_t local);
  void occupy(const ClassId& id, std::uint32_t local);

  // The map: open addressing, linear probing, at most 3/4 full; 0: empty. A class
  // id is a hash already.
  [[nodiscard]] std::size_t home(const ClassId& id) const;
  [[nodiscard]] std::size_t slot_of(const ClassId& id) const;
  void remember(const ClassId& id, std::uint32_t local);
  void forget(const ClassId& id);

  Epoch* epoch_;
  std::size_t limit_;
  std::vector<Record> records_;  // by local id; 0 is unused
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> by_id_;
  std::size_t known_ = 0;
  std::unique_ptr<std::array<std::atomic<Chunk*>, kChunks>> chunks_;
};

}  // namespace dvr
