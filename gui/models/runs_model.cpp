#include "gui/models/runs_model.h"

#include <cmath>
#include <utility>

#include "gui/models/bar_chart.h"
#include "gui/models/plain_text.h"

namespace shardscope::gui {

namespace {

const QString kUnknown = QStringLiteral("–");

QString q(const std::string& text) { return QString::fromStdString(text); }

QString text_of(const RunSummary& s, int column) {
  switch (column) {
    case RunsModel::kRun:
      return q(display_name(s));
    case RunsModel::kKind:
      return s.run.predicted ? QStringLiteral("predicted") : QStringLiteral("measured");
    case RunsModel::kModel:
      return q(s.run.model);
    case RunsModel::kStage:
      return QString::number(s.run.zero_stage);
    case RunsModel::kRanks:
      return QString::number(s.run.world);
    case RunsModel::kSteps:
      return QString::number(s.run.steps);
    case RunsModel::kStepTime:
      return s.step_time_s > 0 ? q(format_seconds(s.step_time_s)) : kUnknown;
    case RunsModel::kTokens:
      return s.tokens_per_s > 0 ? QString::number(std::llround(s.tokens_per_s)) : kUnknown;
    case RunsModel::kExposed:
      return s.parts.total_s > 0 ? q(format_seconds(s.parts.exposed_communication_s)) : kUnknown;
    case RunsModel::kPeak:
      return s.peak_bytes > 0 ? q(format_bytes(static_cast<double>(s.peak_bytes))) : kUnknown;
    case RunsModel::kLoss:
      return std::isfinite(s.last_loss) ? QString::number(s.last_loss, 'f', 4) : kUnknown;
    default:
      return {};
  }
}

QString full_text_of(const RunSummary& s, int column) {
  switch (column) {
    case RunsModel::kRun: {
      QString text =
          QStringLiteral("%1\n%2, run %3, %4").arg(q(display_name(s)), q(s.file)).arg(s.run.id).arg(q(s.run.status));
      for (const std::string& line : s.diagnostics) text += "\n" + q(line);
      return text;
    }
    case RunsModel::kModel:
      return QStringLiteral("%1: %2 parameters").arg(q(s.run.model)).arg(s.run.parameters);
    case RunsModel::kStepTime:
      return QStringLiteral("%1 s, median over steps, of the slowest rank").arg(s.step_time_s, 0, 'g', 9);
    case RunsModel::kExposed:
      return QStringLiteral("%1 s of a step are communication that no compute hides; %2 s of communication in all")
          .arg(s.parts.exposed_communication_s, 0, 'g', 9)
          .arg(s.parts.communication_s, 0, 'g', 9);
    case RunsModel::kPeak:
      return QStringLiteral("%1 bytes of device memory, on rank %2").arg(s.peak_bytes).arg(s.fullest_rank);
    case RunsModel::kLoss:
      return QStringLiteral("loss of the last step: %1").arg(s.last_loss, 0, 'g', 9);
    default:
      return text_of(s, column);
  }
}

bool is_number(int column) { return column >= RunsModel::kStage; }

}  // namespace

void RunsModel::set_runs(std::vector<RunSummary> runs) {
  beginResetModel();
  runs_ = std::move(runs);
  endResetModel();
}

int RunsModel::rowCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : static_cast<int>(runs_.size());
}
int RunsModel::columnCount(const QModelIndex& parent) const { return parent.isValid() ? 0 : kColumns; }

QVariant RunsModel::data(const QModelIndex& index, int role) const {
  if (!checkIndex(index, CheckIndexOption::IndexIsValid | CheckIndexOption::ParentIsInvalid)) return {};
  const RunSummary& summary = runs_[static_cast<std::size_t>(index.row())];
  if (role == Qt::DisplayRole) return one_line(text_of(summary, index.column()));
  if (role == Qt::ToolTipRole) return plain_tip(full_text_of(summary, index.column()));
  if (role == Qt::TextAlignmentRole && is_number(index.column())) {
    return QVariant(static_cast<int>(Qt::AlignRight | Qt::AlignVCenter));
  }
  return {};
}

QVariant RunsModel::headerData(int section, Qt::Orientation orientation, int role) const {
  if (orientation != Qt::Horizontal || section < 0 || section >= kColumns) return {};
  if (role == Qt::TextAlignmentRole) {
    return QVariant(static_cast<int>((is_number(section) ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter));
  }
  if (role != Qt::DisplayRole) return {};
  static const char* const kHeaders[kColumns] = {"Run",          "Kind",          "Model",     "ZeRO",
                                                 "Ranks",        "Steps",         "Step time", "Tokens/s",
                                                 "Exposed comm", "Peak per rank", "Loss"};
  return QString::fromLatin1(kHeaders[section]);
}

}  // namespace shardscope::gui
