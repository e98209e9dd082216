#include "core/engine/checkpoint/deal_state.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "core/check.h"
#include "core/program/parameter_runs.h"

namespace shardscope {
namespace {

/// Elements that a rank holds: [whole, whole + region.count) of the tensor.
struct Holding {
  std::int64_t whole = 0;
  int rank = 0;
  bool master = false;
  Region region;
  std::int64_t end() const { return whole + region.count; }
};

/// Of one tensor in one role, over all ranks.
struct Holdings {
  std::string tensor;
  StateRole role = StateRole::kParameter;
  std::vector<Holding> list;
};

/// In the order in which tensors come up, rank by rank.
std::vector<Holdings> collect(std::span<const Program> programs) {
  std::vector<Holdings> all;
  std::map<std::pair<std::string, StateRole>, std::size_t> index;
  for (const Program& program : programs) {
    for (const StatePiece& piece : program.state) {
      const Parameter& parameter = program.parameters[static_cast<std::size_t>(piece.parameter)];
      const bool master = piece.role == StateRole::kMaster;
      const StateRole role = master ? StateRole::kParameter : piece.role;
      const auto [it, is_new] = index.try_emplace({parameter.name, role}, all.size());
      if (is_new) all.push_back({parameter.name, role, {}});
      std::vector<Holding>& list = all[it->second].list;
      for_each_run(parameter, piece.begin, piece.home.count,
                   [&](std::int64_t local, std::int64_t whole, std::int64_t n) {
                     list.push_back({whole, program.rank, master, piece.home.part(local - piece.begin, n)});
                   });
    }
  }
  return all;
}

/// Deals tensor after tensor; remembers how much each rank has got.
class Dealer {
 public:
  explicit Dealer(std::span<const Program> programs)
      : programs_(programs), parts_(programs.size()), load_(programs.size()) {}

  void deal(Holdings holdings) {
    std::vector<Holding>& list = holdings.list;
    std::sort(list.begin(), list.end(), [](const Holding& a, const Holding& b) {
      return std::tuple(a.whole, a.rank, b.master) < std::tuple(b.whole, b.rank, a.master);
    });
    std::vector<std::int64_t> cuts;
    for (const Holding& h : list) cuts.insert(cuts.end(), {h.whole, h.end()});
    std::sort(cuts.begin(), cuts.end());
    cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
    owner_of_.clear();
    open_.clear();
    std::vector<const Holding*> here;
    std::size_t next = 0;
    for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
      std::erase_if(here, [&](const Holding* h) { return h->end() <= cuts[i]; });
      for (; next < list.size() && list[next].whole == cuts[i]; ++next) here.push_back(&list[next]);
      SS_CHECK(!here.empty(), holdings.tensor, cuts[i]);  // nobody has these elements
      give(holdings, here, cuts[i], cuts[i + 1]);
    }
  }

  std::vector<std::vector<OwnedPart>> take() { return std::move(parts_); }

 private:
  /// Elements [begin, end), which all of `here` hold, go to one of them: always the same for the same set of ranks.
  void give(const Holdings& holdings, const std::vector<const Holding*>& here, std::int64_t begin, std::int64_t end) {
    const bool master = std::any_of(here.begin(), here.end(), [](const Holding* h) { return h->master; });
    std::map<int, const Holding*> candidates;  // by rank
    for (const Holding* h : here) {
      if (h->master == master) candidates.emplace(h->rank, h);
    }
    std::vector<int> ranks;
    for (const auto& [rank, holding] : candidates) ranks.push_back(rank);
    auto [owner, is_new] = owner_of_.try_emplace(ranks, ranks.front());
    if (is_new) {
      owner->second = *std::min_element(ranks.begin(), ranks.end(), [&](int a, int b) { return load(a) < load(b); });
    }
    const Holding& holding = *candidates.at(owner->second);
    append(holdings, holding, begin, end - begin);
  }

  void append(const Holdings& holdings, const Holding& holding, std::int64_t begin, std::int64_t n) {
    const auto rank = static_cast<std::size_t>(holding.rank);
    const Region region = holding.region.part(begin - holding.whole, n);
    const DType dtype = programs_[rank].buffer(region.buffer).dtype;
    std::vector<OwnedPart>& parts = parts_[rank];
    const auto [it, is_new] = open_.try_emplace({holding.rank, dtype}, parts.size());
    if (is_new) parts.push_back({holdings.tensor, holdings.role, dtype, {}, {}});
    OwnedPart& part = parts[it->second];
    Region* const last = part.regions.empty() ? nullptr : &part.regions.back();
    if (last != nullptr && last->buffer == region.buffer && last->end() == region.offset) {
      last->count += n;
    } else {
      part.regions.push_back(region);
    }
    append_run(part.runs, begin, n);
    load_[rank] += n * size_of(dtype);
  }

  static void append_run(std::vector<RunGroup>& runs, std::int64_t begin, std::int64_t n) {
    if (!runs.empty()) {
      RunGroup& last = runs.back();
      if (last.times == 1 && last.begin + last.length == begin) {
        last.length += n;
        return;
      }
      const std::int64_t stride = begin - (last.begin + (last.times - 1) * last.stride);
      if (last.length == n && (last.times == 1 || last.stride == stride)) {
        last.stride = stride;
        ++last.times;
        return;
      }
    }
    runs.push_back({begin, n, 0, 1});
  }

  std::int64_t load(int rank) const { return load_[static_cast<std::size_t>(rank)]; }

  std::span<const Program> programs_;
  std::vector<std::vector<OwnedPart>> parts_;
  std::vector<std::int64_t> load_;                     // bytes by rank
  std::map<std::vector<int>, int> owner_of_;           // of this tensor: the rank that writes for a set of holders
  std::map<std::pair<int, DType>, std::size_t> open_;  // of this tensor: the part of a rank
};

}  // namespace

std::int64_t OwnedPart::elements() const {
  std::int64_t n = 0;
  for (const RunGroup& run : runs) n += run.elements();
  return n;
}

std::vector<std::vector<OwnedPart>> deal_state(std::span<const Program> programs) {
  Dealer dealer(programs);
  for (Holdings& holdings : collect(programs)) dealer.deal(std::move(holdings));
  return dealer.take();
}

}  // namespace shardscope
