#include "simulator/calibrate/calibrate.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <ctime>
#include <fstream>
#include <optional>
#include <set>
#include <thread>

#include "core/engine/sequence_source.h"
#include "simulator/calibrate/measure_collectives.h"
#include "simulator/calibrate/measure_drive.h"
#include "simulator/calibrate/probe.h"
#include "simulator/calibrate/probe_ops.h"
#include "simulator/cost/op_family.h"

namespace shardscope {

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

namespace {

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d", &utc);
  return text;
}

class Calibration {
 public:
  Calibration(const BackendFactory& make_backend, const CalibrateOptions& options)
      : make_backend_(make_backend), options_(options) {
    machine_.cores = options.cores > 0 ? options.cores : static_cast<int>(std::thread::hardware_concurrency());
    machine_.cores = std::max(1, machine_.cores);
  }

  Machine run() {
    machine_.name = fmt::format("{} cores of {}", machine_.cores, processor_name());
    machine_.calibrated = true;
    machine_.drive = default_machine(machine_.cores).drive;  // not measured yet: the guess
    machine_.source = fmt::format("shardscope calibrate, {}, {}", today(), machine_.name);
    measure_swapping();  // first: a folder that is not there is said at once
    for (int threads : thread_counts()) measure_with(threads);
    measure_loading();
    measure_ranks();
    measure_crowding();
    machine_.core_peak = best_rate(1);
    machine_.machine_peak = best_rate(machine_.cores);
    return std::move(machine_);
  }

 private:
  // One, all, and the half between on larger machines.
  std::set<int> thread_counts() const {
    std::set<int> counts{1, machine_.cores};
    if (machine_.cores >= 4) counts.insert(machine_.cores / 2);
    return counts;
  }

  void say(const std::string& text) const {
    if (options_.progress) options_.progress(text);
  }

  template <class T>
  std::vector<T> thinned(const std::vector<T>& all) const {
    if (options_.detail >= 1) return all;
    const auto stride = static_cast<std::size_t>(std::ceil(1 / options_.detail));
    std::vector<T> kept;
    for (std::size_t i = 0; i < all.size(); i += stride) kept.push_back(all[i]);
    return kept;
  }

  void measure_with(int threads) {
    ProbeTeam team(make_backend_, machine_.cores / threads, threads);
    if (threads == 1) measure_lanes(team);
    say(fmt::format("element-wise ops, {} x {} threads", machine_.cores / threads, threads));
    measure_families(team);
    say(fmt::format("matrix products, {} x {} threads", machine_.cores / threads, threads));
    measure_matmuls(team);
    say(fmt::format("attention, {} x {} threads", machine_.cores / threads, threads));
    measure_attentions(team);
  }

  void measure_lanes(ProbeTeam& team) {
    say("lanes");
    const double tiny = team.lane_seconds();
    machine_.op_overhead = Seconds(tiny);
    machine_.wake_latency = Seconds(std::max(team.wake_seconds() - tiny, 1e-9));
    machine_.step_overhead = Seconds(std::max(team.round_trip_seconds() - tiny, 1e-9));
  }

  // Measures again what took longer than `limit`: more threads are never much slower than one, unless something else
  // had a core and the others waited for it.
  double measure(ProbeTeam& team, const MakeOp& make, std::optional<double> limit) const {
    const std::int64_t rotation = options_.detail < 1 ? kRotationBytes / 32 : kRotationBytes;
    double seconds = team.seconds(make, rotation);
    for (int again = 0; limit && seconds > *limit * kSlowerIsSuspect && again < 3; ++again) {
      seconds = std::min(seconds, team.seconds(make, rotation));
    }
    return seconds;
  }

  // What one thread took for the same, if it was measured.
  std::optional<double> on_one_thread(const std::string& family, double work) const {
    for (const FamilyCurve& f : machine_.families) {
      if (f.family == family && f.threads == 1) return f.seconds.at(work);
    }
    return std::nullopt;
  }
  std::optional<double> on_one_thread(const MatMulPoint& p) const {
    for (const MatMulPoint& q : machine_.matmuls) {
      const bool same = q.m == p.m && q.n == p.n && q.k == p.k && q.trans_a == p.trans_a && q.trans_b == p.trans_b;
      if (q.threads == 1 && same && q.accumulate == p.accumulate && q.dtype == p.dtype) return q.seconds;
    }
    return std::nullopt;
  }
  std::optional<double> on_one_thread(const AttentionPoint& p) const {  // each thread has as many heads
    for (const AttentionPoint& q : machine_.attentions) {
      const bool same = q.seq == p.seq && q.heads == p.heads && q.head_dim == p.head_dim && q.backward == p.backward;
      if (q.threads == 1 && same && q.dtype == p.dtype) return q.seconds;
    }
    return std::nullopt;
  }

