#include "gui/views/plan/number_input.h"

#include <QCheckBox>
#include <QHBoxLayout>
#include <QLineEdit>
#include <QSignalBlocker>
#include <QSlider>
#include <algorithm>
#include <cmath>

namespace shardscope::gui {
namespace {

constexpr int kSteps = 240;  ///< of a slider, along its range

struct Suffix {
  char letter;
  double factor;
};
constexpr Suffix kSuffixes[] = {{'T', 1e12}, {'B', 1e9}, {'G', 1e9}, {'M', 1e6}, {'K', 1e3}};

/// What the second digit counts; of whole numbers below a hundred 1.
double unit_of(double value, bool whole) {
  if (whole && value < 100) return 1;
  return std::pow(10, std::floor(std::log10(value) + 1e-9) - 1);
}

/// Two digits: what a slider can mean.
double rounded(double value, bool whole) {
  const double unit = unit_of(value, whole);
  return std::max(std::round(value / unit), 1.0) * unit;
}

}  // namespace

int next_gesture() {
  static int last = 0;
  return ++last;
}

std::optional<double> parse_number(const QString& text) {
  QString number = text.trimmed();
  double factor = 1;
  for (const Suffix& s : kSuffixes) {
    if (!number.endsWith(QLatin1Char(s.letter), Qt::CaseInsensitive)) continue;
    factor = s.factor;
    number.chop(1);
    break;
  }
  bool good = false;
  const double value = number.trimmed().toDouble(&good) * factor;
  if (!good || !std::isfinite(value) || value <= 0) return std::nullopt;
  return value;
}

QString format_number(double value, bool whole) {
  for (const Suffix& s : kSuffixes) {
    if (s.letter == 'G' || value < s.factor) continue;
    const double part = value / s.factor;
    if (std::abs(part - std::round(part * 100) / 100) > 1e-9 && whole) break;  // every digit counts
    return QString::number(part, 'g', 4) + QLatin1Char(s.letter);
  }
  return whole ? QString::number(static_cast<qint64>(value)) : QString::number(value, 'g', 4);
}

NumberInput::NumberInput(const NumberRange& range, QWidget* parent) : QWidget(parent), range_(range) {
  auto* layout = new QHBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  if (*range.absent != '\0') {
    box_ = new QCheckBox;
    box_->setToolTip(QStringLiteral("Unchecked: %1").arg(QString::fromUtf8(range.absent)));
    layout->addWidget(box_);
    connect(box_, &QCheckBox::toggled, this, &NumberInput::take_box);
  }
  slider_ = new QSlider(Qt::Horizontal);
  slider_->setRange(0, kSteps);
  slider_->setPageStep(kSteps / 12);
  text_ = new QLineEdit;
  text_->setMaximumWidth(86);
  layout->addWidget(slider_, 1);
  layout->addWidget(text_);
  setFocusProxy(slider_);
  connect(slider_, &QSlider::sliderPressed, this, [this] { gesture_ = next_gesture(); });
  connect(slider_, &QSlider::sliderReleased, this, [this] { gesture_ = 0; });
  connect(slider_, &QSlider::valueChanged, this, &NumberInput::take_slider);
  connect(text_, &QLineEdit::editingFinished, this, &NumberInput::take_text);
  show_value();
}

void NumberInput::set_name(const QString& name) {
  slider_->setAccessibleName(name);
  text_->setAccessibleName(name + QStringLiteral(", as text"));
  if (box_ != nullptr) {
    box_->setAccessibleName(QStringLiteral("%1: set it; else %2").arg(name, QString::fromUtf8(range_.absent)));
  }
}

void NumberInput::set_value(double value) {
  value_ = value;
  show_value();
}

void NumberInput::show_value() {
  const QSignalBlocker no_slider(slider_), no_text(text_);
  const bool present = value_ > 0;
  if (box_ != nullptr) {
    const QSignalBlocker no_box(box_);
    box_->setChecked(present);
  }
  slider_->setEnabled(present || box_ == nullptr);
  text_->setPlaceholderText(QString::fromUtf8(range_.absent));
  const double shown = present ? value_ : range_.usual > 0 ? range_.usual : range_.low;
  slider_->setValue(step_of(shown));
  const QString unit = *range_.unit != '\0' ? QLatin1Char(' ') + QString::fromUtf8(range_.unit) : QString();
  text_->setText(present ? format_number(value_, range_.whole) + unit : QString());
}

int NumberInput::step_of(double value) const {
  const double part = std::log(value / range_.low) / std::log(range_.high / range_.low);
  return static_cast<int>(std::lround(kSteps * std::clamp(part, 0.0, 1.0)));
}

/// A step that is too small to show in two digits goes to the next number all the same.
void NumberInput::take_slider() {
  const int step = slider_->value(), before = step_of(value_ > 0 ? value_ : range_.low);
  double value =
      rounded(range_.low * std::pow(range_.high / range_.low, static_cast<double>(step) / kSteps), range_.whole);
  if (value == value_ && step != before) value += (step > before ? 1 : -1) * unit_of(value, range_.whole);
  value_ = std::clamp(value, range_.low, range_.high);
  show_value();
  Q_EMIT changed(value_, gesture_ != 0 ? gesture_ : next_gesture());
}

void NumberInput::take_text() {
  QString text = text_->text();
  text.remove(QString::fromUtf8(range_.unit));
  const bool left_out = text.trimmed().isEmpty() && box_ != nullptr;
  const std::optional<double> value = left_out ? std::optional(0.0) : parse_number(text);
  if (!value || *value == value_) return show_value();  // what is no number changes nothing
  value_ = range_.whole ? std::round(*value) : *value;
  show_value();
  Q_EMIT changed(value_, next_gesture());
}

void NumberInput::take_box(bool present) {
  value_ = !present ? 0 : range_.usual > 0 ? range_.usual : range_.low;
  show_value();
  Q_EMIT changed(value_, next_gesture());
}

}  // namespace shardscope::gui
