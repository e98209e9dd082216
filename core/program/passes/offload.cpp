// offload: optimizer state and step on the host (ZeRO-Offload).
// Before: Adam on the device, on the shards that zero left. After: master parameters and moments live in host memory;
// each gradient shard goes to pinned memory as soon as it is reduced, in its own dtype, Adam runs on the host lane, and
// its result goes back to the device, in the model's dtype, chunk by chunk while Adam runs on the next.
// After optimizer, whose Adam ops it moves; before lifetimes, since device gradients then live only until they are
// copied.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/program/passes/draft.h"

namespace shardscope {
namespace {

class OptimizerOffload {
 public:
  explicit OptimizerOffload(Draft& draft)
      : program_(draft.program),
        overlaps_(draft.job->training.zero.overlap_comm),
        ratio_(draft.job->training.zero.offload_optimizer.ratio),
        host_(draft.job->training.zero.offload_optimizer.pin_memory ? Space::kPinned : Space::kHost) {}

  void run() {
    before_.resize(program_.instructions.size());
    after_.resize(program_.instructions.size());
    dropped_.assign(program_.instructions.size(), false);
    for (std::size_t i : find_moved()) move(i);
    copy_down();
    start_norm_early();
    merge();
  }

 private:
  /// All Adam ops; with ratio < 1 (Twin-Flow) the first 1 - ratio of the elements stay on the device.
  std::vector<std::size_t> find_moved() const {
    std::vector<std::size_t> all;
    std::int64_t total = 0, seen = 0;
    for (std::size_t i = 0; i < program_.instructions.size(); ++i) {
      const auto* adam = std::get_if<Adam>(&program_.instructions[i].op);
      if (adam == nullptr) continue;
      all.push_back(i);
      total += adam->param.count;
    }
    const auto stays = static_cast<std::int64_t>((1 - ratio_) * static_cast<double>(total));
    std::erase_if(all, [&](std::size_t i) {
      seen += std::get<Adam>(program_.instructions[i].op).param.count;
      return seen <= stays;
    });
    return all;
  }

  void move(std::size_t index) {
    Instruction& in = program_.instructions[index];
    Adam& adam = std::get<Adam>(in.op);
    const std::string name(program_.name(in.label.name));
    const Region gradient = adam.grad;

    for (const Region& moment : {adam.exp_avg, adam.exp_avg_sq}) program_.buffer(moment.buffer).space = host_;
    const Region value = move_param(adam, name);
    const Region result = adam.copy.empty() ? adam.param : adam.copy, before = std::exchange(last_copy_, adam.copy);
    adam.grad = add("host_grad." + name, gradient, Category::kGradient, Space::kPinned);
    adam.coefficient = on_host(adam.coefficient, coefficient_, "host_clip_coefficient");
    if (!adam.overflow.empty()) adam.overflow = on_host(adam.overflow, overflow_, "host_overflow");
    in.lane = Lane::kHost;
    emit(after_[index], Copy{result, value}, Lane::kH2D, in.label);
    // The next update must not write where this one's result still waits to go up: two lie side by side, by turns.
    if (!before.empty()) emit(after_[index], Hold{before}, Lane::kHost, in.label);

    const std::size_t reduced = last_writer(gradient, index);
    move_norm(gradient, reduced);
    down_.push_back({reduced, gradient, adam.grad});
  }

  /// As gradients are reduced. With overlap each keeps its memory until the next one goes down: who takes it then need
  /// not wait for the copy, which is long done.
  void copy_down() {
    std::stable_sort(down_.begin(), down_.end(), [](const Down& a, const Down& b) { return a.reduced < b.reduced; });
    Region before;
    for (const Down& d : down_) {
      const Label& label = program_.instructions[d.reduced].label;
      if (overlaps_ && !before.empty()) emit(after_[d.reduced], Hold{before}, Lane::kD2H, label);
      emit(after_[d.reduced], Copy{d.gradient, d.host}, Lane::kD2H, label);
      before = d.gradient;
    }
  }

  /// Gives Adam a master on the host, or takes the one it has there; returns the parameters on the device that wait for
  /// its result. In 16 bits the result comes back as Adam's rounded copy.
  Region move_param(Adam& adam, const std::string& name) {
    if (adam.copy.empty()) {
      const Region value = adam.param;
      adam.param = add("master." + name, value, Category::kMaster, host_);
      add_master_state(adam.exp_avg, adam.param);
      return value;
    }
    const Region value = adam.copy;
    program_.buffer(adam.param.buffer).space = host_;
    adam.copy = add("host_copy." + name, value, Category::kWorkspace, Space::kPinned);
    return value;
  }

