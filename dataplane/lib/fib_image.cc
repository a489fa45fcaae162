#include "lib/fib_image.h"

#include "lib/bytes.h"

namespace dvr {
namespace {

constexpr std::string_view kMagic{"DVRFIB\0\1", 8};
constexpr std::size_t kChecksum = 16;

template <class P>
struct ColumnBytes {
  std::string address, length, index;

  explicit ColumnBytes(std::size_t n) {
    address.reserve(n * sizeof(typename P::Address));
    length.reserve(n);
    index.reserve(n * 4);
  }
  void add(const P& p, std::uint32_t local) {
    char a[sizeof(typename P::Address)];
    if constexpr (P::kWidth == 32) {
      for (int i = 0; i < 4; ++i) a[i] = static_cast<char>(p.address >> (8 * i));
    } else {
      store_u128(p.address, a);
    }
    address.append(a, sizeof a);
    length += static_cast<char>(p.length);
    ByteWriter(&index).u32(local - 1);
  }
  void write(std::string* out) const {
    ByteWriter w(out);
    w.u64(length.size());
    w.raw(address);
    w.raw(length);
    w.raw(index);
  }
};

// Makes a Fib empty whatever it holds.
void clear(Fib* fib) {
  fib->abort();
  if (fib->begin(DeltaKind::kFull).ok()) {
    const Status s = fib->end({}, {});
    static_cast<void>(s.ok());
  }
}

Status corrupt(const std::string& why) { return {Code::kCorrupt, "checkpoint: " + why}; }

Status load_body(ByteReader* r, Fib* fib) {
  Position position;
  position.log_id = r->text();
  position.epoch = r->u64();
  position.revision = r->u64();
  const std::string_view nonce = r->text();
  const Digest digest = r->digest();

  if (Status s = fib->begin(DeltaKind::kFull); !s.ok()) return s;
  const std::uint32_t classes = r->u32();
  for (std::uint32_t i = 0; i < classes && r->ok(); ++i) {
    const std::uint32_t local = r->u32();
    const ClassId id = r->class_id();
    std::vector<NextHop> hops = r->hops();
    if (!r->ok()) break;
    if (Status s = fib->restore_class(id, local); !s.ok()) return s;
    if (Status s = fib->define_class(local - 1, id, {}); !s.ok()) return s;
    if (Status s = fib->set_group(local - 1, std::move(hops)); !s.ok()) return s;
  }
  Columns c;
  const std::uint64_t n4 = r->u64();
  if (n4 > r->left()) return corrupt("more prefixes than bytes");
  c.address4 = r->raw(n4 * 4);
  c.length4 = r->raw(n4);
  c.class4 = r->raw(n4 * 4);
  const std::uint64_t n6 = r->u64();
  if (n6 > r->left()) return corrupt("more prefixes than bytes");
  c.address6 = r->raw(n6 * 16);
  c.length6 = r->raw(n6);
  c.class6 = r->raw(n6 * 4);
  if (!r->ok() || r->left() != 0) return corrupt("it ends too early or too late");
  if (Status s = fib->set(c); !s.ok()) return s;
  if (Status s = fib->end(position, nonce); !s.ok()) return s;
  if (fib->digest() != digest) return corrupt("the table's digest is not the stored one");
  return {};
}

}  // namespace

std::string encode_image(const Fib& fib) {
  const Summary s = fib.summary();
  std::string out(kMagic);
  ByteWriter w(&out);
  w.text(s.position.log_id);
  w.u64(s.position.epoch);
  w.u64(s.position.revision);
  w.text(s.epoch_nonce);
  w.raw(fib.digest().bytes());
  const std::vector<StoredClass> classes = fib.classes();
  w.u32(static_cast<std::uint32_t>(classes.size()));
  for (const StoredClass& c : classes) {
    w.u32(c.id);
    w.raw(c.class_id.view());
    w.hops(c.hops);
  }
  out.reserve(out.size() + s.prefixes4 * 9 + s.prefixes6 * 21 + 64);
  {
    ColumnBytes<Prefix4> c(s.prefixes4);
    fib.for_each4([&c](const Prefix4& p, std::uint32_t id) { c.add(p, id); });
    c.write(&out);
  }
  {
    ColumnBytes<Prefix6> c(s.prefixes6);
    fib.for_each6([&c](const Prefix6& p, std::uint32_t id) { c.add(p, id); });
    c.write(&out);
  }
  out += murmur3(out.data(), out.size()).bytes();
  return out;
}

Digest image_checksum(std::string_view image) {
  if (image.size() < kChecksum) return {};
  return Digest::from_bytes(image.substr(image.size() - kChecksum)).value_or(Digest{});
}

Status load_image(std::string_view image, Fib* fib) {
  if (image.size() < kMagic.size() + kChecksum) return corrupt("too short");
  if (image.substr(0, 7) != kMagic.substr(0, 7)) return corrupt("not a checkpoint");
  if (image[7] != kMagic[7]) return corrupt("of another version");
  const std::string_view body = image.substr(0, image.size() - kChecksum);
  if (murmur3(body.data(), body.size()) != image_checksum(image)) return corrupt("wrong checksum");
  ByteReader r(body.substr(kMagic.size()));
  Status s = load_body(&r, fib);
  if (s.ok()) return s;
  clear(fib);
  return s.code() == Code::kCorrupt ? s : corrupt(s.message());
}

}  // namespace dvr
