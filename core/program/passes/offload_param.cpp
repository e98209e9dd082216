// offload_param: the shards of the parameters in host memory or on an NVMe drive (ZeRO-3 offload, ZeRO-Infinity).
// Before: shards on the device, gathered from there. After: they live where the job says; each is copied to the device
// just before an op that needs it, a gather's straight to its own place in what is gathered. From a drive they come
// through pinned memory, read ahead as far as buffer_count buffers allow. After offload, which decides where the
// updated parameters come from; before swap_optimizer, which cuts that update into pieces.

#include <fmt/format.h>

#include <algorithm>

#include "core/program/passes/draft.h"

namespace shardscope {
namespace {

class ParameterOffload {
 public:
  explicit ParameterOffload(Draft& draft)
      : d_(draft),
        p_(draft.program),
        spec_(draft.job->training.zero.offload_param),
        memory_(spec_.pin_memory ? Space::kPinned : Space::kHost),
        before_(p_.instructions.size()),
        after_(p_.instructions.size()),
        dropped_(p_.instructions.size(), false) {}

  void run() {
    place_shards();
    for (std::size_t i = 0; i < p_.instructions.size(); ++i) serve(i);
    read_ahead();
    merge();
  }

 private:
  /// With nvme the first max_in_cpu elements stay in host memory.
  void place_shards() {
    std::int64_t total = 0;
    for (const OptimizerShard& shard : d_.shards) {
      if (!shard.is_parameter_shard) continue;
      total += shard.value.count;
      const bool on_drive = spec_.device == OffloadDevice::kNvme && total > spec_.max_in_cpu;
      p_.buffer(shard.value.buffer).space = on_drive ? Space::kNvme : memory_;
      offloaded_.push_back({shard.value.buffer});
    }
  }

  struct Offloaded {
    BufferId buffer;
    bool updated = false;  ///< written earlier in the step
  };
  Offloaded* find(const Region& r) {
    const auto it = std::find_if(offloaded_.begin(), offloaded_.end(),
                                 [&](const Offloaded& o) { return !r.empty() && o.buffer == r.buffer; });
    return it == offloaded_.end() ? nullptr : &*it;
  }
  Space space_of(const Region& r) const { return p_.buffer(r.buffer).space; }

  void serve(std::size_t i) {
    Instruction& in = p_.instructions[i];
    // What pass offload holds until the next update: a shard lives on by itself.
    if (const auto* hold = std::get_if<Hold>(&in.op); hold != nullptr && in.lane == Lane::kHost) {
      dropped_[i] = find(hold->data) != nullptr;
      return;
    }
    if (auto* gather = std::get_if<AllGather>(&in.op); gather != nullptr && find(gather->in) != nullptr) {
      const Group& group = p_.group(gather->group);
      const Region place = gather->out.part(group.self * gather->in.count, gather->in.count);
      fetch(i, gather->in, place);
      gather->in = place;
      dropped_[i] = group.size() == 1;
      return;
    }
    if (auto* copy = std::get_if<Copy>(&in.op);
        copy != nullptr && find(copy->dst) != nullptr && space_of(copy->src) != Space::kDevice) {
      return update_from_host(i, *copy);
    }
    serve_on_device(i);
  }

  /// Gives the instruction a copy, on the device, of each offloaded shard that it touches.
  void serve_on_device(std::size_t i) {
    std::vector<std::pair<Region, Access>> touched;
    for_each_access(p_.instructions[i].op, [&](const char*, const Region& r, Access access) {
      if (find(r) != nullptr) touched.emplace_back(r, access);
    });
    for (const auto& touch : touched) {
      const Region shard = touch.first, here = add("fetched", shard, Space::kDevice);
      if (touch.second != Access::kWrite) fetch(i, shard, here);
      if (touch.second != Access::kRead) send_back(i, here, shard);
      for_each_region(p_.instructions[i].op, [&](Region& r) {
        if (r == shard) r = here;
      });
    }
  }

  /// A buffer that holds the same elements for a while.
  Region add(const char* what, const Region& shard, Space space) {
    const Buffer like = p_.buffer(shard.buffer);
    const std::string name = fmt::format("{}.{}.{}", what, like.name, added_++);
    const Category category = space == Space::kDevice ? Category::kBucket : Category::kWorkspace;
    return p_.whole(p_.add_buffer({name, like.dtype, shard.count, category, space}));
  }

