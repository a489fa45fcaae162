// Model: a controller's idea of one router's table, kept in ordered maps and
// encoded the obvious way: the slow reference for what a data plane holds.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "fib.pb.h"
#include "lib/digest.h"
#include "lib/fib.h"

namespace dvr::stream {

namespace pb = ::dvr::fib::v1;

// A class id of 16 equal bytes.
ClassId class_id(char letter);
// An own next hop, "192.0.2.1" or "2001:db8::1".
NextHop hop(std::string_view address, std::uint16_t weight = 1);
// Columns with one prefix.
void add_prefix(pb::Columns* columns, std::string_view prefix, std::uint32_t index);

class Model {
 public:
  Model& set(const std::string& prefix, char letter) {
    prefixes_[prefix] = letter;
    return *this;
  }
  Model& remove(const std::string& prefix) {
    prefixes_.erase(prefix);
    return *this;
  }
  Model& group(char letter, std::vector<NextHop> hops);
  Model& at(std::uint64_t revision) {
    position_.revision = revision;
    return *this;
  }
  Model& in(std::string log_id, std::uint64_t epoch) {
    position_.log_id = std::move(log_id);
    position_.epoch = epoch;
    return *this;
  }

  [[nodiscard]] const Position& position() const { return position_; }
  // Σ prefix items + group items of the classes in use.
  [[nodiscard]] Digest digest() const;
  [[nodiscard]] std::size_t size() const { return prefixes_.size(); }

  // The chunks of a full delta, with at most `most` prefixes each; only the
  // prefixes of `buckets` where it is given.
  [[nodiscard]] std::vector<pb::DeltaChunk> full(std::uint64_t number, std::size_t most = 1000,
                                                 const BucketBitmap* buckets = nullptr) const;
  // The chunks that take `from` to this.
  [[nodiscard]] std::vector<pb::DeltaChunk> delta(const Model& from, std::uint64_t number,
                                                  std::size_t most = 1000) const;

  // The longest match by brute force; the prefix's text, "" for none.
  [[nodiscard]] std::string lookup(std::string_view address) const;

 private:
  void finish(std::vector<pb::DeltaChunk>* chunks, std::uint64_t number,
              pb::DeltaChunk::Kind kind) const;

  std::map<std::string, char> prefixes_;
  std::map<char, std::vector<NextHop>> groups_;
  Position position_{"11111111-2222-4333-8444-555555555555", 1, 1};
};

}  // namespace dvr::stream
