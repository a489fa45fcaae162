#include "lib/class_directory.h"

#include <algorithm>

namespace dvr {

ClassDirectory::ClassDirectory(Epoch* epoch, std::size_t limit)
    : epoch_(epoch),
      limit_(std::min<std::size_t>(limit, kMaxId)),
      records_(1),
      chunks_(std::make_unique<std::array<std::atomic<Chunk*>, kChunks>>()) {}

ClassDirectory::~ClassDirectory() {
  epoch_->drain();
  for (auto& slot : *chunks_) {
    Chunk* chunk = slot.load(std::memory_order_relaxed);
    if (chunk == nullptr) continue;
    for (auto& view : *chunk) delete view.load(std::memory_order_relaxed);
    delete chunk;
  }
}

std::uint32_t ClassDirectory::find(const ClassId& id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? 0 : it->second;
}

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
  epoch_->retire([](void* v, std::uint64_t) { delete static_cast<const View*>(v); },
                 const_cast<View*>(old), 0);
}

bool ClassDirectory::occupy(const ClassId& id, std::uint32_t local) {
  records_[local] = Record{};
  records_[local].class_id = id;
  records_[local].used = true;
  by_id_[id] = local;
  publish(local, new View{id, {}});
  return true;
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
  return local;
}

bool ClassDirectory::add_as(const ClassId& id, std::uint32_t local) {
  if (local == 0 || local > limit_ || by_id_.contains(id)) return false;
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
  return occupy(id, local);
}

void ClassDirectory::set_hops(std::uint32_t local, std::vector<NextHop> hops) {
  Record& r = records_[local];
  r.group = group_item(r.class_id, hops);
  r.has_group = true;
  publish(local, new View{r.class_id, std::move(hops)});
}

void ClassDirectory::withdraw(std::uint32_t local) {
  Record& r = records_[local];
  r.withdrawn = true;
  by_id_.erase(r.class_id);
  publish(local, new View{r.class_id, {}});
}

void ClassDirectory::release(std::uint32_t local) {
  Record& r = records_[local];
  if (!r.withdrawn) by_id_.erase(r.class_id);
  r = Record{};
  epoch_->retire(
      [](void* self, std::uint64_t id) {
        auto* d = static_cast<ClassDirectory*>(self);
        const auto local_id = static_cast<std::uint32_t>(id);
        Chunk* chunk = (*d->chunks_)[local_id / kChunk].load(std::memory_order_relaxed);
        delete (*chunk)[local_id % kChunk].exchange(nullptr, std::memory_order_acq_rel);
        d->free_.push_back(local_id);
      },
      this, local);
}

}  // namespace dvr
