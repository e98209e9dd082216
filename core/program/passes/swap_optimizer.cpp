// swap_optimizer: master parameters and moments on an NVMe drive (ZeRO-Infinity).
// Before: Adam on the host lane, its state in host memory. After: the state lives on the drive in sub-groups of
// sub_group_size elements; each is read into swap buffers, updated there and written back. The sub-groups take turns on
// `depth` sets of swap buffers: with 1 read, update and write follow each other, with 2 the next read runs beside the
// update, with 3 the write before it does too. After offload, whose Adam ops it splits; before order, which makes a
// read into a swap buffer wait for the write out of it.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "core/check.h"
#include "core/program/passes/draft.h"

namespace shardscope {
namespace {

/// A smaller sub-group would fill no block of the drive.
constexpr std::int64_t kLeastSubGroup = kNvmeAlignment / 4;
constexpr std::size_t kStates = 3;  // of an Adam: param, exp_avg, exp_avg_sq

/// Elements [first, first + count) of what one Adam updates; elements [at, at + count) of their sub-group.
struct Piece {
  std::size_t adam = 0;  ///< its instruction
  std::int64_t first = 0, count = 0;
  std::size_t sub_group = 0;
  std::int64_t at = 0;
};

struct SubGroup {
  std::int64_t elements = 0;
  std::array<Region, kStates> home, swap;
  Label label;
};

class OptimizerSwap {
 public:
  explicit OptimizerSwap(Draft& draft)
      : p_(draft.program),
        spec_(draft.job->training.zero.offload_optimizer),
        largest_(std::max(draft.job->training.zero.sub_group_size, kLeastSubGroup)),
        depth_(1 + (spec_.pipeline_read ? 1 : 0) + (spec_.pipeline_write ? 1 : 0)) {}

  void run() {
    find_pieces();
    if (pieces_.empty()) return;
    make_buffers();
    move_state();
    rewrite();
  }

 private:
  static std::array<Region*, kStates> states(Adam& adam) { return {&adam.param, &adam.exp_avg, &adam.exp_avg_sq}; }
  Adam& adam_at(std::size_t i) { return std::get<Adam>(p_.instructions[i].op); }

  /// Fills sub-groups one after the other; an Adam that does not fit into the rest of one goes on in the next.
  void find_pieces() {
    for (std::size_t i = 0; i < p_.instructions.size(); ++i) {
      const auto* adam = std::get_if<Adam>(&p_.instructions[i].op);
      if (adam == nullptr || p_.instructions[i].lane != Lane::kHost) continue;
      for (std::int64_t first = 0; first < adam->param.count;) {
        if (sub_groups_.empty() || sub_groups_.back().elements == largest_) {
          sub_groups_.push_back({.label = p_.instructions[i].label});
        }
        SubGroup& group = sub_groups_.back();
        const std::int64_t count = std::min(adam->param.count - first, largest_ - group.elements);
        pieces_.push_back({i, first, count, sub_groups_.size() - 1, group.elements});
        group.elements += count;
        first += count;
      }
    }
  }

  void make_buffers() {
    constexpr std::array kNames{"master", "exp_avg", "exp_avg_sq"};
    const Space memory = p_.buffer(adam_at(pieces_.front().adam).param.buffer).space;
    for (std::size_t k = 0; k < sub_groups_.size(); ++k) {
      SubGroup& group = sub_groups_[k];
      for (std::size_t s = 0; s < kStates; ++s) {
        const Category category = s == 0 ? Category::kMaster : Category::kOptimizer;
        group.home[s] = p_.whole(p_.add_buffer(
            {fmt::format("swapped_{}.{}", kNames[s], k), DType::kF32, group.elements, category, Space::kNvme, true}));
        if (k < depth_) {  // no later sub-group is larger than the first
          group.swap[s] = p_.whole(p_.add_buffer(
              {fmt::format("swap_{}.{}", kNames[s], k), DType::kF32, group.elements, Category::kWorkspace, memory}));
        } else {
          group.swap[s] = sub_groups_[k - depth_].swap[s].part(0, group.elements);
        }
      }
    }
  }

  /// The part of a piece's state that lies in its sub-group's home or swap buffer.
  static Region part_of(const Piece& piece, const Region& whole) { return whole.part(piece.at, piece.count); }

  /// Points what says where state lives at the drive. A state piece that several sub-groups hold becomes several.
  void move_state() {
    std::map<BufferId, std::pair<std::size_t, std::size_t>> moved;  // buffer -> its Adam, which of the states
    for (const Piece& piece : pieces_) {
      for (std::size_t s = 0; s < kStates; ++s) {
        moved[states(adam_at(piece.adam))[s]->buffer] = {piece.adam, s};
      }
    }
    std::vector<StatePiece> all;
    for (const StatePiece& state : p_.state) {
      const auto it = moved.find(state.home.buffer);
      if (it == moved.end()) {
        all.push_back(state);
        continue;
      }
      for (const Piece& piece : pieces_) {
        if (piece.adam == it->second.first) add_overlap(state, piece, it->second.second, all);
      }
    }
    p_.state = std::move(all);
  }

