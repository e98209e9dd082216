#pragma once
// One event of a Chrome trace as Kineto writes it, as views of the text; the names of its fields are those of the file.
//
//   KinetoEvent event;
//   if (read_event(cursor, event)) use(event.name, to_ns(event.ts));

#include <cstdint>
#include <optional>
#include <string_view>

#include "profiler/import/kineto/json_window.h"

namespace shardscope {

/// Empty: not there. Texts without quotes, with their escapes; numbers and lists as they are written.
struct KinetoEvent {
  std::string_view ph, cat, name, pid, tid, ts, dur;
  // out of "args"
  std::string_view external_id, correlation, device, stream, grid, block, registers, shared, bytes, arg_name;
  std::string_view collective, in_elements, out_elements, group_size, dtype, in_split, out_split, group_name,
      group_description, group_ranks, source_rank, target_rank, sequence, communicator;
  // what only our own traces have (own_export.h)
  std::string_view lane, phase, step, flops, wait, track, group, members, collective_bytes;
  std::string_view address, total_allocated, total_reserved, device_type, device_id;
};

/// Reads an object; keys in any order, others are passed over. False if it is none (or cursor.cut()).
bool read_event(JsonCursor& cursor, KinetoEvent& event);

/// A number of us, with any number of decimals, as whole ns; nothing if it is not a number or too large. Never by way
/// of a double: 1.7e15 us have no ns there.
std::optional<std::int64_t> to_ns(std::string_view us);
std::optional<std::int64_t> to_integer(std::string_view number);
/// Three of "[512, 1, 1]".
bool to_triple(std::string_view list, std::int64_t (&values)[3]);

}  // namespace shardscope
