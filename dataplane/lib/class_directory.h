// The classes of a FIB: ids, groups, sums.
//
// The writer's record of a class is apart from what readers see, a View: the
// class id and its next hops, immutable, behind an atomic pointer by local id.
// Views and ids are given back through the epoch, so a reader that got an id
// from an engine inside a guard finds the class that was meant.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <vector>

#include "lib/digest.h"
#include "lib/engine.h"
#include "lib/epoch.h"
#include "lib/group.h"

namespace dvr {

class ClassDirectory {
 public:
  struct View {
    ClassId class_id;
    std::vector<NextHop> hops;
  };

  struct Record {
    ClassId class_id;
    Digest sum;    // of its prefixes' items
    Digest group;  // item of its group, when it has one
    std::uint64_t prefixes = 0;
    std::uint64_t named = 0;  // the last delta that defined it
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
  // Publishes new hops; the record's group follows.
  void set_hops(std::uint32_t local, std::vector<NextHop> hops);
  // Forgets the class id, so that it may come again under another local id, and empties the view.
  void withdraw(std::uint32_t local);
  // No prefix refers to it any more: the id is free once no reader can hold it.
  void release(std::uint32_t local);

  [[nodiscard]] Record& at(std::uint32_t local) { return records_[local]; }
  [[nodiscard]] const Record& at(std::uint32_t local) const { return records_[local]; }
  // One more than the highest id ever given.
  [[nodiscard]] std::uint32_t end() const { return static_cast<std::uint32_t>(records_.size()); }
  [[nodiscard]] std::size_t known() const { return by_id_.size(); }

  // Readers inside a guard of the epoch; the writer always.
  [[nodiscard]] const View* view(std::uint32_t local) const;

 private:
  static constexpr std::size_t kChunk = 2048;
  static constexpr std::size_t kChunks = (std::size_t{kMaxId} + 1) / kChunk;
  using Chunk = std::array<std::atomic<const View*>, kChunk>;
  struct Hash {
    std::size_t operator()(const ClassId& id) const {
      std::size_t h;
      std::memcpy(&h, id.bytes.data(), sizeof h);  // a class id is a hash already
      return h;
    }
  };

  void publish(std::uint32_t local, const View* view);
  bool occupy(const ClassId& id, std::uint32_t local);

  Epoch* epoch_;
  std::size_t limit_;
  std::vector<Record> records_;  // by local id; 0 is unused
  std::vector<std::uint32_t> free_;
  std::unordered_map<ClassId, std::uint32_t, Hash> by_id_;
  std::unique_ptr<std::array<std::atomic<Chunk*>, kChunks>> chunks_;
};

}  // namespace dvr
