#include "simulator/validate/residuals.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "core/spec/csv.h"
#include "simulator/validate/score.h"

namespace shardscope {
namespace {

constexpr int kLeastRuns = 12;  // fewer say little about a tenth
constexpr std::string_view kAny = "any";

struct Sizes {
  int min, max;  ///< GPUs; max 0: no end
};
constexpr Sizes kAll{1, 0}, kClasses[] = {{1, 8}, {9, 64}, {65, 512}, {513, 0}};

bool belongs(const ValidatedRow& row, std::string_view framework, Sizes sizes) {
  const int gpus = row.plan.gpus;
  const bool size = gpus >= sizes.min && (sizes.max == 0 || gpus <= sizes.max);
  return size && (framework == kAny || row.setup.framework.name == framework);
}

/// Published over predicted, each source with the same weight.
std::vector<Weighted> ratios(const std::vector<const ValidatedRow*>& rows) {
  std::map<std::string, int> count;
  for (const ValidatedRow* row : rows) ++count[row->run.source];
  std::vector<Weighted> out;
  for (const ValidatedRow* row : rows) {
    out.push_back({1 / (1 + *row->step_time_error()), 1.0 / count[row->run.source]});
  }
  return out;
}

void add(std::vector<IntervalRow>& table, const std::vector<const ValidatedRow*>& all, std::string_view framework,
         Sizes sizes, const std::string& source) {
  std::vector<const ValidatedRow*> rows;
  for (const ValidatedRow* row : all) {
    if (belongs(*row, framework, sizes)) rows.push_back(row);
  }
  if (rows.size() < kLeastRuns) return;
  const std::vector<Weighted> off = ratios(rows);
  table.push_back({.framework = std::string(framework),
                   .min_gpus = sizes.min,
                   .max_gpus = sizes.max,
                   .low = weighted_quantile(off, 0.1),
                   .median = weighted_quantile(off, 0.5),
                   .high = weighted_quantile(off, 0.9),
                   .rows = static_cast<int>(rows.size()),
                   .source = source});
}

}  // namespace

std::vector<IntervalRow> residual_intervals(const std::vector<ValidatedRow>& rows, std::string_view qualities,
                                            const std::string& source) {
  std::vector<const ValidatedRow*> chosen;
  std::set<std::string> frameworks{std::string(kAny)};
  for (const ValidatedRow& row : rows) {
    if (!row.step_time_error() || !is_chosen(row.run, qualities)) continue;
    chosen.push_back(&row);
    frameworks.insert(row.setup.framework.name);
  }
  std::vector<IntervalRow> table;
  for (const std::string& framework : frameworks) {
    add(table, chosen, framework, kAll, source);
    for (const Sizes sizes : kClasses) add(table, chosen, framework, sizes, source);
  }
  return table;
}

std::string intervals_csv(const std::vector<IntervalRow>& table) {
  std::string out = "framework,min_gpus,max_gpus,low,median,high,rows,source\n";
  for (const IntervalRow& row : table) {
    out += fmt::format("{},{},{},{:.3f},{:.3f},{:.3f},{},{}\n", row.framework, row.min_gpus, row.max_gpus, row.low,
                       row.median, row.high, row.rows, csv_cell(row.source));
  }
  return out;
}

}  // namespace shardscope
