#include "profiler/query/op_summary.h"

namespace shardscope {

std::vector<OpSummary> op_summary(const Profile& profile, std::int64_t run, int limit) {
  std::vector<OpSummary> ops;
  Rows rows = profile.rows(
      "SELECT o.kind, o.phase, o.lane, sum(t.count), sum(t.total_ns), min(t.min_ns), max(t.max_ns), sum(t.wait_ns), "
      "sum(t.exposed_ns), sum(t.count * o.flops), sum(t.count * 1.0 * o.bytes) FROM op_time t JOIN rank k ON k.run = "
      "t.run AND k.rank = t.rank JOIN op o ON o.program = k.program AND o.op = t.op WHERE t.run = ? "
      "GROUP BY o.kind, o.phase, o.lane ORDER BY sum(t.total_ns) DESC, o.kind, o.phase LIMIT ?",
      {Value(run), Value(std::int64_t{limit > 0 ? limit : -1})});
  while (rows.next()) {
    OpSummary op;
    op.kind = rows.text(0);
    op.phase = rows.text(1);
    op.lane = rows.text(2);
    op.count = rows.integer(3);
    op.total_s = static_cast<double>(rows.integer(4)) * 1e-9;
    op.min_s = static_cast<double>(rows.integer(5)) * 1e-9;
    op.max_s = static_cast<double>(rows.integer(6)) * 1e-9;
    op.wait_s = static_cast<double>(rows.integer(7)) * 1e-9;
    op.exposed_s = rows.is_null(8) ? 0 : static_cast<double>(rows.integer(8)) * 1e-9;
    if (op.count > 0) op.mean_s = op.total_s / static_cast<double>(op.count);
    if (op.total_s > 0) op.flops_per_s = rows.real(9) / op.total_s;
    if (op.total_s > 0) op.bytes_per_s = rows.real(10) / op.total_s;
    ops.push_back(std::move(op));
  }
  return ops;
}

}  // namespace shardscope