  void add_overlap(const StatePiece& state, const Piece& piece, std::size_t s, std::vector<StatePiece>& all) {
    const std::int64_t old_start = states(adam_at(piece.adam))[s]->offset + piece.first;
    const std::int64_t begin = std::max(state.home.offset, old_start);
    const std::int64_t end = std::min(state.home.end(), old_start + piece.count);
    if (begin >= end) return;
    StatePiece part = state;
    part.begin += begin - state.home.offset;
    part.home = part_of(piece, sub_groups_[piece.sub_group].home[s]).part(begin - old_start, end - begin);
    all.push_back(part);
  }

  // ---------------------------------------------------------- the step

  void rewrite() {
    const std::size_t first_read = spec_.pipeline_read ? first_gradient() : pieces_.front().adam;
    std::vector<Instruction> old = std::move(p_.instructions);
    p_.instructions.clear();
    auto piece = pieces_.begin();
    for (std::size_t i = 0; i < old.size(); ++i) {
      if (i == first_read) {
        for (std::size_t k = 0; k < std::min(depth_, sub_groups_.size()); ++k) read(k);
      }
      if (piece == pieces_.end() || piece->adam != i) {
        p_.instructions.push_back(std::move(old[i]));
        continue;
      }
      SS_CHECK(i + 1 < old.size(), i);
      const Instruction adam = std::move(old[i]), result = std::move(old[++i]);
      for (; piece != pieces_.end() && piece->adam == i - 1; ++piece) update(*piece, adam, result);
    }
  }

  /// Where the first gradient reaches the host: from there on the first sub-groups may be read beside backward.
  std::size_t first_gradient() {
    for (std::size_t i = 0; i < p_.instructions.size(); ++i) {
      bool writes = false;
      for_each_access(p_.instructions[i].op, [&](const char*, const Region& r, Access access) {
        writes = writes || (access != Access::kRead && is_gradient(r.buffer));
      });
      if (writes) return i;
    }
    return pieces_.front().adam;
  }
  bool is_gradient(BufferId id) {
    return std::any_of(pieces_.begin(), pieces_.end(),
                       [&](const Piece& piece) { return adam_at(piece.adam).grad.buffer == id; });
  }

  /// Adam on one piece, and the copy of its result to where the parameters are used; the sub-group's last piece is
  /// followed by its way back, and by the read of the sub-group that takes its swap buffers.
  void update(const Piece& piece, const Instruction& adam, const Instruction& result) {
    const SubGroup& group = sub_groups_[piece.sub_group];
    Instruction step = adam;
    Adam& op = std::get<Adam>(step.op);
    for (std::size_t s = 0; s < kStates; ++s) *states(op)[s] = part_of(piece, group.swap[s]);
    op.grad = op.grad.part(piece.first, piece.count);
    if (!op.copy.empty()) op.copy = op.copy.part(piece.first, piece.count);
    const Region updated = op.copy.empty() ? op.param : op.copy;
    p_.instructions.push_back(std::move(step));
    send_result(piece, updated, result);
    if (piece.at + piece.count < group.elements) return;
    write(piece.sub_group);
    if (piece.sub_group + depth_ < sub_groups_.size()) read(piece.sub_group + depth_);
  }

  /// A copy to the device or to host memory goes piece by piece. A shard on the drive takes no parts of blocks: it is
  /// put together first.
  void send_result(const Piece& piece, Region updated, const Instruction& result) {
    if (const auto* copy = std::get_if<Copy>(&result.op)) {
      const Copy part{updated, copy->dst.part(piece.first, piece.count)};
      p_.instructions.push_back({part, result.lane, result.label, {}});
      return;
    }
    const auto& write = std::get<NvmeWrite>(result.op);
    if (piece.first == 0) {
      const Buffer like = p_.buffer(write.dst.buffer);
      shard_ = p_.whole(p_.add_buffer({"swap_out." + like.name, like.dtype, write.dst.count, Category::kWorkspace,
                                       p_.buffer(updated.buffer).space}));
    }
    p_.instructions.push_back({Copy{updated, shard_.part(piece.first, piece.count)}, Lane::kHost, result.label, {}});
    if (piece.first + piece.count < write.dst.count) return;
    p_.instructions.push_back({NvmeWrite{shard_, write.dst}, Lane::kNvmeWrite, result.label, {}});
  }

  void read(std::size_t k) {
    const SubGroup& group = sub_groups_[k];
    for (std::size_t s = 0; s < kStates; ++s) {
      p_.instructions.push_back({NvmeRead{group.home[s], group.swap[s]}, Lane::kNvmeRead, group.label, {}});
    }
  }
  void write(std::size_t k) {
    const SubGroup& group = sub_groups_[k];
    for (std::size_t s = 0; s < kStates; ++s) {
      p_.instructions.push_back({NvmeWrite{group.swap[s], group.home[s]}, Lane::kNvmeWrite, group.label, {}});
    }
  }

  Program& p_;
  const OffloadSpec& spec_;
  std::int64_t largest_;  ///< elements of a sub-group
  std::size_t depth_;     ///< sub-groups in memory at once
  std::vector<Piece> pieces_;
  std::vector<SubGroup> sub_groups_;
  Region shard_;  ///< of parameters on the drive, on its way there
};

}  // namespace

void pass_swap_optimizer(Draft& draft) {
  if (draft.job->training.zero.offload_optimizer.device == OffloadDevice::kNvme) OptimizerSwap(draft).run();
}

}  // namespace shardscope
