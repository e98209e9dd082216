#include "simulator/calibrate/rebuild_models.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "simulator/cost/op_family.h"

namespace shardscope {

namespace {

using Model = CostKey::Model;

/// Points of a model nearer than this to a measured op, in octaves of its sizes, give way to it. Guess.
constexpr double kSupersedes = 1;

class Rebuild {
 public:
  Rebuild(const Machine& machine, const ModelChanges& changes, int ranks, bool everywhere)
      : old_(machine),
        new_(machine),
        changes_(changes),
        costs_(machine, ranks),
        collectives_(machine),
        everywhere_(everywhere) {}

  Machine run() {
    for (const auto& [key, change] : changes_) apply(key, change);
    note_peaks();
    return std::move(new_);
  }

 private:
  void apply(const CostKey& key, const ModelChange& change) {
    switch (key.model) {
      case Model::kFamily:
        return change_family(key, change);
      case Model::kMatMul:
        return change_products(key, change);
      case Model::kAttention:
        return change_attention(key, change);
      case Model::kCollective:
        return change_collective(key, change);
      case Model::kDrive:
        return change_drive(key, change);
    }
  }

  void note_peaks() {
    for (const MatMulPoint& p : new_.matmuls) {
      const FlopPerSecond rate(2 * p.m * p.n * p.k / p.seconds);
      if (p.threads == 1) new_.core_peak = std::max(new_.core_peak, rate);
      if (p.threads == new_.cores) new_.machine_peak = std::max(new_.machine_peak, rate);
    }
  }

  static double carried(const ModelChange& change, double work) { return std::exp(change.line.at(std::log(work))); }

  /// `seconds` at the old curve's places and at the measured ones, changed.
  template <class At>
  static Curve changed_curve(const Curve& places, const ModelChange& change, bool measured, At&& seconds) {
    std::map<double, double> points;
    for (const CurvePoint& p : places.points()) points[p.x] = seconds(p.x) * carried(change, p.x);
    if (measured) {
      for (const auto& p : change.points) points[p.place.work] = seconds(p.place.work) * p.factor;
    }
    std::vector<CurvePoint> list;
    for (const auto& [x, y] : points) list.push_back({x, y});
    return Curve(list);
  }

  /// A curve of the family, or of the one that stands in for it: for its places.
  const Curve& places_of(const std::string& family) const {
    for (const std::string_view name : {std::string_view(family), fp32_family(family), std::string_view("copy")}) {
      for (const FamilyCurve& f : old_.families) {
        if (f.family == name) return f.seconds;
      }
    }
    return old_.families.front().seconds;
  }

  void change_family(const CostKey& key, const ModelChange& change) {
    for (const int threads : widths(
             key, old_.families, [](const FamilyCurve& f) { return f.threads; },
             [&](const FamilyCurve& f) { return f.family == key.name; })) {
      std::erase_if(new_.families, [&](const auto& f) { return f.family == key.name && f.threads == threads; });
      const auto seconds = [&](double work) { return costs_.family_time(key.name, work, threads).value; };
      new_.families.push_back(
          {key.name, threads, changed_curve(places_of(key.name), change, threads == key.width, seconds)});
    }
  }

  void change_products(const CostKey& key, const ModelChange& change) {
    const auto& like = std::get<MatMulPoint>(change.points.front().place.shape);
    const auto same = [&](const MatMulPoint& p) {
      return p.dtype == like.dtype && p.trans_a == like.trans_a && p.trans_b == like.trans_b &&
             p.accumulate == like.accumulate;
    };
    const MatMulModel model(old_.matmuls);
    const auto seconds = [&](const MatMulPoint& p) {
      const MatMul op{{},        {},        {},          {}, std::llround(p.m), std::llround(p.n), std::llround(p.k),
                      p.trans_a, p.trans_b, p.accumulate};
      return model.time(op, p.dtype, p.threads).value;
    };
    for (const int threads : widths(
             key, old_.matmuls, [](const MatMulPoint& p) { return p.threads; }, same)) {
      std::erase_if(new_.matmuls, [&](const auto& p) { return same(p) && p.threads == threads; });
      std::set<std::array<double, 3>> shapes;
      for (const MatMulPoint& p : old_.matmuls) shapes.insert({p.m, p.n, p.k});
      for (const auto& [m, n, k] : shapes) {
        MatMulPoint p{threads, m, n, k, like.trans_a, like.trans_b, like.accumulate, 0, like.dtype};
        if (threads == key.width && superseded({m, n, k}, change)) continue;
        p.seconds = seconds(p) * carried(change, m * n * k);
        new_.matmuls.push_back(p);
      }
      if (threads == key.width) {
        for (const auto& measured : change.points) {
          auto p = std::get<MatMulPoint>(measured.place.shape);
          p.seconds = seconds(p) * measured.factor;
          new_.matmuls.push_back(p);
        }
      }
    }
  }

  static bool superseded(const std::array<double, 3>& shape, const ModelChange& change) {
    return std::any_of(change.points.begin(), change.points.end(), [&](const ModelChange::Point& point) {
      const auto& p = std::get<MatMulPoint>(point.place.shape);
      const double a = std::log2(shape[0] / p.m), b = std::log2(shape[1] / p.n), c = std::log2(shape[2] / p.k);
      return a * a + b * b + c * c < kSupersedes * kSupersedes;
    });
  }

