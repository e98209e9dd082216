#include "profiler/query/rank_work.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <unordered_map>

#include "core/error.h"
#include "profiler/query/host_ranges.h"
#include "profiler/store/chunks.h"

namespace shardscope {
namespace {

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

/// Of a call of CUDA's (HIP's) runtime or driver.
HostKind kind_of_call(const std::string& name) {
  if (has(name, "Synchronize")) return HostKind::kSync;
  const bool copies = has(name, "Memcpy");
  if (copies && !has(name, "Async")) return HostKind::kSync;
  for (const char* word : {"Malloc", "Free", "HostAlloc", "HostRegister", "MemCreate", "MemMap", "MemAlloc", "MemUnmap",
                           "MemRelease", "MemSetAccess", "HostUnregister"})
    if (has(name, word)) return HostKind::kAllocation;
  return HostKind::kOther;  // a launch, if its correlation is that of something on a device
}

WorkOp read_op(const Rows& rows) {
  WorkOp op;
  op.kind = rows.text(1);
  op.name = rows.text(4);
  op.phase = from_name<Phase>(rows.text(3));
  const std::string lane = rows.text(2);
  const bool works = op.kind != "alloc" && op.kind != "free" && op.kind != "hold";
  op.activity = works ? activity_of(work_class(lane, rows.text(3), rows.integer(5) != 0)) : Activity::kNone;
  op.on_device = op.activity != Activity::kNone;
  op.opaque = op.kind == "graph";
  if (!rows.is_null(6)) op.group = rows.text(6);
  if (!rows.is_null(7)) op.group_size = rows.small(7);
  op.flops = rows.real(8);
  op.bytes = rows.integer(9);
  if (!rows.is_null(10)) op.collective_bytes = rows.integer(10);
  if (op.on_device || !works) return op;
  op.host = host_kind(op.kind, op.name);
  op.is_range = is_range(op.kind);
  op.says_phase = phase_of_range(op.kind, op.name);
  return op;
}

using ByCorrelation = std::unordered_map<std::int64_t, std::int32_t>;

/// Calls that put something on a device, and those of them that came back only after it was done.
void tie_launches(RankWork& work, const std::vector<std::int64_t>& correlations, const ByCorrelation& calls) {
  for (std::size_t i = 0; i < work.device.size(); ++i) {
    const auto found = correlations[i] == 0 ? calls.end() : calls.find(correlations[i]);
    if (found == calls.end()) continue;
    DeviceSlice& slice = work.device[i];
    slice.launch = found->second;
    HostSlice& call = work.host[static_cast<std::size_t>(found->second)];
    const bool waited = has(work.op(call.op).name, "Memcpy") && slice.time.end_ns <= call.time.end_ns;
    if (call.kind == HostKind::kOther) call.kind = HostKind::kLaunch;
    if (call.kind == HostKind::kLaunch && waited) call.kind = HostKind::kSync;
  }
}

void find_ranges(RankWork& work, RangeFinder& finder) {
  finder.finish();
  std::vector<RangeFinder::Found> of_call;
  of_call.reserve(work.host.size());
  for (const HostSlice& call : work.host) of_call.push_back(finder.at(call.track, call.time.begin_ns));
  for (DeviceSlice& slice : work.device) {
    slice.phase = work.op(slice.op).phase;
    if (slice.launch < 0) continue;
    const RangeFinder::Found& found = of_call[static_cast<std::size_t>(slice.launch)];
    slice.range = found.range;
    if (!slice.phase) slice.phase = found.phase;
  }
}

/// Calls that launch nothing and wait for nothing say nothing.
void leave_out_others(RankWork& work) {
  std::vector<std::int32_t> moved(work.host.size(), -1);
  std::int32_t kept = 0;
  for (std::size_t i = 0; i < work.host.size(); ++i) {
    if (work.host[i].kind == HostKind::kOther) continue;
    moved[i] = kept;
    work.host[static_cast<std::size_t>(kept++)] = work.host[i];
  }
  work.host.resize(static_cast<std::size_t>(kept));
  for (DeviceSlice& slice : work.device)
    if (slice.launch >= 0) slice.launch = moved[static_cast<std::size_t>(slice.launch)];
}

template <class T>
std::vector<std::size_t> order_by_begin(const std::vector<T>& slices) {
  std::vector<std::size_t> order(slices.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return slices[a].time.begin_ns < slices[b].time.begin_ns; });
  return order;
}

template <class T>
std::vector<T> in_order(const std::vector<T>& from, const std::vector<std::size_t>& order) {
  std::vector<T> to;
  to.reserve(from.size());
  for (std::size_t i : order) to.push_back(from[i]);
  return to;
}

RankWork cut(const RankWork& from, TimeWindow window) {
  RankWork to{from.rank, from.ops, from.tracks, {}, {}};
  std::vector<std::int32_t> moved(from.host.size(), -1);
  for (std::size_t i = 0; i < from.host.size(); ++i) {
    const HostSlice& slice = from.host[i];
    if (slice.time.begin_ns >= window.end_ns || slice.time.end_ns <= window.begin_ns) continue;
    moved[i] = static_cast<std::int32_t>(to.host.size());
    to.host.push_back(slice);
  }
  for (const DeviceSlice& slice : from.device) {
    if (slice.time.begin_ns >= window.end_ns || slice.time.end_ns <= window.begin_ns) continue;
    to.device.push_back(slice);
    std::int32_t& launch = to.device.back().launch;
    if (launch >= 0) launch = moved[static_cast<std::size_t>(launch)];
  }
  return to;
}

/// What we recorded has the calls of "thread 7" in a track "thread 7 CUDA".
std::string thread_of(const std::string& lane) {
  constexpr std::string_view kCalls = " CUDA";
  return lane.ends_with(kCalls) ? lane.substr(0, lane.size() - kCalls.size()) : lane;
}

TimeWindow with_margins(TimeWindow window) {
  return {window.begin_ns - window.length(), window.end_ns + window.length()};
}

}  // namespace

