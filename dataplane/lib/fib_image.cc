#include "lib/fib_image.h"

#include "lib/bytes.h"

namespace dvr {
namespace {

constexpr std::string_view kMagic{"DVRFIB\0\2", 8};
constexpr char kColumns = 1;  // the version that had columns
constexpr std::size_t kChecksum = 16;

// Makes a Fib empty whatever it holds.
void clear(Fib* fib) {
  fib->abort();
  if (fib->begin(DeltaKind::kFull).ok()) {
    const Status s = fib->end({}, {}, false);
    static_cast<void>(s.ok());
  }
}

Status corrupt(const std::string& why) { return {Code::kCorrupt, "checkpoint: " + why}; }

struct Header {
  Position position;
  std::string_view nonce;
  Digest digest;
};

Header read_header(ByteReader* r) {
  Header h;
  h.position.log_id = r->text();
  h.position.epoch = r->u64();
  h.position.revision = r->u64();
  h.nonce = r->text();
  h.digest = r->digest();
  return h;
}

Status load_columns(ByteReader* r, const Header& h, Fib* fib) {
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
  if (Status s = fib->end(h.position, h.nonce, false); !s.ok()) return s;
  if (fib->digest() != h.digest) return corrupt("the table's digest is not the stored one");
  return {};
}

}  // namespace

std::string copy_image(const Fib& fib) {
  const Summary s = fib.summary();
  std::string out;
  // About what it takes, so that it is not copied while it grows.
  out.reserve(s.engine_bytes + s.table_bytes + s.classes * 64 + (1u << 20));
  out += kMagic;
  ByteWriter w(&out);
  w.text(s.position.log_id);
  w.u64(s.position.epoch);
  w.u64(s.position.revision);
  w.text(s.epoch_nonce);
  w.raw(fib.digest().bytes());
  fib.save(&out);
  return out;
}

void seal_image(std::string* image) { *image += murmur3(image->data(), image->size()).bytes(); }

std::string encode_image(const Fib& fib) {
  std::string image = copy_image(fib);
  seal_image(&image);
  return image;
}

Digest image_checksum(std::string_view image) {
  if (image.size() < kChecksum) return {};
  return Digest::from_bytes(image.substr(image.size() - kChecksum)).value_or(Digest{});
}

Status load_image(std::string_view image, Fib* fib) {
  if (image.size() < kMagic.size() + kChecksum) return corrupt("too short");
  if (image.substr(0, 7) != kMagic.substr(0, 7)) return corrupt("not a checkpoint");
  const char version = image[7];
  if (version != kMagic[7] && version != kColumns) return corrupt("of another version");
  const std::string_view body = image.substr(0, image.size() - kChecksum);
  if (murmur3(body.data(), body.size()) != image_checksum(image)) return corrupt("wrong checksum");
  ByteReader r(body.substr(kMagic.size()));
  const Header h = read_header(&r);
  if (!r.ok()) return corrupt("it ends too early");
  Status s;
  if (version == kColumns) {
    s = load_columns(&r, h, fib);
    if (!s.ok()) clear(fib);
  } else {
    s = fib->restore(r.raw(r.left()), h.position, h.nonce, h.digest);
  }
  return s.ok() || s.code() == Code::kCorrupt ? s : corrupt(s.message());
}

}  // namespace dvr
