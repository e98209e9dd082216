#include "core/engine/executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>

#include "core/check.h"
#include "core/engine/float_convert.h"
#include "core/engine/hub.h"
#include "core/engine/nvme/nvme_file.h"
#include "core/engine/region_io.h"
#include "core/error.h"

namespace shardscope {
namespace {

std::size_t at(OpId op) { return static_cast<std::size_t>(op.index); }
std::size_t at(Lane lane) { return static_cast<std::size_t>(lane); }

GroupId group_of(const Op& op) {
  return std::visit(
      [](const auto& o) {
        if constexpr (is_collective<std::decay_t<decltype(o)>>) {
          return o.group;
        } else {
          return GroupId{};
        }
      },
      op);
}

/// Runs a collective on its communicator, this rank's memory as `memory` says.
class CollectiveCall {
 public:
  CollectiveCall(Communicator& comm, const Memory& memory) : comm_(comm), memory_(memory) {}
  void operator()(const AllReduce& o) {
    comm_.all_reduce(memory_.at(o.data), o.data.count, memory_.dtype(o.data), o.reduce);
  }
  void operator()(const ReduceScatter& o) {
    comm_.reduce_scatter(memory_.at(o.in), memory_.at(o.out), o.out.count, memory_.dtype(o.in));
  }
  void operator()(const AllGather& o) {
    comm_.all_gather(memory_.at(o.in), memory_.at(o.out), o.in.count, memory_.dtype(o.in));
  }
  void operator()(const Broadcast& o) {
    comm_.broadcast(memory_.at(o.data), o.data.count, memory_.dtype(o.data), static_cast<int>(o.root));
  }
  void operator()(const AllToAll& o) {
    comm_.all_to_all(memory_.at(o.in), memory_.at(o.out), o.in.count / comm_.size(), memory_.dtype(o.in));
  }
  void operator()(const RingShift& o) {
    comm_.ring_shift(memory_.at(o.in), memory_.at(o.out), o.in.count, memory_.dtype(o.in));
  }
  void operator()(const Send& o) {
    comm_.send(memory_.at(o.data), o.data.count, memory_.dtype(o.data), static_cast<int>(o.peer));
  }
  void operator()(const Recv& o) {
    comm_.recv(memory_.at(o.data), o.data.count, memory_.dtype(o.data), static_cast<int>(o.peer));
  }
  template <class T>
  void operator()(const T& /*not a collective*/) {
    SS_CHECK(false, T::kName);
  }

 private:
  Communicator& comm_;
  const Memory& memory_;
};

/// Moves bytes between the rank's swap file and its memory.
class NvmeCall {
 public:
  explicit NvmeCall(const Memory& memory) : memory_(memory) {}
  void operator()(const NvmeRead& o) {
    memory_.nvme->read(memory_.file_offset(o.src), {memory_.at(o.dst), bytes(o.dst)});
  }
  void operator()(const NvmeWrite& o) {
    memory_.nvme->write(memory_.file_offset(o.dst), {memory_.at(o.src), bytes(o.src)});
  }
  template <class T>
  void operator()(const T& /*not one of these*/) {
    SS_CHECK(false, T::kName);
  }

