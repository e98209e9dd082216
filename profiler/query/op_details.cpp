#include "profiler/query/op_details.h"

#include "core/error.h"

namespace shardscope {

std::optional<OpTimes> op_times(const Profile& profile, std::int64_t run, int rank, int op, std::int64_t program_hash) {
  Rows rows = profile.rows(
      "SELECT t.count, t.total_ns, t.min_ns, t.max_ns, t.wait_ns FROM op_time t JOIN rank k ON k.run = t.run AND "
      "k.rank "
      "= t.rank JOIN program p ON p.id = k.program WHERE t.run = ? AND t.rank = ? AND t.op = ? AND p.hash = ?",
      {Value(run), Value(std::int64_t{rank}), Value(std::int64_t{op}), Value(program_hash)});
  if (!rows.next() || rows.integer(0) <= 0) return std::nullopt;
  const auto count = static_cast<double>(rows.integer(0));
  return OpTimes{rows.integer(0), static_cast<double>(rows.integer(1)) / count, rows.integer(2), rows.integer(3),
                 static_cast<double>(rows.integer(4)) / count};
}

OpDetails op_details(const Profile& profile, std::int64_t run, int rank, int op) {
  Rows rows = profile.rows(
      "SELECT o.kind, o.lane, o.phase, o.name, o.group_name, o.layer, o.micro_batch, o.group_size, o.flops, o.bytes, "
      "o.collective_bytes, p.hash, r.peak_flops_per_rank, r.predicted FROM rank k JOIN program p ON p.id = k.program "
      "JOIN op o ON o.program = p.id JOIN run r ON r.id = k.run WHERE k.run = ? AND k.rank = ? AND o.op = ?",
      {Value(run), Value(std::int64_t{rank}), Value(std::int64_t{op})});
  if (!rows.next()) {
    throw Error(ErrorKind::kConfig, profile.path() + ": run " + std::to_string(run) + " has no op " +
                                        std::to_string(op) + " on rank " + std::to_string(rank));
  }
  OpDetails d;
  d.kind = rows.text(0);
  d.lane = rows.text(1);
  d.phase = rows.text(2);
  d.name = rows.text(3);
  if (!rows.is_null(4)) d.group = rows.text(4);
  d.layer = rows.small(5);
  d.micro_batch = rows.small(6);
  if (!rows.is_null(7)) d.group_size = rows.small(7);
  d.flops = rows.real(8);
  d.bytes = rows.integer(9);
  if (!rows.is_null(10)) d.collective_bytes = rows.integer(10);
  d.program_hash = rows.integer(11);
  d.peak_flops = rows.real(12);
  d.predicted = rows.integer(13) != 0;
  if (const auto times = op_times(profile, run, rank, op, d.program_hash)) d.times = *times;
  return d;
}

}  // namespace shardscope
