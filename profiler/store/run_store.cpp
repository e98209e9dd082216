#include "profiler/store/run_store.h"

#include <ctime>

#include "profiler/store/packed.h"

namespace shardscope {
namespace {

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

std::int64_t insert_run(Connection& connection, const RunInfo& info, const std::string& key) {
  Transaction transaction(connection);
  Statement insert(connection,
                   "INSERT INTO run (key, name, predicted, framework, model, world, zero_stage, job_json, parameters, "
                   "tokens_per_step, flops_per_token, peak_flops_per_rank, device_memory_limit, started_at, status) "
                   "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  const std::string now = utc_now();
  insert.run(key, info.name, info.predicted ? 1 : 0, info.framework, info.model, info.world, info.zero_stage,
             info.job_json, info.parameters, info.tokens_per_step, info.flops_per_token, info.peak_flops_per_rank,
             info.device_memory_limit, now, to_string(RunStatus::kRunning));
  const std::int64_t id = connection.last_id();
  transaction.commit();
  return id;
}

std::int64_t part(const DividedStep& step, Activity activity) {
  return step.part_ns[static_cast<std::size_t>(activity)];
}

}  // namespace

RunStore::RunStore(Connection connection, const RunInfo& info, const std::string& key)
    : RunStore(std::move(connection), 0) {
  run_ = insert_run(connection_, info, key);
}

RunStore::RunStore(Connection connection, std::int64_t run)
    : connection_(std::move(connection)),
      run_(run),
      insert_slices_(connection_,
                     "INSERT INTO slice_chunk (track, slices, start_ns, end_ns, data) VALUES (?, ?, ?, ?, ?)"),
      insert_memory_(connection_,
                     "INSERT INTO memory_chunk (run, rank, samples, start_ns, end_ns, data) VALUES (?, ?, ?, ?, ?, ?)"),
      insert_step_(connection_, "INSERT INTO step VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
      insert_peak_(connection_, "INSERT OR REPLACE INTO memory_peak VALUES (?, ?, ?, ?, ?, ?)") {}

std::int64_t RunStore::intern(const std::string& text) {
  const auto [known, is_new] = strings_.try_emplace(text, 0);
  if (!is_new) return known->second;
  Statement(connection_, "INSERT OR IGNORE INTO string (text) VALUES (?)").run(text);
  Statement find(connection_, "SELECT id FROM string WHERE text = ?");
  known->second = find.integer(text);
  return known->second;
}

std::int64_t RunStore::add_program(const std::vector<OpRecord>& records, const std::vector<OpBufferRecord>& buffers,
                                   std::int64_t hash, const std::vector<OpAfterRecord>& after) {
  Statement(connection_, "INSERT INTO program (run, hash, ops) VALUES (?, ?, ?)")
      .run(run_, hash, static_cast<std::int64_t>(records.size()));
  const std::int64_t program = connection_.last_id();
  Statement insert(connection_, "INSERT INTO op_row VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  std::int64_t op = 0;
  for (const OpRecord& r : records) {
    const std::int64_t kind = intern(r.kind), lane = intern(r.lane), phase = intern(r.phase), name = intern(r.name);
    if (r.communication) {
      insert.run(program, op++, kind, lane, phase, r.layer, r.micro_batch, name, r.flops, r.bytes, 1,
                 intern(r.group_name), r.group_size, r.collective_bytes);
    } else {
      insert.run(program, op++, kind, lane, phase, r.layer, r.micro_batch, name, r.flops, r.bytes, 0, nullptr, nullptr,
                 nullptr);
    }
  }
  Statement insert_buffer(connection_, "INSERT INTO op_buffer VALUES (?, ?, ?, ?, ?, ?)");
  for (const OpBufferRecord& b : buffers)
    insert_buffer.run(program, b.op, intern(b.name), to_string(b.space), to_string(b.category), b.bytes);
  Statement insert_after(connection_, "INSERT OR IGNORE INTO op_after VALUES (?, ?, ?)");
  for (const OpAfterRecord& a : after) insert_after.run(program, a.op, a.after);
  return program;
}

void RunStore::add_groups(int rank, const std::vector<GroupRecord>& groups) {
  Statement insert(connection_, "INSERT INTO rank_group VALUES (?, ?, ?, ?)");
  for (const GroupRecord& group : groups) insert.run(run_, rank, group.name, group.ranks);
}

void RunStore::add_rank(int rank, std::int64_t program) {
  Statement(connection_, "INSERT INTO rank VALUES (?, ?, ?, 0, 0)").run(run_, rank, program);
}

std::int64_t RunStore::add_track(int rank, std::string_view lane) {
  Statement(connection_, "INSERT INTO track (run, rank, lane) VALUES (?, ?, ?)").run(run_, rank, lane);
  return connection_.last_id();
}

std::int64_t RunStore::track(int rank, Lane lane) {
  const auto [known, is_new] = tracks_.try_emplace({rank, lane}, 0);
  if (!is_new) return known->second;
  Statement find(connection_, "SELECT coalesce(max(id), 0) FROM track WHERE run = ? AND rank = ? AND lane = ?");
  known->second = find.integer(run_, rank, to_string(lane));
  if (known->second == 0) known->second = add_track(rank, to_string(lane));
  return known->second;
}

void RunStore::add_slices(std::int64_t track, const EventChunk& chunk) {
  if (is_packed(chunk.data)) {
    insert_slices_.run(track, chunk.rows, chunk.start_ns, chunk.end_ns, Blob{chunk.data});
  } else {
    insert_slices_.run(track, chunk.rows, chunk.start_ns, chunk.end_ns, chunk.data);
  }
}

void RunStore::add_memory(int rank, const EventChunk& chunk) {
  if (is_packed(chunk.data)) {
    insert_memory_.run(run_, rank, chunk.rows, chunk.start_ns, chunk.end_ns, Blob{chunk.data});
  } else {
    insert_memory_.run(run_, rank, chunk.rows, chunk.start_ns, chunk.end_ns, chunk.data);
  }
}

void RunStore::add_step(int rank, const StepRow& row) {
  const StepEvent& e = row.event;
  const DividedStep& p = row.parts;
  insert_step_.run(run_, rank, e.step, e.start_ns, e.duration_ns, e.loss, e.grad_norm, e.learning_rate,
                   part(p, Activity::kCompute), part(p, Activity::kOptimizer), part(p, Activity::kLoad),
                   part(p, Activity::kCommunication), part(p, Activity::kOffload), p.idle_ns, p.communication_ns);
}

void RunStore::write(int rank, const RankBatch& batch) {
  for (const auto& [lane, chunk] : batch.slices) add_slices(track(rank, lane), chunk);
  for (const EventChunk& chunk : batch.memory) add_memory(rank, chunk);
  for (const StepRow& row : batch.steps) add_step(rank, row);
}

void RunStore::write_peak(int rank, const MemoryPeak& peak) {
  for (int space = 0; space < kSpaces; ++space) {
    for (int category = 0; category < kCategories; ++category) {
      const auto s = static_cast<std::size_t>(space), c = static_cast<std::size_t>(category);
      const std::int64_t at_peak = peak.at_peak.bytes[s][c], own = peak.peak_by_category.bytes[s][c];
      if (at_peak == 0 && own == 0) continue;
      insert_peak_.run(run_, rank, to_string(static_cast<Space>(space)), to_string(static_cast<Category>(category)),
                       at_peak, own);
    }
  }
}

void RunStore::write_totals(int rank, const std::vector<OpTotal>& totals) {
  Statement insert(connection_, "INSERT INTO op_total VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
  for (std::size_t op = 0; op < totals.size(); ++op) {
    const OpTotal& t = totals[op];
    if (t.count == 0) continue;
    insert.run(run_, rank, static_cast<std::int64_t>(op), t.count, t.total_ns, t.min_ns, t.max_ns, t.wait_ns,
               t.exposed_ns);
  }
}

void RunStore::finish_rank(int rank, std::int64_t rss_bytes) {
  Statement(connection_, "UPDATE rank SET rss_bytes = ?, finished = 1 WHERE run = ? AND rank = ?")
      .run(rss_bytes, run_, rank);
}

void RunStore::add_diagnostic(int rank, const std::string& kind, std::int64_t count, const std::string& text) {
  Statement(connection_, "INSERT INTO diagnostic (run, rank, kind, count, text) VALUES (?, ?, ?, ?, ?)")
      .run(run_, rank, kind, count, text);
}

void RunStore::set_collected(const std::string& key, const std::string& list) {
  Statement(connection_, "INSERT OR REPLACE INTO meta VALUES (?, ?)").run(collected_key(key), list);
}

void RunStore::forget_collected(const std::string& key) {
  Statement(connection_, "DELETE FROM meta WHERE key = ?").run(collected_key(key));
}

void RunStore::set_status(RunStatus status) {
  Statement(connection_, "UPDATE run SET status = ? WHERE id = ?").run(to_string(status), run_);
}

std::string_view to_string(RunStatus status) {
  switch (status) {
    case RunStatus::kRunning:
      return "running";
    case RunStatus::kFinished:
      return "finished";
    case RunStatus::kInterrupted:
      return "interrupted";
  }
  return "";
}

}  // namespace shardscope