  // More work never takes less time; where it seems to, the smaller was disturbed.
  static void make_monotone(std::vector<CurvePoint>& points) {
    for (std::size_t i = points.size(); i-- > 1;) points[i - 1].y = std::min(points[i - 1].y, points[i].y);
  }

  void measure_families(ProbeTeam& team) {
    for (const FamilyProbe& probe : thinned_families()) {
      std::vector<CurvePoint> points;
      for (std::int64_t elements : sizes_of(probe)) {
        const MakeOp make = [&](ProbeProgram& p) { return probe.make(p, elements); };
        ProbeProgram sample;
        const auto work = family_work(sample.program(), make(sample));
        if (!work || (!points.empty() && work->work <= points.back().x)) continue;
        const double x = std::max(work->work, 1.0);
        points.push_back({x, measure(team, make, on_one_thread(probe.family, x))});
      }
      make_monotone(points);
      machine_.families.push_back({probe.family, team.threads(), Curve(points)});
      if (probe.family == "copy" && team.threads() == 1) note_memory(points);
    }
  }

  // Of 16-bit families fewer sizes: half as many for bf16, two for fp16, which hardly anybody trains in on a CPU.
  std::vector<std::int64_t> sizes_of(const FamilyProbe& probe) const {
    std::vector<std::int64_t> all = thinned(probe.is_flat ? flat_sizes_ : sizes_);
    if (probe.dtype == DType::kF32) return all;
    std::vector<std::int64_t> kept;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const bool is_end = i == 1 || i + 1 == all.size();
      if (probe.dtype == DType::kBF16 ? i % 2 == 0 || is_end : is_end) kept.push_back(all[i]);
    }
    return kept.empty() ? all : kept;
  }

  std::vector<FamilyProbe> thinned_families() const {
    std::vector<FamilyProbe> kept = thinned(family_probes());
    const auto is_copy = [](const FamilyProbe& f) { return f.family == "copy"; };
    if (std::none_of(kept.begin(), kept.end(), is_copy)) {
      kept.push_back(*std::find_if(family_probes().begin(), family_probes().end(), is_copy));
    }
    return kept;
  }

  // Copies past every cache, on all cores at once, are what the memory can do. The caches end where a copy's rate has
  // come half-way down to it.
  void note_memory(const std::vector<CurvePoint>& copies) {
    const double past = copies.back().x / copies.back().y;
    double best = 0;
    for (const CurvePoint& p : copies) best = std::max(best, p.x / p.y);
    machine_.memory_bandwidth = BytesPerSecond(past * machine_.cores);
    machine_.cache = Bytes(copies.back().x);
    for (auto p = copies.rbegin(); p != copies.rend() && p->x / p->y < std::sqrt(best * past) * 1.001; ++p) {
      machine_.cache = Bytes(p->x);
    }
  }

  std::vector<MatMulPoint> matmul_grid(int threads) const {
    std::vector<MatMulPoint> grid;
    for (double m : kSizes) {
      for (double n : kSizes) {
        for (double k : kSizes) {
          if (m * n * k <= kLargestProduct) grid.push_back({threads, m, n, k, false, false, false, 0});
        }
      }
    }
    return grid;
  }

  void measure_matmuls(ProbeTeam& team) {
    std::vector<MatMulPoint> grid = thinned(matmul_grid(team.threads()));
    for (std::size_t i = 0, shapes = grid.size(); i < shapes; i += 3) {  // a third of them in bf16 too
      grid.push_back(grid[i]);
      grid.back().dtype = DType::kBF16;
    }
    for (MatMulPoint point : grid) {
      for (int variant = 0; variant < 5; ++variant) {  // plain, a transposed, each also adding to c; b transposed
        point.trans_a = variant % 2 == 1;
        point.trans_b = variant == 4;
        point.accumulate = variant == 2 || variant == 3;
        point.seconds = measure(
            team, [&](ProbeProgram& p) { return make_matmul(p, point); }, on_one_thread(point));
        machine_.matmuls.push_back(point);
      }
    }
  }

