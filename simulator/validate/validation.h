#pragma once
// Every run of a table predicted and laid beside what was published.
//
//   const Validation result = validate(parse_published_runs(csv, file), default_catalog(), default_constants());
//   for (const ValidatedRow& row : result.rows) row.step_time_error();

#include <optional>
#include <string>
#include <vector>

#include "simulator/validate/conventions.h"
#include "simulator/validate/published_runs.h"
#include "simulator/validate/row_setup.h"

namespace shardscope {

struct ValidatedRow {
  PublishedRun run;
  RowSetup setup;
  Plan plan;          ///< the one that `estimate` is of
  Estimate estimate;  ///< meaningless if setup.skipped
  std::optional<double> published_step_time_s, published_mem_gb;
  MemoryKind memory_kind = MemoryKind::kAllocated;

  bool predicted() const { return setup.skipped.empty(); }
  double predicted_mem_gb() const { return predicted_gib(estimate, memory_kind); }
  /// predicted / published - 1; nothing without either.
  std::optional<double> step_time_error() const;
  std::optional<double> mem_error() const;
};

struct Validation {
  std::vector<ValidatedRow> rows;
  std::vector<BrokenRow> broken;
};

/// What a row says and what was measured; nothing predicted yet.
ValidatedRow prepare_row(const PublishedRun&, const HardwareCatalog&);

/// Of the row's plans (several where it does not say whether it recomputed) the one nearest to what was published, in
/// time and memory; one that fits before one that does not.
void predict_row(ValidatedRow&, const Constants&);

Validation validate(const PublishedRuns&, const HardwareCatalog&, const Constants&);

}  // namespace shardscope
