#pragma once
// The rows that describe a program's instructions. Ranks whose rows are all equal share one program in the profile.

#include <cstdint>
#include <string>
#include <vector>

#include "core/program/program.h"

namespace shardscope {

/// One row of `op_row`, with texts not yet interned.
struct OpRecord {
  std::string kind, lane, phase, name;
  std::int32_t layer = -1, micro_batch = -1;
  double flops = 0;
  std::int64_t bytes = 0;
  bool communication = false;
  std::string group_name;             ///< communication only, as the next two
  std::int64_t group_size = 0;        ///< ranks
  std::int64_t collective_bytes = 0;  ///< as nccl-tests counts them
  friend bool operator==(const OpRecord&, const OpRecord&) = default;
};

/// One row of `op_buffer`: what an Alloc takes or a Free gives back.
struct OpBufferRecord {
  std::int64_t op = 0;  ///< index in the program
  std::string name;
  Space space = Space::kDevice;
  Category category = Category::kWorkspace;
  std::int64_t bytes = 0;
};
std::vector<OpBufferRecord> op_buffer_records(const Program& program);

/// One row of `op_after`: op waits for one of another lane.
struct OpAfterRecord {
  std::int64_t op = 0, after = 0;
};
std::vector<OpAfterRecord> op_after_records(const Program& program);

/// One row of `rank_group`.
struct GroupRecord {
  std::string name, ranks;  ///< ranks: "[0, 4]"
};
std::vector<GroupRecord> group_records(const Program& program);

/// In program order, Alloc and Free included (memory samples refer to them).
std::vector<OpRecord> op_records(const Program& program);

/// FNV-1a over every field; equal programs have equal hashes in every run and on every machine.
std::int64_t hash_of(const std::vector<OpRecord>& records);

/// The same over all that a profile has of a program, `hash` being that of its ops: programs may do the same work on
/// buffers of other sizes, or wait for one another otherwise.
std::int64_t hash_of_all(std::int64_t hash, const std::vector<OpBufferRecord>& buffers,
                         const std::vector<OpAfterRecord>& after);

}  // namespace shardscope
