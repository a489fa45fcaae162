// Any sequence of writer calls with any input: no crash, and digest, bucket sums and
// tables agree at all times.
#include <cstdlib>

#include "lib/bytes.h"
#include "lib/fib.h"

namespace {

using namespace dvr;

void check(const Fib& fib) {
  Digest sum;
  const auto classes = fib.classes();
  std::vector<const StoredClass*> by_id;
  for (const StoredClass& c : classes) {
    if (by_id.size() <= c.id) by_id.resize(c.id + 1);
    by_id[c.id] = &c;
  }
  std::vector<bool> used(by_id.size());
  const auto add = [&](const auto& p, std::uint32_t id) {
    // A class without a group does not count; in a partial table there may be such.
    if (id >= by_id.size() || by_id[id] == nullptr) return;
    sum += prefix_item(p, by_id[id]->class_id);
    used[id] = true;
    const auto found = fib.lookup(Prefix::of(p).address);
    if (!found) std::abort();
  };
  fib.for_each4(add);
  fib.for_each6(add);
  for (const StoredClass& c : classes) {
    if (used[c.id]) sum += group_item(c.class_id, c.hops);
  }
  if (sum != fib.digest()) std::abort();
}

ClassId class_of(std::uint8_t n) {
  ClassId id;
  id.bytes[0] = n % 8;
  id.bytes[1] = 1;
  return id;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  FibLimits limits;
  limits.prefixes4 = limits.prefixes6 = 500;
  limits.classes = 16;
  limits.engine_bytes = 1 << 20;
  Fib fib(limits);
  ByteReader in({reinterpret_cast<const char*>(data), size});
  while (in.left() > 0) {
    switch (in.u8() % 10) {
      case 0: {
        BucketBitmap some{};
        some.fill(in.u8());
        static_cast<void>(fib.begin(DeltaKind::kFull, in.u8() % 2 == 0 ? &some : nullptr).ok());
        break;
      }
      case 1:
        static_cast<void>(fib.begin(DeltaKind::kIncremental).ok());
        break;
      case 2:
        static_cast<void>(
            fib.define_class(in.u8() % 20, class_of(in.u8()), in.u8() == 1 ? "red" : "").ok());
        break;
      case 3: {
        std::vector<NextHop> hops(in.u8() % 4);
        for (NextHop& h : hops) {
          h.weight = in.u8();
          h.type = static_cast<NextHop::Type>(in.u8() % 16 == 0 ? 4 : 0);
          h.address = Address::v4(in.u8());
        }
        static_cast<void>(fib.set_group(in.u8() % 20, hops).ok());
        break;
      }
      case 4:
      case 5: {
        Columns c;
        std::string index;
        const std::size_t n = in.u8() % 8;
        c.address4 = in.raw(std::min<std::size_t>(in.left(), n * 4));
        c.length4 = in.raw(std::min<std::size_t>(in.left(), n));
        for (const char l : c.length4) {
          index += static_cast<char>(l & 3);
          index.append(3, '\0');
        }
        c.class4 = index;
        static_cast<void>(fib.set(c).ok());
        break;
      }
      case 6: {
        Columns c;
        const std::size_t n = in.u8() % 8;
        c.address4 = in.raw(std::min<std::size_t>(in.left(), n * 4));
        c.length4 = in.raw(std::min<std::size_t>(in.left(), n));
        c.address6 = in.raw(std::min<std::size_t>(in.left(), n * 16));
        c.length6 = in.raw(std::min<std::size_t>(in.left(), n));
        static_cast<void>(fib.remove(c).ok());
        break;
      }
      case 7:
        static_cast<void>(fib.withdraw_group(class_of(in.u8())).ok());
        break;
      case 8:
        if (in.u8() % 8 == 0) {
          fib.abort();
        } else {
          static_cast<void>(fib.end({"l", 1, in.u8()}, "n").ok());
        }
        break;
      default: {
        // Prefixes of both families that are canonical by construction.
        std::vector<std::uint32_t> a4, k;
        std::vector<u128> a6;
        std::vector<std::uint8_t> l4, l6;
        for (std::size_t n = in.u8() % 8; n > 0; --n) {
          const std::uint8_t l = in.u8();
          l4.push_back(l % 33);
          a4.push_back((std::uint32_t{in.u8()} << 24 | in.u8()) &
                       mask_of<std::uint32_t>(l4.back()));
          l6.push_back(l % 129);
          a6.push_back((static_cast<u128>(in.u8()) << 120 | in.u8()) & mask_of<u128>(l6.back()));
          k.push_back(in.u8() % 6);
        }
        static_cast<void>(fib.set4(a4, l4, k).ok());
        static_cast<void>(fib.set6(a6, l6, k).ok());
        static_cast<void>(fib.step(in.u8()));
        break;
      }
    }
    check(fib);
  }
  return 0;
}
