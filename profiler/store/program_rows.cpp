#include "profiler/store/program_rows.h"

#include <bit>
#include <string_view>

namespace shardscope {
namespace {

void add_group(const Program& program, const Op& op, OpRecord& record) {
  std::visit(
      [&](const auto& o) {
        if constexpr (is_collective<std::decay_t<decltype(o)>>) {
          const Group& group = program.group(o.group);
          record.group_name = group.name;
          record.group_size = group.size();
        }
      },
      op);
  record.collective_bytes = collective_bytes(program, op);
}

OpRecord record_of(const Program& program, const Instruction& instruction) {
  OpRecord record;
  record.kind = op_name(instruction.op);
  record.lane = to_string(instruction.lane);
  record.phase = to_string(instruction.label.phase);
  record.name = program.name(instruction.label.name);
  record.layer = instruction.label.layer;
  record.micro_batch = instruction.label.micro_batch;
  record.flops = flops(instruction.op);
  record.bytes = bytes_touched(program, instruction.op);
  record.communication = is_communication(instruction.op);
  if (record.communication) add_group(program, instruction.op, record);
  return record;
}

class Fnv {
 public:
  void add(std::string_view text) {
    for (char c : text) add_byte(static_cast<unsigned char>(c));
    add_byte(0xff);  // ends the text: "ab","c" is not "a","bc"
  }
  void add(std::uint64_t value) {
    for (int i = 0; i < 8; ++i) add_byte(static_cast<unsigned char>(value >> (8 * i)));
  }
  std::int64_t value() const { return static_cast<std::int64_t>(hash_); }

 private:
  void add_byte(unsigned char byte) { hash_ = (hash_ ^ byte) * 0x100000001b3ULL; }
  std::uint64_t hash_ = 0xcbf29ce484222325ULL;
};

}  // namespace

std::vector<OpRecord> op_records(const Program& program) {
  std::vector<OpRecord> records;
  records.reserve(program.instructions.size());
  for (const Instruction& instruction : program.instructions) records.push_back(record_of(program, instruction));
  return records;
}

std::vector<OpBufferRecord> op_buffer_records(const Program& program) {
  std::vector<OpBufferRecord> records;
  for (std::size_t i = 0; i < program.instructions.size(); ++i) {
    const Op& op = program.instructions[i].op;
    const Alloc* alloc = std::get_if<Alloc>(&op);
    const Free* free = std::get_if<Free>(&op);
    if (alloc == nullptr && free == nullptr) continue;
    const Buffer& buffer = program.buffer(alloc != nullptr ? alloc->buffer : free->buffer);
    records.push_back({static_cast<std::int64_t>(i), buffer.name, buffer.space, buffer.category, buffer.bytes()});
  }
  return records;
}

std::vector<OpAfterRecord> op_after_records(const Program& program) {
  std::vector<OpAfterRecord> records;
  for (std::size_t i = 0; i < program.instructions.size(); ++i) {
    for (const OpId after : program.instructions[i].after)
      records.push_back({static_cast<std::int64_t>(i), std::int64_t{after.index}});
  }
  return records;
}

std::vector<GroupRecord> group_records(const Program& program) {
  std::vector<GroupRecord> records;
  for (const Group& group : program.groups) {
    std::string ranks;
    for (const int rank : group.ranks) ranks += (ranks.empty() ? "[" : ", ") + std::to_string(rank);
    records.push_back({group.name, ranks + "]"});
  }
  return records;
}

std::int64_t hash_of(const std::vector<OpRecord>& records) {
  Fnv fnv;
  for (const OpRecord& r : records) {
    for (std::string_view text : {r.kind, r.lane, r.phase, r.name, r.group_name}) fnv.add(text);
    fnv.add(std::bit_cast<std::uint64_t>(r.flops));
    for (std::int64_t value : {std::int64_t{r.layer}, std::int64_t{r.micro_batch}, r.bytes,
                               std::int64_t{r.communication}, r.group_size, r.collective_bytes}) {
      fnv.add(static_cast<std::uint64_t>(value));
    }
  }
  return fnv.value();
}

std::int64_t hash_of_all(std::int64_t hash, const std::vector<OpBufferRecord>& buffers,
                         const std::vector<OpAfterRecord>& after) {
  Fnv fnv;
  fnv.add(static_cast<std::uint64_t>(hash));
  for (const OpBufferRecord& b : buffers) {
    fnv.add(b.name);
    for (const std::int64_t value : {b.op, std::int64_t(b.space), std::int64_t(b.category), b.bytes})
      fnv.add(static_cast<std::uint64_t>(value));
  }
  fnv.add("after");
  for (const OpAfterRecord& a : after)
    for (const std::int64_t value : {a.op, a.after}) fnv.add(static_cast<std::uint64_t>(value));
  return fnv.value();
}

}  // namespace shardscope
