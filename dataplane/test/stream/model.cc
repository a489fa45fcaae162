#include "test/stream/model.h"

#include <cstring>
#include <set>
#include <stdexcept>

#include "stream/messages.h"

namespace dvr::stream {
namespace {

Prefix must_parse(std::string_view text) {
  const auto prefix = parse_prefix(text);
  if (!prefix) throw std::invalid_argument("bad prefix in a test: " + std::string(text));
  return *prefix;
}

std::uint32_t bucket(const Prefix& p) {
  if (p.address.family == 4) return bucket_of(Prefix4{p.address.as_v4(), p.length});
  return bucket_of(Prefix6{p.address.bits, p.length});
}

std::uint32_t index_of(char letter) { return static_cast<std::uint32_t>(letter - 'a'); }

void add_class(pb::DeltaChunk* chunk, char letter) {
  pb::Class* const c = chunk->add_classes();
  c->set_index(index_of(letter));
  c->set_id(std::string(class_id(letter).view()));
}

void add_group(pb::DeltaChunk* chunk, char letter, const std::vector<NextHop>& hops) {
  pb::Group* const g = chunk->add_groups();
  g->set_index(index_of(letter));
  for (const NextHop& h : hops) to_message(h, g->add_next_hops());
}

}  // namespace

ClassId class_id(char letter) {
  ClassId id;
  id.bytes.fill(static_cast<std::uint8_t>(letter));
  return id;
}

NextHop hop(std::string_view address, std::uint16_t weight) {
  NextHop h;
  const auto parsed = parse_address(address);
  if (!parsed) throw std::invalid_argument("bad address in a test: " + std::string(address));
  h.address = *parsed;
  h.weight = weight;
  return h;
}

void add_prefix(pb::Columns* columns, std::string_view prefix, std::uint32_t index) {
  const Prefix p = must_parse(prefix);
  const bool four = p.address.family == 4;
  std::string* const addresses = four ? columns->mutable_address4() : columns->mutable_address6();
  if (four) {
    const std::uint32_t a = p.address.as_v4();
    for (int shift = 0; shift < 32; shift += 8) *addresses += static_cast<char>(a >> shift);
  } else {
    *addresses += to_bytes(p.address);
  }
  (four ? columns->mutable_length4() : columns->mutable_length6())
      ->push_back(static_cast<char>(p.length));
  std::string* const classes = four ? columns->mutable_class4() : columns->mutable_class6();
  for (int shift = 0; shift < 32; shift += 8) *classes += static_cast<char>(index >> shift);
}

Model& Model::group(char letter, std::vector<NextHop> hops) {
  canonicalize(&hops);
  groups_[letter] = std::move(hops);
  return *this;
}

Digest Model::digest() const {
  Digest sum;
  std::set<char> used;
  for (const auto& [prefix, letter] : prefixes_) {
    sum += prefix_item(must_parse(prefix), class_id(letter));
    used.insert(letter);
  }
  for (const char letter : used) sum += group_item(class_id(letter), groups_.at(letter));
  return sum;
}

std::vector<pb::DeltaChunk> Model::full(std::uint64_t number, std::size_t most,
                                        const BucketBitmap* buckets) const {
  std::vector<pb::DeltaChunk> chunks(1);
  std::set<char> used;
  for (const auto& [prefix, letter] : prefixes_) used.insert(letter);
  for (const char letter : used) {
    add_class(&chunks[0], letter);
    add_group(&chunks[0], letter, groups_.at(letter));
  }
  std::size_t n = 0;
  for (const auto& [prefix, letter] : prefixes_) {
    if (buckets != nullptr && !test_bucket(*buckets, bucket(must_parse(prefix)))) continue;
    if (n++ == most) {
      chunks.emplace_back();
      n = 1;
    }
    add_prefix(chunks.back().mutable_set(), prefix, index_of(letter));
  }
  if (buckets != nullptr) {
    chunks[0].set_buckets(std::string(buckets->begin(), buckets->end()));
  }
  finish(&chunks, number, pb::DeltaChunk::FULL);
  return chunks;
}

std::vector<pb::DeltaChunk> Model::delta(const Model& from, std::uint64_t number,
                                         std::size_t most) const {
  std::vector<pb::DeltaChunk> chunks(1);
  std::set<char> used, had;
  for (const auto& [prefix, letter] : from.prefixes_) had.insert(letter);
  for (const auto& [prefix, letter] : prefixes_) {
    const auto before = from.prefixes_.find(prefix);
    if (before == from.prefixes_.end() || before->second != letter) used.insert(letter);
    const auto group = from.groups_.find(letter);
    if (group == from.groups_.end() || group->second != groups_.at(letter)) used.insert(letter);
  }
  for (const char letter : used) {
    add_class(&chunks[0], letter);
    const auto group = from.groups_.find(letter);
    if (!had.contains(letter) || group->second != groups_.at(letter)) {
      add_group(&chunks[0], letter, groups_.at(letter));
    }
  }
  std::size_t n = 0;
  const auto room = [&] {
    if (n++ < most) return;
    chunks.emplace_back();
    n = 1;
  };
  for (const auto& [prefix, letter] : prefixes_) {
    const auto before = from.prefixes_.find(prefix);
    if (before != from.prefixes_.end() && before->second == letter) continue;
    room();
    add_prefix(chunks.back().mutable_set(), prefix, index_of(letter));
  }
  for (const auto& [prefix, letter] : from.prefixes_) {
    if (prefixes_.contains(prefix)) continue;
    room();
    pb::Columns* const removed = chunks.back().mutable_removed();
    add_prefix(removed, prefix, 0);
    removed->clear_class4();
    removed->clear_class6();
  }
  finish(&chunks, number, pb::DeltaChunk::INCREMENTAL);
  return chunks;
}

void Model::finish(std::vector<pb::DeltaChunk>* chunks, std::uint64_t number,
                   pb::DeltaChunk::Kind kind) const {
  for (pb::DeltaChunk& chunk : *chunks) {
    chunk.set_delta(number);
    chunk.set_kind(kind);
  }
  pb::DeltaChunk& last = chunks->back();
  last.set_end(true);
  to_message(position_, last.mutable_position());
  last.set_digest(digest().bytes());
}

std::string Model::lookup(std::string_view address) const {
  const Address a = parse_address(address).value();
  std::string best;
  int length = -1;
  for (const auto& [text, letter] : prefixes_) {
    const Prefix p = must_parse(text);
    if (p.address.family != a.family || p.length <= length) continue;
    const bool hit = a.family == 4 ? Prefix4{p.address.as_v4(), p.length}.contains(a.as_v4())
                                   : Prefix6{p.address.bits, p.length}.contains(a.bits);
    if (!hit) continue;
    best = text;
    length = p.length;
  }
  return best;
}

}  // namespace dvr::stream
