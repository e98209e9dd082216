#pragma once
// Where two runs differ, as tables and as JSON: what `shardscope compare --work` adds.

#include <nlohmann/json.hpp>
#include <string>

#include "profiler/query/run_difference.h"

namespace shardscope::cli {

/// `a`, `b`: what the columns are called. `top` 0: all rows.
void print_work(const RunDifference& difference, const std::string& a, const std::string& b, int top);
nlohmann::json work_json(const RunDifference& difference);

}  // namespace shardscope::cli
