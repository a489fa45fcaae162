#include "lib/class_directory.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <string>

#include "lib/bytes.h"

namespace dvr {

const ClassDirectory::View* ClassDirectory::View::make(const ClassId& id, std::string_view packed) {
  void* place = ::operator new(sizeof(View) + packed.size());
  View* view = new (place) View(id, static_cast<std::uint32_t>(packed.size()));
  if (!packed.empty()) {
    std::memcpy(static_cast<char*>(place) + sizeof(View), packed.data(), packed.size());
  }
  return view;
}

void ClassDirectory::View::destroy(const View* view) {
  static_assert(std::is_trivially_destructible_v<View>);
  ::operator delete(const_cast<View*>(view));
}

std::vector<NextHop> ClassDirectory::View::hops() const {
  if (size_ == 0) return {};
  return ByteReader(packed()).hops();
}

ClassDirectory::ClassDirectory(Epoch* epoch, std::size_t limit)
    : epoch_(epoch),
      limit_(std::min<std::size_t>(limit, kMaxId)),
      records_(1),
      by_id_(64),
      chunks_(std::make_unique<std::array<std::atomic<Chunk*>, kChunks>>()) {}

ClassDirectory::~ClassDirectory() {
  epoch_->drain();
  for (auto& slot : *chunks_) {
    Chunk* chunk = slot.load(std::memory_order_relaxed);
    if (chunk == nullptr) continue;
    for (auto& view : *chunk) View::destroy(view.load(std::memory_order_relaxed));
    delete chunk;
  }
}

std::size_t ClassDirectory::home(const ClassId& id) const {
  std::uint64_t h;
  std::memcpy(&h, id.bytes.data(), sizeof h);
  return static_cast<std::size_t>(h * 0x9e3779b97f4a7c15ULL >> 32) & (by_id_.size() - 1);
}

std::size_t ClassDirectory::slot_of(const ClassId& id) const {
  std::size_t i = home(id);
  while (by_id_[i] != 0 && records_[by_id_[i]].class_id != id) i = (i + 1) & (by_id_.size() - 1);
  return i;
}

void ClassDirectory::remember(const ClassId& id, std::uint32_t local) {
  if ((known_ + 1) * 4 > by_id_.size() * 3) {
    std::vector<std::uint32_t> old(by_id_.size() * 2);
    old.swap(by_id_);
    for (const std::uint32_t known : old) {
      if (known != 0) by_id_[slot_of(records_[known].class_id)] = known;
    }
  }
  by_id_[slot_of(id)] = local;
  ++known_;
}

void ClassDirectory::forget(const ClassId& id) {
  const std::size_t mask = by_id_.size() - 1;
  std::size_t hole = slot_of(id);
  --known_;
  for (std::size_t i = (hole + 1) & mask; by_id_[i] != 0; i = (i + 1) & mask) {
    const std::size_t from_home = (i - home(records_[by_id_[i]].class_id)) & mask;
    if (from_home < ((i - hole) & mask)) continue;
    by_id_[hole] = by_id_[i];
    hole = i;
  }
  by_id_[hole] = 0;
}

std::uint32_t ClassDirectory::find(const ClassId& id) const { return by_id_[slot_of(id)]; }

const ClassDirectory::View* ClassDirectory::view(std::uint32_t local) const {
  const Chunk* chunk = (*chunks_)[local / kChunk].load(std::memory_order_acquire);
  return chunk == nullptr ? nullptr : (*chunk)[local % kChunk].load(std::memory_order_acquire);
}

void ClassDirectory::publish(std::uint32_t local, const View* view) {
  auto& slot = (*chunks_)[local / kChunk];
  Chunk* chunk = slot.load(std::memory_order_relaxed);
  if (chunk == nullptr) {
    chunk = new Chunk{};
    slot.store(chunk, std::memory_order_release);
  }
  const View* old = (*chunk)[local % kChunk].exchange(view, std::memory_order_acq_rel);
  if (old == nullptr) return;
  epoch_->retire([](void* v, std::uint64_t) { View::destroy(static_cast<const View*>(v)); },
                 const_cast<View*>(old), 0);
}

void ClassDirectory::occupy(const ClassId& id, std::uint32_t local) {
  records_[local] = Record{};
  records_[local].class_id = id;
  records_[local].used = true;
  publish(local, View::make(id, {}));
}

std::uint32_t ClassDirectory::add(const ClassId& id) {
  std::uint32_t local;
  if (!free_.empty()) {
    local = free_.back();
    free_.pop_back();
  } else {
    if (records_.size() > limit_) return 0;
    local = end();
    records_.emplace_back();
  }
  occupy(id, local);
  remember(id, local);
  return local;
}

bool ClassDirectory::claim(std::uint32_t local) {
  if (local == 0 || local > limit_) return false;
  if (local < end()) {
    const auto it = std::find(free_.rbegin(), free_.rend(), local);
    if (it == free_.rend()) return false;
    free_.erase(std::next(it).base());
  } else {
    while (end() < local) {
      free_.push_back(end());
      records_.emplace_back();
    }
    records_.emplace_back();
  }
  return true;
}

bool ClassDirectory::add_as(const ClassId& id, std::uint32_t local) {
  if (find(id) != 0 || !claim(local)) return false;
  occupy(id, local);
  remember(id, local);
  return true;
}

bool ClassDirectory::add_withdrawn(const ClassId& id, std::uint32_t local) {
  if (!claim(local)) return false;
  occupy(id, local);
  records_[local].withdrawn = true;
  return true;
}

bool ClassDirectory::set_hops(std::uint32_t local, std::span<const NextHop> hops) {
  std::string packed;
  ByteWriter(&packed).hops(hops);
  Record& r = records_[local];
  if (r.has_group && view(local)->packed() == packed) return false;
  r.group = group_item(r.class_id, hops);
  r.has_group = true;
  publish(local, View::make(r.class_id, packed));
  return true;
}

void ClassDirectory::withdraw(std::uint32_t local) {
  Record& r = records_[local];
  forget(r.class_id);
  r.withdrawn = true;
  publish(local, View::make(r.class_id, {}));
}

void ClassDirectory::release(std::uint32_t local) {
  Record& r = records_[local];
  if (!r.withdrawn) forget(r.class_id);
  r = Record{};
  epoch_->retire(
      [](void* self, std::uint64_t id) {
        auto* d = static_cast<ClassDirectory*>(self);
        const auto local_id = static_cast<std::uint32_t>(id);
        Chunk* chunk = (*d->chunks_)[local_id / kChunk].load(std::memory_order_relaxed);
        View::destroy((*chunk)[local_id % kChunk].exchange(nullptr, std::memory_order_acq_rel));
        d->free_.push_back(local_id);
      },
      this, local);
}

}  // namespace dvr