 private:
  std::size_t bytes(const Region& region) const { return static_cast<std::size_t>(memory_.program->bytes(region)); }
  const Memory& memory_;
};

/// Whether all of a region of f32, bf16 or f16 in memory is; other regions count as finite.
bool is_finite(const Memory& memory, const Region& region) {
  const DType dtype = memory.dtype(region);
  const bool on_drive = memory.program->buffer(region.buffer).space == Space::kNvme;
  if (on_drive || dtype == DType::kF64 || !is_floating(dtype)) return true;
  std::array<float, 1024> block;
  std::array<float, 1024> stored;  // of any dtype up to 4 bytes
  for (std::int64_t at = 0; at < region.count; at += static_cast<std::int64_t>(block.size())) {
    const auto n = std::min(static_cast<std::size_t>(region.count - at), block.size());
    read_region(memory, region.part(at, static_cast<std::int64_t>(n)), stored.data());
    to_floats(reinterpret_cast<const std::byte*>(stored.data()), dtype, {block.data(), n});
    if (!std::all_of(block.begin(), block.begin() + n, [](float v) { return std::isfinite(v); })) return false;
  }
  return true;
}

/// Tokens of the model that the program is of, as far as its ops tell. Other tables are looked up too, such as that of
/// the positions while decoding.
std::int64_t vocabulary_of(const Program& program) {
  std::int64_t known = std::numeric_limits<std::int64_t>::max();
  std::set<BufferId> loaded;
  const auto at_most = [&](std::int64_t tokens) { known = std::min(known, tokens); };
  for (const Instruction& instruction : program.instructions) {
    if (const auto* batch = std::get_if<LoadBatch>(&instruction.op)) {
      loaded.insert(batch->tokens.buffer);
    } else if (const auto* tokens = std::get_if<LoadTokens>(&instruction.op)) {
      loaded.insert(tokens->tokens.buffer);
    } else if (const auto* embedding = std::get_if<Embedding>(&instruction.op)) {
      if (loaded.count(embedding->tokens.buffer) == 0) continue;
      at_most(embedding->total > 0 ? embedding->total : embedding->vocab);
    } else if (const auto* loss = std::get_if<CrossEntropy>(&instruction.op)) {
      at_most(loss->vocab);
    } else if (const auto* sharded = std::get_if<ShiftedExp>(&instruction.op)) {
      at_most(sharded->total);
    }
  }
  return known;
}

/// Here, where the host sees them: a device could only stop.
void check_tokens(std::span<const std::int32_t> tokens, std::int64_t vocab, const char* what) {
  const auto fits = [vocab](std::int32_t token) { return token >= 0 && token < vocab; };
  const auto bad = std::find_if_not(tokens.begin(), tokens.end(), fits);
  if (bad == tokens.end()) return;
  throw Error(ErrorKind::kConfig, fmt::format("{} {} is {}, outside the model's vocabulary of {}: the data is not for "
                                              "this model",
                                              what, bad - tokens.begin(), *bad, vocab));
}

}  // namespace

Executor::Executor(const Program& program, Backend& backend, Arena& arena, ExecutorOptions options)
    : program_(program),
      backend_(backend),
      arena_(arena),
      options_(std::move(options)),
      vocabulary_(vocabulary_of(program)),
      points_(program.instructions.size(), 0),
      waited_(kLanes) {
  for (auto& work : host_work_) work.store(-1);
  plan();
  backend_.on_failure([this](const std::exception_ptr& error) { report(error); });
  if (options_.trace != nullptr) start_ns_.resize(program.instructions.size());
}

void Executor::plan() {
  plan_.reserve(program_.instructions.size());
  for (const Instruction& instruction : program_.instructions) {
    Planned planned{.lane = instruction.lane};
    const Op& op = instruction.op;
    if (const auto* alloc = std::get_if<Alloc>(&op)) {
      planned.kind = Kind::kAlloc;
      planned.buffer = alloc->buffer;
    } else if (const auto* free = std::get_if<Free>(&op)) {
      planned.kind = Kind::kFree;
      planned.buffer = free->buffer;
    } else if (std::holds_alternative<Hold>(op)) {
      planned.kind = Kind::kHold;
    } else if (const auto* load = std::get_if<LoadBatch>(&op)) {
      planned.kind = Kind::kLoadBatch;
      SS_CHECK(options_.batches != nullptr);
      SS_CHECK(load->batch == options_.batches->rows(), load->batch);
      SS_CHECK(load->part.end(load->seq) <= options_.batches->seq_len(), load->part.start, load->seq);
    } else if (std::holds_alternative<LoadTokens>(op)) {
      planned.kind = Kind::kLoadBatch;
      SS_CHECK(options_.tokens != nullptr);
    } else if (std::holds_alternative<NvmeRead>(op) || std::holds_alternative<NvmeWrite>(op)) {
      planned.kind = Kind::kNvme;
      SS_CHECK(arena_.memory().nvme != nullptr);
    } else if (is_communication(op)) {
      planned.kind = Kind::kCollective;
      planned.channel = &channel(group_of(op), instruction.lane);
    } else if (!backend_.supports(program_, op)) {
      const std::string why = backend_.why_not(op);
      throw Error(ErrorKind::kUnsupported,
                  fmt::format("{} backend: does not run {}{}{}", backend_.name(),
                              describe_op(program_, OpId{static_cast<std::int32_t>(plan_.size())}),
                              why.empty() ? "" : ": ", why));
    }
    plan_waits(planned, instruction);
    plan_.push_back(planned);
  }
  plan_memory_times();
  if (options_.trace == nullptr) plan_sequences();  // a trace wants to know when each op begins and ends
}

/// A lane's ops up to one that waits for another lane, is waited for, or is nothing that the backend runs.
void Executor::plan_sequences() {
  std::array<std::vector<std::int32_t>, kLanes> open;
  const auto close = [&](Lane lane) { keep_sequence(std::exchange(open[at(lane)], {})); };
  for (std::size_t i = 0; i < plan_.size(); ++i) {
    const Planned& planned = plan_[i];
    const bool is_memory = planned.kind == Kind::kAlloc || planned.kind == Kind::kFree || planned.kind == Kind::kHold;
    if (planned.waits > 0 || (planned.kind != Kind::kRun && !is_memory)) close(planned.lane);
    if (planned.kind == Kind::kRun) open[at(planned.lane)].push_back(static_cast<std::int32_t>(i));
    if (planned.record) close(planned.lane);
  }
  for (std::vector<std::int32_t>& ops : open) keep_sequence(ops);
}

void Executor::keep_sequence(const std::vector<std::int32_t>& places) {
  if (places.size() < 2) return;
  std::vector<const Op*> ops;
  ops.reserve(places.size());
  for (std::int32_t place : places) ops.push_back(&program_.instruction(OpId{place}).op);
  auto sequence = backend_.keep(ops, arena_.memory(), plan_[static_cast<std::size_t>(places.front())].lane);
  if (sequence == nullptr) return;
  for (std::int32_t place : places) plan_[static_cast<std::size_t>(place)].sequence = sequence.get();
  plan_[static_cast<std::size_t>(places.front())].leads = true;
  sequences_.push_back(std::move(sequence));
}

LaunchCounts Executor::launches() const {
  LaunchCounts all;
  all.ops = std::count_if(plan_.begin(), plan_.end(), [](const Planned& p) { return p.kind == Kind::kRun; });
  for (const auto& sequence : sequences_) {
    const LaunchCounts counts = sequence->counts();
    all.in_graphs += counts.in_graphs;
    all.graphs += counts.graphs;
  }
  return all;
}

/// An Alloc or Free happens, for the trace, when the next op of its lane starts: that costs the lane nothing.
void Executor::plan_memory_times() {
  std::array<OpId, kLanes> next{};
  for (std::size_t i = plan_.size(); i-- > 0;) {
    Planned& planned = plan_[i];
    OpId& next_of_lane = next[at(planned.lane)];
    planned.next = next_of_lane;
    const bool has_slice = planned.kind != Kind::kAlloc && planned.kind != Kind::kFree && planned.kind != Kind::kHold;
    if (has_slice) next_of_lane = OpId{static_cast<std::int32_t>(i)};
  }
}

/// Of the ops to wait for only the last of each lane matters, and none that this lane has waited for already.
void Executor::plan_waits(Planned& planned, const Instruction& instruction) {
  planned.first_wait = static_cast<std::uint32_t>(waits_.size());
  auto& waited = waited_[at(instruction.lane)];
  std::array<OpId, kLanes> last{};
  for (OpId op : instruction.after) {
    SS_CHECK(op.valid() && at(op) < plan_.size(), op.index, plan_.size());
    OpId& seen = last[at(plan_[at(op)].lane)];
    seen = std::max(seen, op);
  }
  for (std::size_t lane = 0; lane < last.size(); ++lane) {
    const OpId op = last[lane];
    if (lane == at(instruction.lane) || !op.valid() || op <= waited[lane]) continue;
    waited[lane] = op;
    plan_[at(op)].record = true;
    waits_.push_back({static_cast<Lane>(lane), op});
  }
  planned.waits = static_cast<std::uint32_t>(waits_.size()) - planned.first_wait;
}

Executor::Channel& Executor::channel(GroupId group, Lane lane) {
  SS_CHECK(options_.connect != nullptr, group.index);
  Channel& channel = channels_[{group, lane}];
  if (channel.comm == nullptr) {
    channel.group = &program_.group(group);
    channel.comm = options_.connect(*channel.group, lane);
  }
  return channel;
}

void Executor::run_step(std::int64_t step, const StepScalars& scalars) {
  step_ = static_cast<std::int32_t>(step);
  scalars_ = scalars;
  running_step_.store(step_, std::memory_order_relaxed);
  backend_.mark_step(step);
  const auto count = static_cast<std::int32_t>(plan_.size());
  for (std::int32_t i = 0; i < count; ++i) issue(i);
  backend_.synchronize();
  backend_.mark_step({});
  running_step_.store(-1, std::memory_order_relaxed);
  arena_.check_step_end();
  if (options_.trace != nullptr) write_memory_events();
}

std::optional<Executor::Overflow> Executor::find_overflow(std::int64_t step, const StepScalars& scalars) {
  first_overflow_.reset();
  is_watching_ = true;
  run_step(step, scalars);
  is_watching_ = false;
  return first_overflow_;
}

/// On the lane's thread, right after an op. Rows of CopyRows leave gaps; the largest logit of no column, and the
/// log-sum-exp of no key, are -infinity.
void Executor::watch(std::int32_t index) {
  const Op& op = program_.instruction(OpId{index}).op;
  if (std::holds_alternative<CopyRows>(op)) return;
  for_each_access(op, [&](const char* name, const Region& region, Access access) {
    const std::string_view field(name);
    if (field == "top" || field == "lse") return;
    if (access == Access::kRead || is_finite(arena_.memory(), region)) return;
    const std::lock_guard lock(overflow_mutex_);
    if (!first_overflow_ || index < first_overflow_->op.index) first_overflow_ = {OpId{index}, region.buffer};
  });
}

void Executor::issue(std::int32_t index) {
  const Planned& planned = plan_[static_cast<std::size_t>(index)];
  for (std::uint32_t w = 0; w < planned.waits; ++w) {
    const Wait& wait = waits_[planned.first_wait + w];
    backend_.wait(planned.lane, wait.other, points_[at(wait.on)]);
  }
  switch (planned.kind) {
    case Kind::kAlloc:
    case Kind::kFree:
      issue_memory(planned, OpId{index});
      break;
    case Kind::kHold:
      break;
    case Kind::kRun:
      if (planned.sequence == nullptr || is_watching_) {
        run_on_lane(index);
      } else if (planned.leads) {
        backend_.run(*planned.sequence, scalars_);
      }
      break;
    case Kind::kCollective:
      if (planned.channel->comm->enqueues()) {
        enqueue_collective(index);
        break;
      }
      [[fallthrough]];
    case Kind::kLoadBatch:
    case Kind::kNvme:
      backend_.call_op(program_.instruction(OpId{index}).op, arena_.memory(), planned.lane,
                       [this, index] { do_work(index); });
      break;
  }
  if (is_watching_ && (planned.kind == Kind::kRun || planned.kind == Kind::kCollective)) {
    backend_.call(planned.lane, [this, index] { watch(index); });
  }
  if (planned.record) points_[static_cast<std::size_t>(index)] = backend_.record(planned.lane);
}

/// Counted at once, in program order; the time in the trace is when the lane gets there, known at the end of the step.
void Executor::issue_memory(const Planned& planned, OpId op) {
  planned.kind == Kind::kAlloc ? arena_.allocate(planned.buffer, op) : arena_.release(planned.buffer, op);
  if (options_.trace == nullptr) return;
  const Buffer& buffer = program_.buffer(planned.buffer);
  const std::int64_t live =
      arena_.live().bytes[static_cast<std::size_t>(buffer.space)][static_cast<std::size_t>(buffer.category)];
  memory_events_.push_back(
      {.op = op, .step = step_, .space = buffer.space, .category = buffer.category, .live_bytes = live});
}

void Executor::run_on_lane(std::int32_t index) {
  const Instruction& instruction = program_.instruction(OpId{index});
  stamp_start(index);
  backend_.run(instruction.op, arena_.memory(), scalars_, instruction.lane);
  stamp_end(index);
}

/// A collective that goes into the lane's queue like an op, on the thread that fills it.
void Executor::enqueue_collective(std::int32_t index) {
  stamp_start(index);
  const Instruction& instruction = program_.instruction(OpId{index});
  backend_.enqueue(instruction.op, arena_.memory(), instruction.lane, [this, index] { do_work(index); });
  stamp_end(index);
}

void Executor::stamp_start(std::int32_t index) {
  if (options_.trace == nullptr) return;
  backend_.stamp(plan_[static_cast<std::size_t>(index)].lane, [this, index](std::int64_t at_ns) {
    start_ns_[static_cast<std::size_t>(index)] = at_ns - options_.trace_start_ns;
  });
}

void Executor::stamp_end(std::int32_t index) {
  if (options_.trace == nullptr) return;
  backend_.stamp(plan_[static_cast<std::size_t>(index)].lane,
                 [this, index](std::int64_t at_ns) { write_slice(index, at_ns - options_.trace_start_ns, 0); });
}

/// On the lane's thread: an op that is host work.
void Executor::do_work(std::int32_t index) {
  const Planned& planned = plan_[static_cast<std::size_t>(index)];
  const Op& op = program_.instruction(OpId{index}).op;
  std::atomic<std::int32_t>& host_work = host_work_[at(planned.lane)];
  host_work.store(index, std::memory_order_relaxed);
  const bool enqueues = planned.channel != nullptr && planned.channel->comm->enqueues();
  const bool is_traced = options_.trace != nullptr && !enqueues;
  if (is_traced) start_ns_[static_cast<std::size_t>(index)] = trace_now();
  try {
    if (planned.kind == Kind::kCollective) {
      planned.channel->calls.fetch_add(1, std::memory_order_relaxed);
      std::visit(CollectiveCall{*planned.channel->comm, arena_.memory()}, op);
    } else if (planned.kind == Kind::kNvme) {
      std::visit(NvmeCall{arena_.memory()}, op);
    } else if (const auto* tokens = std::get_if<LoadTokens>(&op)) {
      load_tokens(*tokens);
    } else {
      load_batch(std::get<LoadBatch>(op));
    }
  } catch (const PeerStopped&) {
    throw;
  } catch (const std::exception& error) {
    fail(index, error);
  }
  host_work.store(-1, std::memory_order_relaxed);
  if (is_traced)
    write_slice(index, trace_now(), planned.channel == nullptr ? 0 : planned.channel->comm->last_wait_ns());
}

void Executor::load_batch(const LoadBatch& op) const {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(op.tokens.count)), targets(tokens.size());
  options_.batches->fill_part(step_, op.micro_batch, op.part, op.seq, tokens.data(), targets.data());
  check_tokens(tokens, vocabulary_, "token");
  check_tokens(targets, vocabulary_, "target");
  write_region(arena_.memory(), op.tokens, tokens.data());
  write_region(arena_.memory(), op.targets, targets.data());
}