  void change_attention(const CostKey& key, const ModelChange& change) {
    const auto& like = std::get<AttentionPoint>(change.points.front().place.shape);
    const auto same = [&](const AttentionPoint& p) { return p.dtype == like.dtype && p.backward == like.backward; };
    const AttentionModel model(old_.attentions);
    const auto seconds = [&](const AttentionPoint& p) { return attention_seconds(model, p); };
    for (const int threads : widths(
             key, old_.attentions, [](const AttentionPoint& p) { return p.threads; }, same)) {
      std::erase_if(new_.attentions, [&](const auto& p) { return same(p) && p.threads == threads; });
      std::set<std::array<double, 3>> shapes;
      for (const AttentionPoint& p : old_.attentions) shapes.insert({p.seq, p.heads / p.kv_heads, p.head_dim});
      for (const auto& [seq, group, dim] : shapes) {  // one sequence a thread
        AttentionPoint p{threads, like.backward, static_cast<double>(threads), seq, group, 1, dim, 0, like.dtype};
        p.seconds = seconds(p) * carried(change, group * seq * seq * dim);
        new_.attentions.push_back(p);
      }
      if (threads != key.width) continue;
      for (const auto& measured : change.points) {
        auto p = std::get<AttentionPoint>(measured.place.shape);
        p.seconds = seconds(p) * measured.factor;
        std::erase_if(new_.attentions, [&](const auto& q) {
          return same(q) && q.threads == threads && q.seq == p.seq && q.head_dim == p.head_dim &&
                 q.heads / q.kv_heads == p.heads / p.kv_heads;
        });
        new_.attentions.push_back(p);
      }
    }
  }

  static double attention_seconds(const AttentionModel& model, const AttentionPoint& p) {
    const auto fill = [&](auto op) {
      op.batch = std::llround(p.batch);
      op.seq = std::llround(p.seq);
      op.heads = std::llround(p.heads);
      op.kv_heads = std::llround(p.kv_heads);
      op.head_dim = std::llround(p.head_dim);
      return model.time(op, p.dtype, p.threads).value;
    };
    return p.backward ? fill(AttentionBackward{}) : fill(Attention{});
  }

  void change_collective(const CostKey& key, const ModelChange& change) {
    const std::size_t colon = key.name.find(':');
    const std::string op = key.name.substr(0, colon);
    const DType dtype =
        colon == std::string::npos ? DType::kF32 : from_name<DType>(key.name.substr(colon + 1)).value_or(DType::kF32);
    const Curve places = collective_places(key.name, op);
    for (const int ranks : widths(
             key, old_.collectives, [](const CollectiveCurve& c) { return c.ranks; },
             [&](const CollectiveCurve& c) { return c.op == key.name; })) {
      std::erase_if(new_.collectives, [&](const auto& c) { return c.op == key.name && c.ranks == ranks; });
      const double crowding = std::max(1.0, ranks / old_.capacity(ranks));  // a machine file holds it crowded
      const auto seconds = [&](double bytes) {
        return collectives_.time(op, dtype, ranks, Bytes(bytes)).value * crowding;
      };
      new_.collectives.push_back({key.name, ranks, changed_curve(places, change, ranks == key.width, seconds)});
    }
  }

  Curve collective_places(const std::string& name, const std::string& op) const {
    for (const std::string& wanted : {name, op}) {
      for (const CollectiveCurve& c : old_.collectives) {
        if (c.op == wanted) return c.seconds;
      }
    }
    return old_.collectives.front().seconds;
  }

  void change_drive(const CostKey& key, const ModelChange& change) {
    Curve& curve = key.name == "nvme_read" ? new_.drive.read : new_.drive.write;
    const Curve old = curve;
    curve = changed_curve(old, change, true, [&](double bytes) { return old.at(bytes); });
  }

  /// Numbers of threads (ranks) at which the model changes: the run's, and those that the machine knows elsewhere and
  /// not of this model, so that they do not fall back on this number; or all of them.
  template <class T, class Width, class Same>
  std::set<int> widths(const CostKey& key, const std::vector<T>& all, Width&& width, Same&& same) const {
    std::set<int> known, own;
    for (const T& item : all) (same(item) ? own : known).insert(width(item));
    known.insert(own.begin(), own.end());
    std::set<int> result{key.width};
    for (const int w : known) {
      const bool has_change = changes_.contains({key.model, key.name, w});  // of its own
      if (!has_change && (everywhere_ || !own.contains(w))) result.insert(w);
    }
    return result;
  }

  const Machine& old_;
  Machine new_;
  const ModelChanges& changes_;
  HostCosts costs_;
  ThreadCollectives collectives_;
  bool everywhere_;
};

}  // namespace

Machine rebuild_models(const Machine& machine, const ModelChanges& changes, int ranks, bool everywhere) {
  return Rebuild(machine, changes, ranks, everywhere).run();
}

}  // namespace shardscope