  void measure_attentions(ProbeTeam& team) {
    for (double seq : thinned(std::vector<double>{32, 64, 128, 256, 512, 1024})) {
      for (double head_dim : {16, 32, 64, 128}) {
        for (double group : {1, 4}) {
          if (group > 1 && (seq < 64 || head_dim == 16)) continue;
          for (const auto& [backward, dtype] :
               {std::pair{false, DType::kF32}, {true, DType::kF32}, {false, DType::kBF16}, {true, DType::kBF16}}) {
            if (dtype != DType::kF32 && (group > 1 || head_dim == 16)) continue;
            AttentionPoint point{
                team.threads(), backward, static_cast<double>(team.threads()), seq, 2 * group, 2, head_dim, 0, dtype};
            point.seconds = measure(
                team, [&](ProbeProgram& p) { return make_attention(p, point); }, on_one_thread(point));
            machine_.attentions.push_back(point);
          }
        }
      }
    }
  }

  // Reading a batch: from random numbers, as what data costs to read depends on the data. Guess for real text.
  void measure_loading() {
    const auto source = make_random_sequences(256, 128, 1);
    std::vector<CurvePoint> points;
    for (std::int64_t rows : {1, 16}) {
      BatchSource batches(*source, 1, 0, rows, 1);
      std::vector<std::int32_t> tokens(static_cast<std::size_t>(rows * 128)), targets(tokens.size());
      constexpr int kRepeats = 50;
      const auto begin = std::chrono::steady_clock::now();
      for (int i = 0; i < kRepeats; ++i) batches.fill(i, 0, tokens.data(), targets.data());
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      points.push_back({static_cast<double>(rows * 128 * 8), seconds / kRepeats});
    }
    machine_.families.push_back({"load_batch", 1, Curve(points)});
  }

  void measure_ranks() {
    std::set<int> counts{2, 3, 4};
    for (int ranks = 8; ranks <= machine_.cores; ranks *= 2) counts.insert(ranks);
    if (options_.detail < 1) counts = {2};
    for (int ranks : counts) {
      say(fmt::format("collectives of {} ranks", ranks));
      const auto curves = measure_collectives(ranks);
      machine_.collectives.insert(machine_.collectives.end(), curves.begin(), curves.end());
    }
  }

  // Curves are measured with all cores busy, so as many ranks as cores do `cores` cores' worth of work by definition.
  void measure_crowding() {
    std::vector<int> counts;
    for (int ranks : std::set<int>{2, 3, 4, machine_.cores + 1, 2 * machine_.cores}) {
      if (ranks > machine_.cores && options_.detail >= 1) counts.push_back(ranks);
    }
    say("more ranks than cores");
    machine_.core_capacity = measure_core_capacity(make_backend_, machine_.cores, counts);
    counts.insert(counts.begin(), machine_.cores);
    machine_.crowded_meeting = measure_crowded_meetings(make_backend_, machine_, counts);
  }

  void measure_swapping() {
    machine_.drive = default_machine(machine_.cores).drive;
    if (options_.nvme_folder.empty()) return;
    say("the drive of " + options_.nvme_folder);
    machine_.drive =
        measure_drive(options_.nvme_folder, options_.detail < 1 ? 8 << 20 : 256 << 20, *make_backend_(0, 1));
  }

  FlopPerSecond best_rate(int threads) const {
    double best = 1;
    for (const MatMulPoint& p : machine_.matmuls) {
      if (p.threads == threads) best = std::max(best, 2 * p.m * p.n * p.k / p.seconds);
    }
    return FlopPerSecond(best);
  }

  // Multiples of 8, as real shapes are, but no powers of two: those meet cache conflicts of their own.
  static constexpr std::array kSizes{72.0, 208.0, 480.0, 1088.0, 2816.0};
  static constexpr double kSlowerIsSuspect = 1.3;
  static constexpr double kLargestProduct = 1 << 28;  // m n k: half a GFLOP, some milliseconds
  static inline const std::vector<std::int64_t> sizes_{1 << 10, 1 << 13, 1 << 16, 1 << 18, 1 << 20, 1 << 22};
  static inline const std::vector<std::int64_t> flat_sizes_{1 << 10, 1 << 13, 1 << 16, 1 << 18,
                                                            1 << 20, 1 << 22, 1 << 23};

  const BackendFactory& make_backend_;
  const CalibrateOptions& options_;
  Machine machine_;
};

}  // namespace

Machine calibrate(const BackendFactory& make_backend, const CalibrateOptions& options) {
  return Calibration(make_backend, options).run();
}

}  // namespace shardscope
