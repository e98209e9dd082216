#include "profiler/store/compact.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "core/error.h"
#include "profiler/store/chunks.h"
#include "profiler/store/levels.h"
#include "profiler/store/memory_levels.h"
#include "profiler/store/open_store.h"
#include "profiler/store/profile.h"

namespace shardscope {
namespace {

/// Chunks to read again: ids first, since rows are replaced on the way.
std::vector<std::int64_t> ids_of(Connection& connection, const std::string& sql, std::initializer_list<Value> values) {
  std::vector<std::int64_t> ids;
  Rows rows(connection.handle(), connection.path(), sql, values);
  while (rows.next()) ids.push_back(rows.integer(0));
  return ids;
}

[[noreturn]] void fail_damaged(const Connection& connection, const char* table) {
  throw Error(ErrorKind::kParse, connection.path() + ": damaged (" + table + ".data cannot be read)");
}

std::int64_t time_of(const SliceEvent& event) { return event.start_ns; }
std::int64_t time_of(const MemoryEvent& event) { return event.time_ns; }

bool decode(std::string_view data, std::int64_t start_ns, std::vector<SliceEvent>& events) {
  return decode_slices(data, start_ns, [&](const SliceEvent& e) { events.push_back(e); });
}
bool decode(std::string_view data, std::int64_t start_ns, std::vector<MemoryEvent>& events) {
  return decode_memory(data, start_ns, [&](const MemoryEvent& e) { events.push_back(e); });
}

/// Takes the chunks of one lane out of `table` and gives their events to write(), full chunks in order of time.
template <class Event, class Write>
void pack_chunks(Connection& connection, const char* table, const std::vector<std::int64_t>& ids, Write&& write) {
  std::vector<Event> events;
  const auto flush = [&](std::size_t keep) {
    std::stable_sort(events.begin(), events.end(),
                     [](const Event& a, const Event& b) { return time_of(a) < time_of(b); });
    std::size_t at = 0;
    for (; events.size() - at > keep; at += std::min(kChunkRows, events.size() - at))
      write(pack(std::span<const Event>(events).subspan(at, std::min(kChunkRows, events.size() - at))));
    events.erase(events.begin(), events.begin() + static_cast<std::ptrdiff_t>(at));
  };
  Statement remove(connection, "DELETE FROM " + std::string(table) + " WHERE id = ?");
  for (std::int64_t id : ids) {
    {
      Rows row(connection.handle(), connection.path(),
               "SELECT start_ns, data FROM " + std::string(table) + " WHERE id = ?", {Value(id)});
      if (!row.next() || !decode(row.bytes(1), row.integer(0), events)) fail_damaged(connection, table);
    }
    remove.run(id);
    if (events.size() >= 2 * kChunkRows) flush(kChunkRows);
  }
  flush(0);
}

void pack_slices(Connection& connection, std::int64_t track) {
  Statement insert(connection,
                   "INSERT INTO slice_chunk (track, slices, start_ns, end_ns, data) VALUES (?, ?, ?, ?, ?)");
  const auto ids =
      ids_of(connection, "SELECT id FROM slice_chunk WHERE track = ? AND typeof(data) = 'text' ORDER BY start_ns, id",
             {Value(track)});
  pack_chunks<SliceEvent>(connection, "slice_chunk", ids, [&](const EventChunk& chunk) {
    insert.run(track, chunk.rows, chunk.start_ns, chunk.end_ns, Blob{chunk.data});
  });
}

void pack_memory(Connection& connection, std::int64_t run, std::int64_t rank) {
  Statement insert(connection,
                   "INSERT INTO memory_chunk (run, rank, samples, start_ns, end_ns, data) VALUES (?, ?, ?, ?, ?, ?)");
  const auto ids =
      ids_of(connection,
             "SELECT id FROM memory_chunk WHERE run = ? AND rank = ? AND typeof(data) = 'text' ORDER BY start_ns, id",
             {Value(run), Value(rank)});
  pack_chunks<MemoryEvent>(connection, "memory_chunk", ids, [&](const EventChunk& chunk) {
    insert.run(run, rank, chunk.rows, chunk.start_ns, chunk.end_ns, Blob{chunk.data});
  });
}

}  // namespace

std::int64_t count_slices(Connection& connection, std::int64_t run) {
  Rows rows(connection.handle(), connection.path(),
            "SELECT coalesce(sum(c.slices), 0) FROM track t JOIN slice_chunk c ON c.track = t.id WHERE t.run = ?",
            {Value(run)});
  return rows.next() ? rows.integer(0) : 0;
}

void pack_run(Connection& connection, std::int64_t run) {
  Transaction transaction(connection);
  for (std::int64_t track : ids_of(connection, "SELECT id FROM track WHERE run = ?", {Value(run)}))
    pack_slices(connection, track);
  for (std::int64_t rank : ids_of(connection, "SELECT rank FROM rank WHERE run = ?", {Value(run)}))
    pack_memory(connection, run, rank);
  transaction.commit();
}

CompactResult compact_profile(const std::string& path) {
  { const Profile check(path); }  // an Error for what is no profile, before anything is created or changed
  CompactResult result;
  result.bytes_before = static_cast<std::int64_t>(std::filesystem::file_size(path));
  {
    Connection connection = open_for_writing(path);
    for (std::int64_t run : ids_of(connection, "SELECT id FROM run", {})) {
      pack_run(connection, run);
      write_levels(connection, run);
      write_memory_levels(connection, run);
    }
    connection.execute("VACUUM");
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE");
  }
  result.bytes_after = static_cast<std::int64_t>(std::filesystem::file_size(path));
  return result;
}

}  // namespace shardscope
