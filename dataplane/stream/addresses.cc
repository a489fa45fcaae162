#include "stream/addresses.h"

#include <algorithm>

namespace dvr::stream {
namespace {

bool sane_address(const std::string& address) {
  return !address.empty() && address.size() <= Addresses::kMostBytes &&
         std::all_of(address.begin(), address.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

void append_absent(std::vector<std::string>& to, const std::vector<std::string>& from) {
  for (const std::string& address : from) {
    if (std::find(to.begin(), to.end(), address) == to.end()) to.push_back(address);
  }
}

}  // namespace

Addresses::Addresses(std::vector<std::string> given, std::vector<std::string> learnt,
                     std::uint64_t seed)
    : given_(std::move(given)) {
  std::mt19937_64 random(seed);
  std::shuffle(given_.begin(), given_.end(), random);
  learn(learnt);
  rebuild();
}

const std::string& Addresses::next() {
  const std::string& address = ring_[at_];
  at_ = (at_ + 1) % ring_.size();
  return address;
}

bool Addresses::learn(const std::vector<std::string>& addresses) {
  std::vector<std::string> sane;
  for (const std::string& address : addresses) {
    if (sane.size() == kMostLearnt) break;
    if (sane_address(address) && std::find(sane.begin(), sane.end(), address) == sane.end())
      sane.push_back(address);
  }
  if (sane.empty() || sane == learnt_) return false;
  learnt_ = std::move(sane);
  rebuild();
  return true;
}

void Addresses::rebuild() {
  // The address that would have been next stays next, wherever it is now.
  const std::string next = ring_.empty() ? std::string() : ring_[at_];
  ring_.clear();
  append_absent(ring_, given_);
  append_absent(ring_, learnt_);
  const auto at = std::find(ring_.begin(), ring_.end(), next);
  at_ = at == ring_.end() ? 0 : static_cast<std::size_t>(at - ring_.begin());
}

}  // namespace dvr::stream
