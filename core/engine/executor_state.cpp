// Where an executor is, for whoever watches it from another thread.

#include <fmt/format.h>

#include "core/engine/executor.h"

namespace shardscope {
namespace {

/// Below anything that runs an op: what takes longer than at this speed hangs. Guesses: a hundredth of a slow core, a
/// hundredth of a slow memory, a tenth of a slow network.
constexpr double kSlowestFlops = 1e9, kSlowestMemory = 1e8, kSlowestNetwork = 1e7;  // FLOP/s, bytes/s

double allowance_s(const Program& program, const Op& op) {
  const auto bytes = static_cast<double>(bytes_touched(program, op));
  return flops(op) / kSlowestFlops + bytes / (is_communication(op) ? kSlowestNetwork : kSlowestMemory);
}

std::string peer_text(const Group& group, const Op& op) {
  const auto rank = [&](std::int64_t place) { return group.ranks[static_cast<std::size_t>(place)]; };
  if (const auto* send = std::get_if<Send>(&op)) return fmt::format(" to rank {}", rank(send->peer));
  if (const auto* recv = std::get_if<Recv>(&op)) return fmt::format(" from rank {}", rank(recv->peer));
  return "";
}

}  // namespace

std::optional<OpId> place_of(const Program& program, const Op& op) {
  if (program.instructions.empty()) return std::nullopt;
  const auto distance =
      reinterpret_cast<std::uintptr_t>(&op) - reinterpret_cast<std::uintptr_t>(&program.instructions.front().op);
  const std::size_t place = distance / sizeof(Instruction);  // far off, too, if it lies before them
  if (place >= program.instructions.size()) return std::nullopt;
  return OpId{static_cast<std::int32_t>(place)};
}

std::string describe_op(const Program& program, OpId id) {
  const Instruction& instruction = program.instruction(id);
  return fmt::format("op {} ({} {})", id.index, op_name(instruction.op), program.name(instruction.label.name));
}

/// The op that a lane is at; invalid if it is idle; nothing if nobody knows.
std::optional<OpId> Executor::op_on(Lane lane) const {
  const std::int32_t work = host_work_[static_cast<std::size_t>(lane)].load(std::memory_order_relaxed);
  if (work >= 0) return OpId{work};
  const auto running = backend_.running(lane);
  if (!running) return std::nullopt;
  if (*running == nullptr) return OpId{};
  return place_of(program_, **running);
}

RankState Executor::state() const {
  const std::int32_t step = running_step_.load(std::memory_order_relaxed);
  if (step < 0) return {.where = "between steps"};
  RankState state{.progress = static_cast<std::uint64_t>(step), .where = fmt::format("in step {}: ", step)};
  bool all_known = true, waits = false, works = false;
  for (int i = 0; i < kLanes; ++i) {
    const auto lane = static_cast<Lane>(i);
    const std::optional<OpId> op = op_on(lane);
    all_known = all_known && op.has_value();
    state.progress = state.progress * 1'000'003 + static_cast<std::uint64_t>(op ? op->index + 1 : 0);
    if (!op || !op->valid()) continue;
    state.where += (waits || works ? "; " : "") + place_text(*op);
    const Op& what = program_.instruction(*op).op;
    (is_communication(what) ? waits : works) = true;
    state.allowance_s += allowance_s(program_, what);
  }
  if (!waits && !works) state.where += "between ops";
  state.doing = works || (all_known && !waits) ? RankState::Doing::kBusy
                : all_known                    ? RankState::Doing::kWaiting
                                               : RankState::Doing::kOther;
  return state;
}

std::string Executor::place_text(OpId id) const {
  const Planned& planned = plan_[static_cast<std::size_t>(id.index)];
  std::string text = fmt::format("{} on {}", describe_op(program_, id), to_string(planned.lane));
  if (planned.channel == nullptr) return text;
  const Group& group = *planned.channel->group;
  return text + fmt::format(", call {} of group {}{}", planned.channel->calls.load(std::memory_order_relaxed),
                            group.name, peer_text(group, program_.instruction(id).op));
}

}  // namespace shardscope
