#pragma once
// What `shardscope validate` prints, for people and for scripts.
//
//   print_validation(result, {.qualities = "AB", .worst = 10});

#include <nlohmann/json.hpp>
#include <string>

#include "simulator/validate/fit.h"
#include "simulator/validate/score.h"

namespace shardscope::cli {

struct ValidationView {
  std::string qualities = "AB";
  int worst = 10;
  bool sweeps = false;  ///< in text: a line for each; JSON always has them
};

/// Scores per source and overall, the worst rows explained, what was not predicted and why.
void print_validation(const Validation&, const ValidationView&);

/// {"rows": [...], "sources": {...}, "overall": {...}, "sweeps": [...], "broken": [...]}; errors are predicted /
/// published - 1.
nlohmann::ordered_json validation_json(const Validation&, const ValidationView&);

void print_left_out(const std::map<std::string, LeftOut>&);
nlohmann::ordered_json left_out_json(const std::map<std::string, LeftOut>&);

/// Constants that a fit moved, before and after.
void print_fit(const Constants& before, const FitResult&);

}  // namespace shardscope::cli
