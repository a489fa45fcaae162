#include "lib/lpm.h"

#include <new>

#include "lib/lpm_table.h"

namespace {

using dvr::Epoch;
using dvr::Prefix4;
using dvr::Prefix6;
using Table4 = dvr::LpmTable<Prefix4>;
using Table6 = dvr::LpmTable<Prefix6>;

template <class Table>
void* make() {
  try {
    dvr::flat::best_path();  // measured now, not by the first lookup
    return new Table;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

// A length that no prefix has, for what is out of range.
std::uint8_t length_of(int length) {
  return length < 0 || length > 128 ? 255 : static_cast<std::uint8_t>(length);
}

template <class P>
int set(void* table, const P& p, std::uint32_t id) {
  try {
    return static_cast<dvr::LpmTable<P>*>(table)->set(p, id) ? 0 : -1;
  } catch (const std::bad_alloc&) {
    return -1;
  }
}

template <class P>
int del(void* table, const P& p) {
  try {
    return static_cast<dvr::LpmTable<P>*>(table)->erase(p) ? 0 : -1;
  } catch (const std::bad_alloc&) {
    return -1;
  }
}

}  // namespace

#define DVR_API __attribute__((visibility("default")))

extern "C" {

DVR_API const char* lpm_name(void) { return "dvr"; }

DVR_API void* lpm4_new(void) { return make<Table4>(); }
DVR_API void* lpm6_new(void) { return make<Table6>(); }
DVR_API void lpm4_free(void* table) { delete static_cast<Table4*>(table); }
DVR_API void lpm6_free(void* table) { delete static_cast<Table6*>(table); }

DVR_API int lpm4_set(void* table, uint32_t address, int length, uint32_t id) {
  return set(table, Prefix4{address, length_of(length)}, id);
}
DVR_API int lpm6_set(void* table, const uint8_t address[16], int length, uint32_t id) {
  return set(table, Prefix6{dvr::load_u128(address), length_of(length)}, id);
}
DVR_API int lpm4_del(void* table, uint32_t address, int length) {
  return del(table, Prefix4{address, length_of(length)});
}
DVR_API int lpm6_del(void* table, const uint8_t address[16], int length) {
  return del(table, Prefix6{dvr::load_u128(address), length_of(length)});
}

DVR_API uint32_t lpm4_one(const void* table, uint32_t address) {
  const auto* t = static_cast<const Table4*>(table);
  const Epoch::Guard guard(t->epoch());
  return t->engine().find(address);
}
DVR_API uint32_t lpm6_one(const void* table, const uint8_t address[16]) {
  const auto* t = static_cast<const Table6*>(table);
  const Epoch::Guard guard(t->epoch());
  return t->engine().find(dvr::load_u128(address));
}
DVR_API void lpm4_bulk(const void* table, const uint32_t* addresses, uint32_t* ids, size_t n) {
  const auto* t = static_cast<const Table4*>(table);
  const Epoch::Guard guard(t->epoch());
  t->engine().find({addresses, n}, {ids, n});
}
DVR_API void lpm6_bulk(const void* table, const uint8_t (*addresses)[16], uint32_t* ids, size_t n) {
  const auto* t = static_cast<const Table6*>(table);
  const Epoch::Guard guard(t->epoch());
  t->engine().find_network(dvr::flat::best_path(), addresses, {ids, n});
}

DVR_API size_t lpm4_bytes(const void* table) {
  return static_cast<const Table4*>(table)->engine().live();
}
DVR_API size_t lpm6_bytes(const void* table) {
  return static_cast<const Table6*>(table)->engine().live();
}

}  // extern "C"
