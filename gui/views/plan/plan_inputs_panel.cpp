#include "gui/views/plan/plan_inputs_panel.h"

#include <QAction>
#include <QComboBox>
#include <QCompleter>
#include <QFormLayout>
#include <QLabel>
#include <QLineEdit>
#include <QMenu>
#include <QSignalBlocker>
#include <QToolButton>
#include <algorithm>
#include <array>

#include "core/spec/model_catalog.h"
#include "simulator/planner/plan_case.h"

namespace shardscope::gui {
namespace {

const QString kSearch = QStringLiteral("search");  // what a size says that is not fixed

QStringList names(const std::vector<std::string>& all) {
  QStringList list;
  for (const std::string& name : all) list << QString::fromStdString(name);
  return list;
}

template <class Number>
QString text_of(const std::optional<Number>& value) {
  return value ? QString::number(*value) : kSearch;
}

template <class Number>
void read_size(const QString& text, std::optional<Number>& value) {
  bool good = false;
  const qlonglong number = text.toLongLong(&good);
  value = good && number >= 0 ? std::optional(static_cast<Number>(number)) : std::nullopt;
}

QString joined(const std::vector<std::string>& list) {
  return list.empty() ? QStringLiteral("none") : names(list).join(QStringLiteral(", "));
}

constexpr std::array kOffloads{Offload::kNone, Offload::kOptimizer, Offload::kOptimizerNvme, Offload::kParameters,
                               Offload::kParametersNvme};
constexpr std::array kRecomputes{Recompute::kNone, Recompute::kSelective, Recompute::kFull};
constexpr std::array kObjectives{Objective::kCost, Objective::kTime, Objective::kEnergy};

template <class Values>
QStringList choices_of(const Values& values, bool may_search) {
  QStringList list;
  if (may_search) list << kSearch;
  for (const auto value : values) list << QString::fromStdString(std::string(to_string(value)));
  return list;
}

template <class Values>
auto value_of(const Values& values, const QString& text) {
  using Value = typename Values::value_type;
  for (const Value value : values) {
    if (text == QString::fromStdString(std::string(to_string(value)))) return std::optional<Value>(value);
  }
  return std::optional<Value>();
}

}  // namespace

PlanInputsPanel::PlanInputsPanel(const HardwareCatalog& catalog, QWidget* parent) : QScrollArea(parent) {
  auto* inside = new QWidget;
  form_ = new QFormLayout(inside);
  form_->setFieldGrowthPolicy(QFormLayout::AllNonFixedFieldsGrow);
  form_->setVerticalSpacing(5);
  build_workload();
  build_hardware(catalog);
  build_layout();
  build_wishes();
  setWidget(inside);
  setWidgetResizable(true);
  setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  setFrameShape(QFrame::NoFrame);
  setFocusPolicy(Qt::NoFocus);
  setMinimumWidth(inside->minimumSizeHint().width() + 24);
  set_inputs(PlanInputs());
}

void PlanInputsPanel::add_row(const char* name, const QString& label, QWidget* control, const QString& tip) {
  control->setObjectName(QString::fromLatin1(name));
  control->setToolTip(tip);
  control->setAccessibleDescription(tip);
  if (control->accessibleName().isEmpty()) control->setAccessibleName(QString(label).remove(QLatin1Char('&')));
  auto* text = new QLabel(label);
  text->setToolTip(tip);
  text->setBuddy(control);
  form_->addRow(text, control);
}

void PlanInputsPanel::add_number(const char* name, const QString& label, const NumberRange& range, const QString& tip,
                                 std::function<double(const PlanInputs&)> get,
                                 std::function<void(PlanInputs&, double)> set) {
  auto* number = new NumberInput(range);
  number->set_name(QString(label).remove(QLatin1Char('&')));
  add_row(name, label, number, tip);
  show_.emplace_back([this, number, get = std::move(get)] { number->set_value(get(inputs_)); });
  connect(number, &NumberInput::changed, this, [this, set = std::move(set)](double value, int gesture) {
    change([&](PlanInputs& in) { set(in, value); }, gesture);
  });
}

void PlanInputsPanel::add_choice(const char* name, const QString& label, const QStringList& choices, const QString& tip,
                                 std::function<QString(const PlanInputs&)> get,
                                 std::function<void(PlanInputs&, const QString&)> set) {
  auto* box = new QComboBox;
  box->addItems(choices);
  box->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
  add_row(name, label, box, tip);
  show_.emplace_back([this, box, get = std::move(get)] {
    const QSignalBlocker quiet(box);
    const QString text = get(inputs_);
    if (box->findText(text) < 0) box->addItem(text);  // of a file: any size may be fixed there
    box->setCurrentText(text);
  });
  connect(box, &QComboBox::currentTextChanged, this, [this, set = std::move(set)](const QString& text) {
    change([&](PlanInputs& in) { set(in, text); }, next_gesture());
  });
}

/// A button that opens a list of boxes.
void PlanInputsPanel::add_list(const char* name, const QString& label, const QStringList& choices, const QString& tip,
                               std::vector<std::string> PlanInputs::*list) {
  auto* button = new QToolButton;
  button->setPopupMode(QToolButton::InstantPopup);
  button->setToolButtonStyle(Qt::ToolButtonTextOnly);
  button->setFocusPolicy(Qt::StrongFocus);
  button->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
  auto* menu = new QMenu(button);
  for (const QString& choice : choices) {
    QAction* action = menu->addAction(choice);
    action->setCheckable(true);
    connect(action, &QAction::toggled, this, [this, list, choice](bool on) {
      change(
          [&](PlanInputs& in) {
            std::erase(in.*list, choice.toStdString());
            if (on) (in.*list).push_back(choice.toStdString());
          },
          next_gesture());
      for (const Show& show : show_) show();
    });
  }
  button->setMenu(menu);
  add_row(name, label, button, tip);
  show_.emplace_back([this, button, menu, list, label] {
    const QString text = joined(inputs_.*list);
    button->setText(text);
    button->setAccessibleName(label + QStringLiteral(": ") + text);
    for (QAction* action : menu->actions()) {
      const QSignalBlocker quiet(action);
      const auto& chosen = inputs_.*list;
      action->setChecked(std::find(chosen.begin(), chosen.end(), action->text().toStdString()) != chosen.end());
    }
  });
}

void PlanInputsPanel::add_model() {
  auto* box = new QComboBox;
  box->setEditable(true);
  box->setInsertPolicy(QComboBox::NoInsert);
  box->addItems(names(model_names()));
  box->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
  box->setMinimumContentsLength(14);
  box->completer()->setFilterMode(Qt::MatchContains);
  box->completer()->setCompletionMode(QCompleter::PopupCompletion);
  add_row("model", QStringLiteral("&Model"), box,
          QStringLiteral("A name of the catalog, or the path of a config.json"));
  box->setAccessibleName(QStringLiteral("Model"));
  show_.emplace_back([this, box] {
    const QSignalBlocker quiet(box);
    box->setCurrentText(QString::fromStdString(inputs_.model));
  });
  const auto take = [this, box] {
    const std::string model = box->currentText().trimmed().toStdString();
    if (model.empty() || model == inputs_.model) return;
    change([&](PlanInputs& in) { in.model = model; }, next_gesture());
  };
  connect(box->lineEdit(), &QLineEdit::editingFinished, this, take);
  connect(box, &QComboBox::activated, this, take);
}

void PlanInputsPanel::build_workload() {
  add_model();
  add_number(
      "tokens", QStringLiteral("Tokens"), {.low = 1e9, .high = 1e14}, QStringLiteral("To train on: 300B, 15T"),
      [](const PlanInputs& in) { return in.tokens; }, [](PlanInputs& in, double v) { in.tokens = v; });
  add_number(
      "seq", QStringLiteral("Sequence"), {.low = 256, .high = 262144, .whole = true, .absent = "auto", .usual = 4096},
      QStringLiteral("Tokens of a sequence; auto: the model's positions, at most 8192"),
      [](const PlanInputs& in) { return static_cast<double>(in.seq); },
      [](PlanInputs& in, double v) { in.seq = static_cast<std::int64_t>(v); });
  add_number(
      "global_batch", QStringLiteral("Global batch"),
      {.low = 1, .high = 16384, .whole = true, .absent = "auto", .usual = 256},
      QStringLiteral("Sequences of a step, of all GPUs; auto: GPT-3's by the model's size"),
      [](const PlanInputs& in) { return static_cast<double>(in.global_batch); },
      [](PlanInputs& in, double v) { in.global_batch = static_cast<std::int64_t>(v); });
}

void PlanInputsPanel::build_hardware(const HardwareCatalog& catalog) {
  QStringList kinds;
  for (const GpuSpec& gpu : catalog.gpus) kinds << QString::fromStdString(gpu.name);
  add_list("gpus", QStringLiteral("GPU kinds"), kinds, QStringLiteral("Kinds, each in its usual system"),
           &PlanInputs::gpus);
  add_number(
      "min_gpus", QStringLiteral("Fewest GPUs"), {.low = 1, .high = 16384, .whole = true},
      QStringLiteral("Fewest GPUs"), [](const PlanInputs& in) { return in.min_gpus; },
      [](PlanInputs& in, double v) {
        in.min_gpus = static_cast<int>(std::min(v, 1048576.0));
        in.max_gpus = std::max(in.max_gpus, in.min_gpus);
      });
  add_number(
      "max_gpus", QStringLiteral("Most GPUs"), {.low = 1, .high = 16384, .whole = true},
      QStringLiteral("The search tries no more"), [](const PlanInputs& in) { return in.max_gpus; },
      [](PlanInputs& in, double v) {
        in.max_gpus = static_cast<int>(std::min(v, 1048576.0));
        in.min_gpus = std::min(in.max_gpus, in.min_gpus);
      });
  add_number(
      "nic_gbps", QStringLiteral("Network"),
      {.low = 10, .high = 3200, .unit = "Gbit/s", .absent = "auto", .usual = 400},
      QStringLiteral("Gigabits a second of each NIC, one way; auto: the system's own"),
      [](const PlanInputs& in) { return in.nic_gbps; }, [](PlanInputs& in, double v) { in.nic_gbps = v; });
  add_number(
      "usd_per_gpu_hour", QStringLiteral("Price"),
      {.low = 0.1, .high = 20, .unit = "USD/h", .absent = "auto", .usual = 2},
      QStringLiteral("USD per GPU hour, of every kind; auto: the catalog's"),
      [](const PlanInputs& in) { return in.usd_per_gpu_hour; },
      [](PlanInputs& in, double v) { in.usd_per_gpu_hour = v; });
}

void PlanInputsPanel::build_layout() {
  std::vector<std::string> frameworks;
  for (const FrameworkSpec& f : default_frameworks()) frameworks.push_back(f.name);
  add_list("frameworks", QStringLiteral("Frameworks"), names(frameworks),
           QStringLiteral("Whose rules a plan keeps to; the exported files are theirs"), &PlanInputs::frameworks);
  add_choice(
      "precision", QStringLiteral("Precision"),
      {QStringLiteral("bf16"), QStringLiteral("fp16"), QStringLiteral("fp8"), QStringLiteral("fp4"),
       QStringLiteral("tf32"), QStringLiteral("fp32")},
      QStringLiteral("Of matrix products"), [](const PlanInputs& in) { return QString::fromStdString(in.precision); },
      [](PlanInputs& in, const QString& text) { in.precision = text.toStdString(); });
  const auto sizes = [](std::initializer_list<int> all) {
    QStringList list{kSearch};
    for (int n : all) list << QString::number(n);
    return list;
  };
  add_choice(
      "zero", QStringLiteral("ZeRO &stage"), sizes({0, 1, 2, 3}),
      QStringLiteral("0: copies; 1: optimizer shared; 2: gradients too; 3: parameters too"),
      [](const PlanInputs& in) { return text_of(in.zero); },
      [](PlanInputs& in, const QString& text) { read_size(text, in.zero); });
  add_choice(
      "tp", QStringLiteral("&Tensor parallel"), sizes({1, 2, 4, 8, 16, 32}),
      QStringLiteral("GPUs that share each layer"), [](const PlanInputs& in) { return text_of(in.tp); },
      [](PlanInputs& in, const QString& text) { read_size(text, in.tp); });
  add_choice(
      "pp", QStringLiteral("&Pipeline stages"), sizes({1, 2, 4, 8, 16, 32, 64}),
      QStringLiteral("Groups of layers on different GPUs"), [](const PlanInputs& in) { return text_of(in.pp); },
      [](PlanInputs& in, const QString& text) { read_size(text, in.pp); });
  add_choice(
      "micro_batch", QStringLiteral("Micro-&batch"), sizes({1, 2, 4, 8, 16}), QStringLiteral("Sequences at once"),
      [](const PlanInputs& in) { return text_of(in.micro_batch); },
      [](PlanInputs& in, const QString& text) { read_size(text, in.micro_batch); });
  add_choice(
      "offload", QStringLiteral("Offload"), choices_of(kOffloads, true),
      QStringLiteral("What leaves the device for the host's memory or drives"),
      [](const PlanInputs& in) {
        return in.offload ? QString::fromStdString(std::string(to_string(*in.offload))) : kSearch;
      },
      [](PlanInputs& in, const QString& text) { in.offload = value_of(kOffloads, text); });
  add_choice(
      "recompute", QStringLiteral("Recompute"), choices_of(kRecomputes, true),
      QStringLiteral("Activations that the backward pass computes again"),
      [](const PlanInputs& in) {
        return in.recompute ? QString::fromStdString(std::string(to_string(*in.recompute))) : kSearch;
      },
      [](PlanInputs& in, const QString& text) { in.recompute = value_of(kRecomputes, text); });
}

void PlanInputsPanel::build_wishes() {
  add_number(
      "deadline_days", QStringLiteral("&Deadline"),
      {.low = 0.5, .high = 730, .unit = "days", .absent = "none", .usual = 30},
      QStringLiteral("The training may take so long"), [](const PlanInputs& in) { return in.deadline_days; },
      [](PlanInputs& in, double v) { in.deadline_days = v; });
  add_number(
      "budget_usd", QStringLiteral("B&udget"), {.low = 1e3, .high = 1e9, .unit = "USD", .absent = "none", .usual = 1e6},
      QStringLiteral("The training may cost so much"), [](const PlanInputs& in) { return in.budget_usd; },
      [](PlanInputs& in, double v) { in.budget_usd = v; });
  add_choice(
      "objective", QStringLiteral("Recommend by"), choices_of(kObjectives, false),
      QStringLiteral("What the recommended plan is best in"),
      [](const PlanInputs& in) { return QString::fromStdString(std::string(to_string(in.objective))); },
      [](PlanInputs& in, const QString& text) {
        in.objective = value_of(kObjectives, text).value_or(Objective::kCost);
      });
}

void PlanInputsPanel::set_inputs(const PlanInputs& inputs) {
  inputs_ = inputs;
  for (const Show& show : show_) show();
}

void PlanInputsPanel::change(const std::function<void(PlanInputs&)>& set, int gesture) {
  const PlanInputs before = inputs_;
  set(inputs_);
  if (inputs_ == before) return;
  if (inputs_.min_gpus != before.min_gpus || inputs_.max_gpus != before.max_gpus) {
    for (const Show& show : show_) show();  // one end of the range may have moved the other
  }
  Q_EMIT changed(inputs_, gesture);
}

}  // namespace shardscope::gui