  void fetch(std::size_t i, const Region& shard, const Region& to) {
    const Label label = p_.instructions[i].label;
    if (space_of(shard) != Space::kNvme) {
      before_[i].push_back({{Copy{shard, to}, Lane::kH2D, label, {}}});
      return;
    }
    const Region swapped = add("swap_in", shard, memory_);
    const Instruction read{NvmeRead{shard, swapped}, Lane::kNvmeRead, label, {}};
    if (find(shard)->updated) {
      before_[i].push_back({read});
    } else {
      reads_.push_back(read);
    }
    before_[i].push_back({{Copy{swapped, to}, Lane::kH2D, label, {}}, find(shard)->updated ? 0 : reads_.size()});
  }

  /// What an optimizer on the device has updated.
  void send_back(std::size_t i, const Region& from, const Region& shard) {
    find(shard)->updated = true;
    const Label& label = p_.instructions[i].label;
    const bool on_drive = space_of(shard) == Space::kNvme;
    const Region to = on_drive ? add("swap_out", shard, memory_) : shard;
    after_[i].push_back({Copy{from, to}, Lane::kD2H, label, {}});
    if (on_drive) after_[i].push_back({NvmeWrite{to, shard}, Lane::kNvmeWrite, label, {}});
  }

  /// What an optimizer on the host has updated. A separate copy that no drive asks for is not kept: Adam then works on
  /// the shard itself.
  void update_from_host(std::size_t i, const Copy& copy) {
    Instruction& in = p_.instructions[i];
    find(copy.dst)->updated = true;
    const Buffer &source = p_.buffer(copy.src.buffer), &shard = p_.buffer(copy.dst.buffer);
    const bool whole = copy.src == p_.whole(copy.src.buffer) && copy.dst == p_.whole(copy.dst.buffer);
    if (shard.space == Space::kNvme) {
      in = {NvmeWrite{copy.src, copy.dst}, Lane::kNvmeWrite, in.label, {}};
    } else if (whole && source.dtype == shard.dtype &&
               d_.job->training.zero.offload_optimizer.device == OffloadDevice::kCpu) {
      dropped_[i] = true;
      replace(copy.src.buffer, copy.dst.buffer);
    } else {
      in.lane = Lane::kHost;
    }
  }

  void replace(BufferId old, BufferId by) {
    for (Instruction& in : p_.instructions) {
      for_each_region(in.op, [&](Region& r) {
        if (!r.empty() && r.buffer == old) r.buffer = by;
      });
    }
    std::erase_if(p_.state, [&](const StatePiece& piece) { return piece.home.buffer == old; });
  }

  // ---------------------------------------------------------- order

  struct Fetch {
    Instruction copy;
    std::size_t read = 0;  ///< reads_[read - 1] is what it waits for; 0: none that is read ahead
  };

  /// Read k stands behind the copy to the device that frees the buffer of read k - buffer_count; the first at the
  /// start.
  void read_ahead() {
    const auto buffers = static_cast<std::size_t>(std::max<std::int64_t>(spec_.buffer_count, 1));
    behind_.resize(reads_.size() + 1);
    for (std::size_t k = 0; k < reads_.size(); ++k) {
      behind_[k < buffers ? 0 : k - buffers + 1].push_back(std::move(reads_[k]));
    }
  }

  void merge() {
    std::vector<Instruction> merged = std::move(behind_.front());
    for (std::size_t i = 0; i < p_.instructions.size(); ++i) {
      for (Fetch& fetch : before_[i]) {
        merged.push_back(std::move(fetch.copy));
        if (fetch.read > 0)
          std::move(behind_[fetch.read].begin(), behind_[fetch.read].end(), std::back_inserter(merged));
      }
      if (!dropped_[i]) merged.push_back(std::move(p_.instructions[i]));
      std::move(after_[i].begin(), after_[i].end(), std::back_inserter(merged));
    }
    p_.instructions = std::move(merged);
  }

  Draft& d_;
  Program& p_;
  const OffloadSpec& spec_;
  Space memory_;
  std::vector<Offloaded> offloaded_;
  std::vector<std::vector<Fetch>> before_;
  std::vector<std::vector<Instruction>> after_;
  std::vector<bool> dropped_;
  std::vector<Instruction> reads_;  ///< from the drive, in the order in which they are needed
  std::vector<std::vector<Instruction>>
      behind_;  ///< reads by the copy that they stand behind: its read, or 0: the start
  int added_ = 0;
};

}  // namespace

void pass_offload_param(Draft& draft) {
  if (draft.job->training.zero.offload_param.device != OffloadDevice::kNone) ParameterOffload(draft).run();
}

}  // namespace shardscope
