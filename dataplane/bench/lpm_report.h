// Rows of the lookup benchmark against what must be reached.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace dvr::bench {

class Report {
 public:
  enum class Better : bool { kLess, kMore };

  void add(std::string what, double value, const char* unit, Better better, double must,
           double aim) {
    rows_.push_back({std::move(what), value, unit, better, must, aim});
  }

  // Prints all rows; how many missed what they must reach.
  int print() const {
    int missed = 0;
    std::printf("\n%-66s %10s %8s %8s\n", "what", "figure", "must", "aim");
    for (const Row& r : rows_) {
      const auto reached = [&r](double bar) {
        return r.better == Better::kMore ? r.value >= bar : r.value <= bar;
      };
      const bool must = reached(r.must);
      missed += must ? 0 : 1;
      std::printf("%-66s %7.2f %-2s %8.2f %8.2f  %s\n", r.what.c_str(), r.value, r.unit, r.must,
                  r.aim,
                  reached(r.aim) ? "aim reached"
                  : must         ? "reached"
                                 : "MISSED");
    }
    return missed;
  }

 private:
  struct Row {
    std::string what;
    double value;
    const char* unit;
    Better better;
    double must, aim;
  };
  std::vector<Row> rows_;
};

}  // namespace dvr::bench
