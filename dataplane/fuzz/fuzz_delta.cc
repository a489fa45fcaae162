// Fuzzes what a controller can send in deltas: the input is a DeltaChunk's bytes,
// applied to a small table as the next chunk and, since a valid envelope is hard
// to hit by chance, once more with its envelope made to fit.
//
// Invariants: no crash, no report of a sanitizer; a refused chunk leaves no delta
// in progress; an accepted delta leaves a table whose incremental digest equals
// the one computed anew from its contents.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "lib/fib.h"
#include "stream/delta.h"

// Debian's libprotobuf is not instrumented, so its containers look overflowed to ASan.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "detect_container_overflow=0"; }

namespace {

using dvr::Digest;
using dvr::Fib;
namespace pb = dvr::fib::v1;

constexpr const char* kLog = "log";

void require(bool condition) {
  if (!condition) std::abort();
}

dvr::FibLimits small() {
  dvr::FibLimits limits;
  limits.prefixes4 = 4096;
  limits.prefixes6 = 4096;
  limits.classes = 256;
  limits.engine_bytes = std::size_t{16} << 20;
  return limits;
}

// A first delta with two classes and three prefixes.
pb::DeltaChunk seed() {
  pb::DeltaChunk chunk;
  chunk.set_delta(1);
  chunk.set_kind(pb::DeltaChunk::FULL);
  for (std::uint32_t i = 0; i < 2; ++i) {
    auto* c = chunk.add_classes();
    c->set_index(i);
    c->set_id(std::string(16, static_cast<char>('a' + i)));
    auto* g = chunk.add_groups();
    g->set_index(i);
    g->add_next_hops()->set_weight(1);
  }
  auto* set = chunk.mutable_set();
  set->set_address4(std::string("\0\0\0\x0a\0\0\x01\x0a", 8));
  set->set_length4("\x08\x10");
  set->set_class4(std::string("\0\0\0\0\1\0\0\0", 8));
  set->set_address6(std::string("\x20\x01\x0d\xb8", 4) + std::string(12, '\0'));
  set->set_length6("\x20");
  set->set_class6(std::string(4, '\0'));
  chunk.set_end(true);
  chunk.mutable_position()->set_log_id(kLog);
  chunk.mutable_position()->set_epoch(1);
  chunk.mutable_position()->set_revision(1);
  chunk.set_digest(std::string(16, '\0'));
  return chunk;
}

Digest recomputed(const Fib& fib) {
  Digest sum;
  std::vector<dvr::StoredClass> by_id;
  std::vector<bool> used;
  for (auto& c : fib.classes()) {
    if (by_id.size() <= c.id) by_id.resize(c.id + 1);
    const std::uint32_t id = c.id;
    by_id[id] = std::move(c);
  }
  used.resize(by_id.size());
  fib.for_each4([&](const dvr::Prefix4& p, std::uint32_t id) {
    sum += dvr::prefix_item(p, by_id.at(id).class_id);
    used.at(id) = true;
  });
  fib.for_each6([&](const dvr::Prefix6& p, std::uint32_t id) {
    sum += dvr::prefix_item(p, by_id.at(id).class_id);
    used.at(id) = true;
  });
  for (std::size_t id = 0; id < by_id.size(); ++id) {
    if (used[id]) sum += dvr::group_item(by_id[id].class_id, by_id[id].hops);
  }
  return sum;
}

void apply(const pb::DeltaChunk& chunk) {
  Fib fib(small());
  dvr::stream::Deltas deltas(fib);
  deltas.start({kLog, 1, 1}, "nonce");
  require(deltas.apply(seed()).ok());
  const dvr::Status status = deltas.apply(chunk);
  require(status.ok() || !fib.in_delta());
  require(status.ok() || !status.message().empty());
  deltas.cut();
  while (fib.step(1024)) {
  }
  if (status.ok() && deltas.ended()) require(fib.digest() == recomputed(fib));
  for (const auto& address : {dvr::Address::v4(0x0a000001), dvr::Address::v6(1)}) {
    const auto match = fib.lookup(address);
    require(!match || match->prefix.address.family == address.family);
  }
  require(fib.buckets() != nullptr);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  pb::DeltaChunk chunk;
  if (!chunk.ParseFromArray(data, static_cast<int>(size))) return 0;
  apply(chunk);
  chunk.set_delta(2);
  if (!pb::DeltaChunk::Kind_IsValid(chunk.kind())) chunk.set_kind(pb::DeltaChunk::INCREMENTAL);
  if (chunk.kind() == pb::DeltaChunk::INCREMENTAL || chunk.buckets().size() != 128) {
    chunk.clear_buckets();
  }
  chunk.set_end(true);
  chunk.mutable_position()->set_log_id(kLog);
  chunk.mutable_position()->set_epoch(1);
  chunk.mutable_position()->set_revision(2);
  chunk.set_digest(std::string(16, '\0'));
  // The seed's classes at their usual indexes, unless the input binds them.
  for (std::uint32_t i = 0; i < 2; ++i) {
    bool bound = false;
    for (const auto& c : chunk.classes()) bound = bound || c.index() == i;
    if (bound) continue;
    auto* c = chunk.add_classes();
    c->set_index(i);
    c->set_id(std::string(16, static_cast<char>('a' + i)));
  }
  apply(chunk);
  return 0;
}
