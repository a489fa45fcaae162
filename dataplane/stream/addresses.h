// Addresses: the controllers that this data plane may dial.
//
// Those given on the command line come first, once each in random order, then
// those that controllers have named; after that round robin over all of them.
// What was learnt is kept over restarts by the state directory, so a data plane
// that was started with one address survives the loss of that controller.
#pragma once

#include <cstddef>
#include <random>
#include <string>
#include <vector>

namespace dvr::stream {

class Addresses {
 public:
  // A controller's answer is not trusted to be small.
  static constexpr std::size_t kMostLearnt = 64;
  static constexpr std::size_t kMostBytes = 512;

  Addresses(std::vector<std::string> given, std::vector<std::string> learnt, std::uint64_t seed);

  // The address to dial now; the next call gives the one after it. Never empty
  // as long as one address was given.
  const std::string& next();

  // Replaces what was learnt. Returns whether that changed anything.
  // Addresses that are empty, longer than kMostBytes or not printable are left out.
  bool learn(const std::vector<std::string>& addresses);

  [[nodiscard]] const std::vector<std::string>& learnt() const { return learnt_; }
  [[nodiscard]] std::size_t size() const { return ring_.size(); }

 private:
  void rebuild();

  std::vector<std::string> given_;
  std::vector<std::string> learnt_;
  std::vector<std::string> ring_;  // given, then the learnt ones that are not among them
  std::size_t at_ = 0;
};

}  // namespace dvr::stream
