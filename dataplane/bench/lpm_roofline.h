// What the processor can do at best: independent loads at random places of so many bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lib/pages.h"

namespace dvr::bench {

class Roofline {
 public:
  Roofline(std::size_t bytes, std::size_t loads);

  // Does loads [first, end), whole 64s; the sum keeps them from being left out.
  [[nodiscard]] std::uint32_t scalar(std::size_t first, std::size_t end) const;
  // As scalar where there is no AVX-512.
  [[nodiscard]] std::uint32_t gather(std::size_t first, std::size_t end) const;

 private:
  std::vector<std::uint32_t, PageAllocator<std::uint32_t>> words_;
  std::vector<std::uint32_t> at_;
};

}  // namespace dvr::bench