bool is_range(const std::string& kind) {
  return kind == "cpu_op" || kind == "annotation" || kind == "user_annotation" || kind.starts_with("nvtx");
}

std::optional<HostKind> host_kind(const std::string& kind, const std::string& name) {
  if (kind == "runtime" || kind == "driver") return kind_of_call(name);
  if (kind == "sync" || kind == "wait") {  // records of waits beside the calls; a stream that waits holds no host up
    if (has(lower(name), "wait event") || has(name, "WaitEvent")) return std::nullopt;
    return HostKind::kSync;
  }
  const std::string text = lower(name);
  for (const char* word :
       {"dataloader", "data_load", "data load", "load_batch", "next_batch", "get_batch", "load data"})
    if (has(text, word)) return HostKind::kData;
  return std::nullopt;
}

std::optional<Phase> phase_of_range(const std::string& kind, const std::string& name) {
  if (kind == "python" || kind == "runtime" || kind == "driver") return std::nullopt;
  if (name.starts_with("autograd::engine::evaluate_function")) return Phase::kBackward;
  if (name.starts_with("Optimizer.step#")) return Phase::kOptimizer;
  if (kind == "cpu_op" || !is_range(kind)) return std::nullopt;
  const std::string text = lower(name);
  if (has(text, "backward")) return Phase::kBackward;
  if (has(text, "optimizer") && !has(text, "zero_grad")) return Phase::kOptimizer;
  if (has(text, "forward")) return Phase::kForward;
  return std::nullopt;
}

RankWorkReader::RankWorkReader(const Profile& profile, std::int64_t run, int rank)
    : profile_(profile), run_(run), rank_(rank) {
  Rows rows = profile.rows(
      "SELECT o.op, o.kind, o.lane, o.phase, o.name, o.communication, o.group_name, o.group_size, o.flops, o.bytes, "
      "o.collective_bytes FROM rank k JOIN op o ON o.program = k.program WHERE k.run = ? AND k.rank = ? ORDER BY o.op",
      {Value(run), Value(std::int64_t{rank})});
  while (rows.next()) {
    if (rows.integer(0) != static_cast<std::int64_t>(ops_.size()))
      throw Error(ErrorKind::kParse, profile.path() + ": damaged (ops of a program have gaps)");
    ops_.push_back(read_op(rows));
    has_device_ = has_device_ || ops_.back().on_device;
    has_host_ = has_host_ || (ops_.back().host && *ops_.back().host != HostKind::kData);
  }
  Rows tracks = profile.rows("SELECT id, lane FROM track WHERE run = ? AND rank = ? ORDER BY id",
                             {Value(run), Value(std::int64_t{rank})});
  while (tracks.next()) tracks_.push_back({tracks.integer(0), tracks.text(1)});
}

