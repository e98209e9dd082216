#include "profiler/export/run_reader.h"

#include "core/error.h"
#include "profiler/import/slice_spool.h"

namespace shardscope {
namespace {

constexpr int kImportsSince = 4;  ///< schema version that brought source and collective_call
constexpr int kGroupsSince = 5;   ///< and rank_group

/// What the profile knows of a track's collectives, beside their slices: both in order of time.
class Calls {
 public:
  Calls(const Profile& profile, std::int64_t run, const ExportTrack& track) {
    if (profile.schema_version() < kImportsSince) return;
    rows_.emplace(
        profile.rows("SELECT start_ns, op, sequence, communicator FROM collective_call WHERE run = ? AND "
                     "rank = ? AND track = ? AND start_ns IS NOT NULL ORDER BY start_ns, op",
                     {Value(run), Value(std::int64_t{track.rank}), Value(track.id)}));
    next();
  }
  void describe(ExportSlice& slice) {
    while (rows_ && rows_->integer(0) < slice.start_ns) next();
    if (!rows_ || rows_->integer(0) != slice.start_ns || rows_->integer(1) != slice.op) return;
    if (!rows_->is_null(2)) slice.sequence = rows_->integer(2);
    if (!rows_->is_null(3)) slice.communicator = rows_->integer(3);
    next();
  }

 private:
  void next() {
    if (!rows_->next()) rows_.reset();
  }
  std::optional<Rows> rows_;
};

}  // namespace

std::vector<ExportRank> RunReader::ranks() const {
  std::vector<ExportRank> ranks;
  Rows rows = profile_.rows("SELECT rank, program FROM rank WHERE run = ? ORDER BY rank", {Value(run_)});
  while (rows.next()) ranks.push_back({rows.small(0), rows.integer(1)});
  return ranks;
}

std::vector<ExportOp> RunReader::ops(const ExportRank& rank) const {
  std::vector<ExportOp> ops;
  Rows rows = profile_.rows(
      "SELECT op, kind, lane, phase, name, layer, micro_batch, flops, bytes, communication, group_name, group_size, "
      "collective_bytes FROM op WHERE program = ? ORDER BY op",
      {Value(rank.program)});
  while (rows.next()) {
    if (rows.integer(0) != static_cast<std::int64_t>(ops.size()))
      throw Error(ErrorKind::kParse, profile_.path() + ": damaged (ops of a program have gaps)");
    ExportOp& op = ops.emplace_back();
    op.kind = rows.text(1), op.lane = rows.text(2), op.phase = rows.text(3), op.name = rows.text(4);
    op.layer = rows.integer(5), op.micro_batch = rows.integer(6);
    op.flops = rows.real(7), op.bytes = rows.integer(8), op.communication = rows.integer(9) != 0;
    if (!rows.is_null(10)) op.group = rows.text(10);
    if (!rows.is_null(11)) op.group_size = rows.integer(11);
    if (!rows.is_null(12)) op.collective_bytes = rows.integer(12);
  }
  return ops;
}

std::vector<ExportTrack> RunReader::tracks(int rank) const {
  std::vector<ExportTrack> tracks;
  Rows rows = profile_.rows(
      "SELECT id, lane FROM track t WHERE run = ? AND rank = ? AND EXISTS (SELECT 1 FROM slice_chunk WHERE track = "
      "t.id) ORDER BY id",
      {Value(run_), Value(std::int64_t{rank})});
  while (rows.next()) tracks.push_back({rows.integer(0), rank, rows.text(1)});
  return tracks;
}

void RunReader::slices(const ExportTrack& track, const std::function<void(const ExportSlice&)>& f) const {
  SliceSpool spool(beside_);
  const std::size_t all[] = {spool.add_track()};
  Rows rows =
      profile_.rows("SELECT start_ns, data FROM slice_chunk WHERE track = ? ORDER BY start_ns, id", {Value(track.id)});
  while (rows.next()) {
    if (!decode_slices(rows.bytes(1), rows.integer(0), [&](const SliceEvent& e) { spool.add(all[0], e); })) {
      throw Error(ErrorKind::kParse,
                  profile_.path() + ": damaged (slices of track " + std::to_string(track.id) + " cannot be read)");
    }
  }
  spool.flush();
  Calls calls(profile_, run_, track);
  SliceEvent e;
  for (SliceMerge merge(spool, all); merge.next(e);) {
    ExportSlice slice{e.op.index, e.step, e.start_ns, e.duration_ns, e.wait_ns, e.correlation, {}, {}};
    calls.describe(slice);
    f(slice);
  }
}

void RunReader::steps(int rank, const std::function<void(const ExportStep&)>& f) const {
  Rows rows = profile_.rows(
      "SELECT step, start_ns, dur_ns, loss FROM step WHERE run = ? AND rank = ? ORDER BY "
      "start_ns, dur_ns DESC",
      {Value(run_), Value(std::int64_t{rank})});
  while (rows.next()) f({rows.small(0), rows.integer(1), rows.integer(2), rows.real_or_nan(3)});
}

void RunReader::memory(int rank, const std::function<void(const ExportMemory&)>& f) const {
  // Not sorted, which would take memory: a rank's samples are recorded in order of time, and programs that show them
  // do not mind.
  Rows rows = profile_.rows("SELECT time_ns, live_bytes, space, category FROM memory WHERE run = ? AND rank = ?",
                            {Value(run_), Value(std::int64_t{rank})});
  while (rows.next()) f({rows.integer(0), rows.integer(1), rows.text(2), rows.text(3)});
}

std::optional<std::int64_t> RunReader::wall_clock_ns() const {
  if (profile_.schema_version() < kImportsSince) return std::nullopt;
  Rows rows = profile_.rows(
      "SELECT base_ns + origin_ns FROM source WHERE run = ? AND base_ns IS NOT NULL ORDER BY rank LIMIT 1",
      {Value(run_)});
  return rows.next() && rows.is_integer(0) ? std::optional(rows.integer(0)) : std::nullopt;
}

std::vector<ExportGroup> RunReader::groups(int rank) const {
  std::vector<ExportGroup> groups;
  if (profile_.schema_version() < kGroupsSince) return groups;
  Rows rows = profile_.rows("SELECT name, ranks FROM rank_group WHERE run = ? AND rank = ? ORDER BY name",
                            {Value(run_), Value(std::int64_t{rank})});
  while (rows.next()) groups.push_back({rows.text(0), rows.text(1)});
  return groups;
}

std::map<std::int64_t, std::string> RunReader::group_ranks(const ExportRank& rank) const {
  std::map<std::int64_t, std::string> all;
  if (profile_.schema_version() < kImportsSince) return all;
  Rows rows = profile_.rows("SELECT op, group_ranks FROM op_collective WHERE program = ? AND group_ranks IS NOT NULL",
                            {Value(rank.program)});
  while (rows.next()) all[rows.integer(0)] = rows.text(1);
  return all;
}

}  // namespace shardscope
