#include "gui/models/plan_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "gui/models/plan_picture.h"
#include "simulator/planner/constraints.h"
#include "simulator/planner/plan_text.h"

namespace shardscope::gui {
namespace {

struct Head {
  const char *name, *tip;
};
constexpr std::array<Head, PlanTable::kColumns> kHeads{{
    {"status", "Front, beaten, recommended, pinned, or why it is none of these"},
    {"GPUs", "Number and kind"},
    {"framework", "Whose rules it keeps to"},
    {"layout", "Data, tensor, pipeline, context and expert parallelism"},
    {"ZeRO", "Stage, ranks that share one copy, offload"},
    {"micro", "Sequences of a micro-batch"},
    {"recompute", "What the backward pass computes again"},
    {"step", "Time of a step"},
    {"days", "Of the whole training, with failures and checkpoints"},
    {"P10-P90 days", "How far predictions were off on published runs"},
    {"cost", "USD of the whole training"},
    {"kW", "Mean power at the facility's meter"},
    {"free GB", "Of a GPU's memory; below 0: it does not fit"},
    {"longest part", "Of the step"},
}};

double free_bytes(const PlanResult& r, const PlanDot& d) {
  return r.request.candidates[d.point.candidate].target.gpu.memory.value - d.point.estimate.used;
}

/// What a column is sorted by; texts by their names.
double number_of(const PlanResult& r, const PlanDot& d, int column) {
  switch (column) {
    case PlanTable::kGpus:
      return d.point.plan.gpus;
    case PlanTable::kZero:
      return d.point.plan.zero;
    case PlanTable::kMicro:
      return static_cast<double>(d.point.plan.micro_batch);
    case PlanTable::kStep:
      return d.point.estimate.step_time_s;
    case PlanTable::kDays:
      return d.point.run.days;
    case PlanTable::kInterval:
      return d.high_days();
    case PlanTable::kCost:
      return d.point.run.cost_usd;
    case PlanTable::kPower:
      return d.point.run.mean_kw;
    case PlanTable::kFree:
      return free_bytes(r, d);
    default:
      return 0;
  }
}

bool is_text(int column) {
  return column == PlanTable::kFramework || column == PlanTable::kLayout || column == PlanTable::kRecompute ||
         column == PlanTable::kBound || column == PlanTable::kWhat;
}

QString longest_part(const Estimate& e) {
  const std::vector<PlanPart> parts = time_parts(e);
  const auto longest =
      std::max_element(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.value < b.value; });
  return QString::fromStdString(
      fmt::format("{} {:.0f} %", longest->look.name, 100 * longest->value / std::max(e.step_time_s, 1e-12)));
}

}  // namespace

void PlanTable::set_result(std::shared_ptr<const PlanResult> result, const PlanState& state) {
  beginResetModel();
  result_ = std::move(result);
  column_ = std::clamp(state.sort_column, 0, kColumns - 1);
  order_ = state.descending ? Qt::DescendingOrder : Qt::AscendingOrder;
  const std::size_t n = result_ ? result_->dots.size() : 0;
  pinned_.assign(n, false);
  for (const PlanKey& key : state.pinned) {
    if (const PlanDot* dot = result_ ? find_dot(*result_, key) : nullptr)
      pinned_[static_cast<std::size_t>(dot - result_->dots.data())] = true;
  }
  order_rows();
  endResetModel();
}

void PlanTable::order_rows() {
  rows_.resize(pinned_.size());
  for (std::size_t i = 0; i < rows_.size(); ++i) rows_[i] = i;
  const auto less = [&](std::size_t a, std::size_t b) {
    if (column_ == kWhat) return order_ == Qt::AscendingOrder ? a < b : b < a;  // front first, by days
    if (order_ == Qt::DescendingOrder) std::swap(a, b);
    if (is_text(column_)) return text_of(a, column_) < text_of(b, column_);
    return number_of(*result_, result_->dots[a], column_) < number_of(*result_, result_->dots[b], column_);
  };
  std::stable_sort(rows_.begin(), rows_.end(), less);
  std::stable_partition(rows_.begin(), rows_.end(), [&](std::size_t dot) { return pinned_[dot]; });
}

int PlanTable::row_of_dot(std::size_t dot) const {
  const auto found = std::find(rows_.begin(), rows_.end(), dot);
  return found == rows_.end() ? -1 : static_cast<int>(found - rows_.begin());
}