void Executor::load_tokens(const LoadTokens& op) const {
  const auto integers = [](const Region& r) { return std::vector<std::int32_t>(static_cast<std::size_t>(r.count)); };
  std::vector<std::int32_t> tokens = integers(op.tokens), starts = integers(op.starts), counts = integers(op.counts);
  options_.tokens->fill(tokens, starts, counts);
  check_tokens(tokens, vocabulary_, "token");
  write_region(arena_.memory(), op.tokens, tokens.data());
  write_region(arena_.memory(), op.starts, starts.data());
  write_region(arena_.memory(), op.counts, counts.data());
}

void Executor::fail(std::int32_t index, const std::exception& error) {
  const auto* known = dynamic_cast<const Error*>(&error);
  throw Error(known == nullptr ? ErrorKind::kDevice : known->kind(),
              fmt::format("{}: {}", describe_op(program_, OpId{index}), error.what()));
}

/// On the thread of the lane that failed, while others may wait for peers that wait for us.
void Executor::report(const std::exception_ptr& error) const {
  if (!options_.on_failure) return;
  try {
    std::rethrow_exception(error);
  } catch (const PeerStopped&) {  // they know
  } catch (const Error& known) {
    options_.on_failure(known);
  } catch (const std::exception& unknown) {
    options_.on_failure(Error(ErrorKind::kDevice, unknown.what()));
  }
}

std::int64_t Executor::trace_now() const { return steady_now_ns() - options_.trace_start_ns; }

void Executor::write_slice(std::int32_t index, std::int64_t end_ns, std::int64_t wait_ns) {
  const std::int64_t start = start_ns_[static_cast<std::size_t>(index)];
  options_.trace->slice({.op = OpId{index},
                         .step = step_,
                         .lane = plan_[static_cast<std::size_t>(index)].lane,
                         .start_ns = start,
                         .duration_ns = end_ns - start,
                         .wait_ns = wait_ns});
}

/// In program order, with times that do not run backwards: lanes get there in another order.
void Executor::write_memory_events() {
  const std::int64_t end_ns = trace_now();
  std::int64_t last_ns = 0;
  for (MemoryEvent& event : memory_events_) {
    const OpId next = plan_[at(event.op)].next;
    last_ns = std::max(last_ns, next.valid() ? start_ns_[at(next)] : end_ns);
    event.time_ns = last_ns;
    options_.trace->memory(event);
  }
  memory_events_.clear();
}

}  // namespace shardscope
