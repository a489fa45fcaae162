// Set and erase in any order against the slow model, in a small universe of
// addresses so that prefixes meet.
#include <cstdlib>

#include "lib/engine.h"
#include "test/tables.h"

namespace {

using namespace dvr;

template <class E>
void run(const unsigned char* data, std::size_t size) {
  using P = typename E::PrefixType;
  using A = typename P::Address;
  static Epoch epoch;
  static E* engine = new E(&epoch, std::size_t{1} << 28);  // emptied again below
  test::Model<P> model;
  const auto erase = [&](const P& p) {
    model.erase(p);
    if (!engine->erase(p, model.cover(p))) std::abort();
  };
  for (; size >= 5; data += 5, size -= 5) {
    const A spread = static_cast<A>(data[1]) << (P::kWidth - 8) |
                     static_cast<A>(data[2]) << (P::kWidth - 24) | static_cast<A>(data[3]);
    const P p = test::cut<P>(spread, data[0] % (P::kWidth + 1));
    if (data[4] % 4 == 0) {
      if (model.entries().contains(p)) erase(p);
    } else {
      if (!engine->set(p, data[4])) std::abort();
      model.set(p, data[4]);
    }
    const std::vector<A> keys = test::edges(p);
    for (const flat::Path path : flat::kPaths) {
      if (!flat::supported(path)) continue;
      // A whole block of each path: 128 addresses.
      std::vector<A> block;
      while (block.size() < 130) block.insert(block.end(), keys.begin(), keys.end());
      std::vector<std::uint32_t> ids(block.size());
      engine->find(path, block, ids);
      for (std::size_t i = 0; i < block.size(); ++i) {
        if (ids[i] != model.lookup(block[i]).id) std::abort();
      }
    }
    for (const A a : keys) {
      const Hit want = model.lookup(a);
      if (!(engine->lookup(a) == want) || engine->find(a) != want.id) std::abort();
    }
  }
  while (!model.entries().empty()) erase(P(model.entries().begin()->first));
  if (engine->lookup(0)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size == 0 || size > 2000) return 0;
  if (data[0] % 2 == 0) {
    run<Engine4>(data + 1, size - 1);
  } else {
    run<Engine6>(data + 1, size - 1);
  }
  return 0;
}