  /// A buffer as large as `like`, in its dtype.
  Region add(const std::string& name, Region like, Category category, Space space) {
    const bool persistent = category == Category::kMaster;
    const DType dtype = program_.buffer(like.buffer).dtype;
    return program_.whole(program_.add_buffer({name, dtype, like.count, category, space, persistent}));
  }

  static void emit(std::vector<Instruction>& out, Op op, Lane lane, const Label& label) {
    out.push_back({std::move(op), lane, label, {}});
  }

  /// The master copy holds the elements whose moments lie in `moments`.
  void add_master_state(Region moments, Region master) {
    const std::vector<StatePiece> pieces = program_.state;
    for (StatePiece piece : pieces) {
      if (piece.role != StateRole::kExpAvg || !piece.home.overlaps(moments)) continue;
      piece.role = StateRole::kMaster;
      piece.home = master.part(piece.home.offset - moments.offset, piece.home.count);
      program_.state.push_back(piece);
    }
  }

  /// A copy of what ClipCoefficient leaves where the host can read it, made once.
  Region on_host(Region on_device, Region& copy, const char* name) {
    if (!copy.empty()) return copy;
    copy = add(name, on_device, Category::kWorkspace, Space::kPinned);
    for (std::size_t i = 0; i < program_.instructions.size(); ++i) {
      if (!std::holds_alternative<ClipCoefficient>(program_.instructions[i].op)) continue;
      emit(after_[i], Copy{on_device, copy}, Lane::kD2H, program_.instructions[i].label);
    }
    return copy;
  }

  /// The op after which a gradient is complete.
  std::size_t last_writer(Region gradient, std::size_t before) const {
    for (std::size_t i = before; i-- > 0;) {
      bool writes = false;
      if (std::holds_alternative<Hold>(program_.instructions[i].op)) continue;
      for_each_access(program_.instructions[i].op, [&](const char*, const Region& r, Access access) {
        writes = writes || (access != Access::kRead && r.overlaps(gradient));
      });
      if (writes) return i;
    }
    SS_CHECK(false, program_.buffer(gradient.buffer).name);
    return 0;
  }

  /// The gradient's share of the norm is taken while it is still on the device, on the lane that reduced it.
  void move_norm(Region gradient, std::size_t reduced) {
    for (std::size_t i = 0; i < program_.instructions.size(); ++i) {
      const auto* squares = std::get_if<SumSquares>(&program_.instructions[i].op);
      if (squares == nullptr || !squares->x.overlaps(gradient)) continue;
      dropped_[i] = true;
      norm_sum_ = squares->sum;
      first_norm_ = std::min(first_norm_, reduced);
      emit(after_[reduced], *squares, program_.instructions[reduced].lane, program_.instructions[reduced].label);
    }
  }

  /// The sum of squares starts at 0 before its first share, which now comes earlier.
  void start_norm_early() {
    for (std::size_t i = 0; i < program_.instructions.size(); ++i) {
      const auto* fill = std::get_if<Fill>(&program_.instructions[i].op);
      if (fill == nullptr || norm_sum_.empty() || !(fill->dst == norm_sum_)) continue;
      dropped_[i] = true;
      emit(before_[first_norm_], *fill, Lane::kCompute, program_.instructions[i].label);
    }
  }

  void merge() {
    std::vector<Instruction> merged;
    for (std::size_t i = 0; i < program_.instructions.size(); ++i) {
      std::move(before_[i].begin(), before_[i].end(), std::back_inserter(merged));
      if (!dropped_[i]) merged.push_back(std::move(program_.instructions[i]));
      std::move(after_[i].begin(), after_[i].end(), std::back_inserter(merged));
    }
    program_.instructions = std::move(merged);
  }

  struct Down {
    std::size_t reduced = 0;  ///< the op after which it is complete
    Region gradient, host;
  };

  Program& program_;
  bool overlaps_;
  double ratio_;  ///< share of the elements whose step runs on the host
  Space host_;
  std::vector<std::vector<Instruction>> before_, after_;
  std::vector<bool> dropped_;
  std::vector<Down> down_;
  Region coefficient_, overflow_, norm_sum_, last_copy_;
  std::size_t first_norm_ = SIZE_MAX;
};

}  // namespace

void pass_offload(Draft& draft) {
  if (draft.job->training.zero.offload_optimizer.device != OffloadDevice::kNone) OptimizerOffload(draft).run();
}

}  // namespace shardscope