std::int64_t RankWorkReader::slices_in(TimeWindow window) const {
  Rows rows = profile_.rows(
      "SELECT coalesce(sum(c.slices), 0) FROM track t JOIN slice_chunk c ON c.track = t.id WHERE t.run = ? AND t.rank "
      "= ? AND c.start_ns < ? AND c.end_ns > ?",
      {Value(run_), Value(std::int64_t{rank_}), Value(window.end_ns), Value(window.begin_ns)});
  return rows.next() ? rows.integer(0) : 0;
}

RankWork RankWorkReader::read(TimeWindow window) const {
  RankWork work;
  work.rank = rank_;
  work.ops = &ops_;
  std::vector<std::int64_t> of_device, of_host;  // correlations
  RangeFinder ranges(ops_);
  std::unordered_map<std::string, int> threads;
  for (const Track& track : tracks_) {
    const int index = static_cast<int>(work.tracks.size());
    work.tracks.push_back(track.lane);
    const int thread = threads.try_emplace(thread_of(track.lane), index).first->second;
    Rows rows = profile_.rows("SELECT start_ns, data FROM slice_chunk WHERE track = ? AND start_ns < ? AND end_ns > ?",
                              {Value(track.id), Value(window.end_ns), Value(window.begin_ns)});
    while (rows.next()) {
      const bool whole = decode_slices(rows.bytes(1), rows.integer(0), [&](const SliceEvent& e) {
        constexpr std::int64_t kFar = INT64_MAX / 4;  // of a hostile file: sums of times must not overflow
        if (e.start_ns < -kFar || e.start_ns > kFar || e.duration_ns > kFar) return;
        const TimeWindow time{e.start_ns, e.start_ns + e.duration_ns};
        if (e.op.index < 0 || static_cast<std::size_t>(e.op.index) >= ops_.size() || e.duration_ns < 0) return;
        if (time.begin_ns >= window.end_ns || time.end_ns <= window.begin_ns) return;
        const WorkOp& op = ops_[static_cast<std::size_t>(e.op.index)];
        if (op.on_device) {
          const std::int64_t waits = std::clamp<std::int64_t>(e.wait_ns, 0, e.duration_ns);
          work.device.push_back({e.op.index, e.step, index, op.activity, time, waits, -1, std::nullopt});
          of_device.push_back(e.correlation);
        } else if (op.host) {
          work.host.push_back({e.op.index, thread, *op.host, time});
          of_host.push_back(e.correlation);
        }
        if (op.is_range || op.says_phase) ranges.add(thread, time, e.op.index);
      });
      if (!whole) throw Error(ErrorKind::kParse, profile_.path() + ": damaged (slice_chunk.data)");
    }
  }
  const std::vector<std::size_t> device_order = order_by_begin(work.device), host_order = order_by_begin(work.host);
  work.device = in_order(work.device, device_order);
  work.host = in_order(work.host, host_order);
  of_device = in_order(of_device, device_order);
  of_host = in_order(of_host, host_order);
  ByCorrelation calls;
  for (std::size_t i = 0; i < of_host.size(); ++i) {
    const bool is_call = work.host[i].kind != HostKind::kData;
    if (of_host[i] != 0 && is_call) calls.emplace(of_host[i], static_cast<std::int32_t>(i));
  }
  tie_launches(work, of_device, calls);
  find_ranges(work, ranges);
  leave_out_others(work);
  return work;
}

void for_each_step(const RankWorkReader& reader, const RunSteps& steps,
                   const std::function<void(const RunStep&, const RankWork&)>& f) {
  constexpr std::size_t kMostSteps = 16;  // read at once: a chunk may hold many short steps
  constexpr std::int64_t kMostSlices = 500'000;
  std::vector<RunStep> own;
  for (const RunStep& step : steps.steps)
    if (step.rank == reader.rank()) own.push_back(step);
  for (std::size_t first = 0; first < own.size();) {
    TimeWindow window = with_margins(own[first].time);
    std::size_t last = first + 1;
    for (; last < own.size() && last - first < kMostSteps; ++last) {
      const TimeWindow next = with_margins(own[last].time);
      const TimeWindow longer{std::min(window.begin_ns, next.begin_ns), std::max(window.end_ns, next.end_ns)};
      if (reader.slices_in(longer) > kMostSlices) break;
      window = longer;
    }
    const RankWork work = reader.read(window);
    for (; first < last; ++first) f(own[first], cut(work, with_margins(own[first].time)));
  }
}

}  // namespace shardscope