int PlanTable::rowCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : static_cast<int>(rows_.size());
}

int PlanTable::columnCount(const QModelIndex& parent) const { return parent.isValid() ? 0 : kColumns; }

QString PlanTable::what(std::size_t i) const {
  const PlanDot& d = result_->dots[i];
  QStringList words;
  if (pinned_[i]) words << QStringLiteral("pinned");
  if (result_->recommended == i) words << QStringLiteral("recommended");
  if (!d.legal) {
    words << QStringLiteral("not possible");
  } else if (!d.fits) {
    words << QStringLiteral("does not fit");
  } else {
    words << (d.front ? QStringLiteral("front") : QStringLiteral("beaten"));
    if (!d.meets) words << QStringLiteral("misses a wish");
  }
  return words.join(QStringLiteral(", "));
}

QString PlanTable::text_of(std::size_t i, int column) const {
  const PlanDot& d = result_->dots[i];
  const Candidate& c = result_->request.candidates[d.point.candidate];
  const Plan& p = d.point.plan;
  const auto text = [](const std::string& s) { return QString::fromStdString(s); };
  switch (column) {
    case kWhat:
      return what(i);
    case kGpus:
      return text(fmt::format("{} x {}", p.gpus, c.target.gpu.name));
    case kFramework:
      return text(c.framework.name);
    case kLayout:
      return text(layout_text(p));
    case kZero:
      return text(zero_text(p));
    case kMicro:
      return QString::number(p.micro_batch);
    case kRecompute:
      return text(std::string(to_string(p.recompute)));
    default:
      break;
  }
  if (!d.legal) return column == kBound ? text(d.problem) : QStringLiteral("-");
  switch (column) {
    case kStep:
      return text(format_seconds(d.point.estimate.step_time_s));
    case kDays:
      return text(fmt::format("{:.3g}", d.point.run.days));
    case kInterval:
      return text(fmt::format("{:.3g} to {:.3g}", d.low_days(), d.high_days()));
    case kCost:
      return text(format_usd(d.point.run.cost_usd));
    case kPower:
      return text(fmt::format("{:.4g}", d.point.run.mean_kw));
    case kFree:
      return text(fmt::format("{:.1f}", free_bytes(*result_, d) / 1e9));
    case kBound:
      return longest_part(d.point.estimate);
    default:
      return {};
  }
}

QVariant PlanTable::data(const QModelIndex& index, int role) const {
  if (!index.isValid()) return {};
  const std::size_t dot = dot_of_row(index.row());
  const int column = index.column();
  if (role == Qt::DisplayRole || role == Qt::AccessibleTextRole) return text_of(dot, column);
  if (role == Qt::ToolTipRole) {
    QStringList lines;
    for (const std::string& line : describe_dot(*result_, result_->dots[dot])) lines << QString::fromStdString(line);
    return lines.join(QLatin1Char('\n'));
  }
  if (role == Qt::TextAlignmentRole && !is_text(column) && column != kGpus && column != kZero)
    return QVariant(Qt::AlignRight | Qt::AlignVCenter);
  return {};
}

QVariant PlanTable::headerData(int section, Qt::Orientation orientation, int role) const {
  if (orientation != Qt::Horizontal || section < 0 || section >= kColumns) return {};
  const Head& head = kHeads[static_cast<std::size_t>(section)];
  if (role == Qt::DisplayRole) return QString::fromUtf8(head.name);
  if (role == Qt::ToolTipRole) return QString::fromUtf8(head.tip);
  return {};
}

void PlanTable::sort(int column, Qt::SortOrder order) {
  if (column < 0 || column >= kColumns) return;
  Q_EMIT layoutAboutToBeChanged();
  const QModelIndexList before = persistentIndexList();
  std::vector<std::size_t> dots;
  for (const QModelIndex& index : before) dots.push_back(dot_of_row(index.row()));
  column_ = column, order_ = order;
  order_rows();
  QModelIndexList after;
  for (int i = 0; i < before.size(); ++i)
    after << index(row_of_dot(dots[static_cast<std::size_t>(i)]), before[i].column());
  changePersistentIndexList(before, after);
  Q_EMIT layoutChanged();
}

}  // namespace shardscope::gui
