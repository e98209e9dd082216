// A table of published runs of anybody: refused in one line, or each row is broken, skipped with a reason, or predicted
// with a time above 0.

#include "simulator/validate/published_runs.h"

#include "simulator/validate/score.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shardscope;
  static const HardwareCatalog catalog = default_catalog();
  return fuzz_reader(data, size, [](std::string_view text) {
    PublishedRuns table = parse_published_runs(text, "runs.csv");
    for (const BrokenRow& row : table.broken) expect_good_message(row.why);
    table.runs.resize(std::min<std::size_t>(table.runs.size(), 8));  // enough, and fast
    const Validation result = validate(table, catalog, default_constants());
    for (const ValidatedRow& row : result.rows) {
      if (!row.predicted()) expect_good_message(row.setup.skipped);
      if (row.predicted() && !(row.estimate.step_time_s > 0)) fuzz_failed("a prediction of no time", row.run.id);
    }
    score_overall(result.rows, "ABC");
  });
}
