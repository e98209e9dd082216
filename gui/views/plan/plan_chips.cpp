#include "gui/views/plan/plan_chips.h"

#include <QHBoxLayout>
#include <QPushButton>
#include <algorithm>

namespace shardscope::gui {
namespace {

bool is_same(const PlanChip& a, const PlanChip& b) {
  return a.input == b.input && a.text == b.text && a.blocks == b.blocks && a.nearest == b.nearest;
}

QString text_of(const PlanChip& chip) {
  const QString text = QString::fromStdString(chip.text);
  return chip.blocks ? QStringLiteral("⚠ %1 blocks; without: %2").arg(text, QString::fromStdString(chip.nearest))
                     : text + QStringLiteral("  ×");
}

}  // namespace

PlanChips::PlanChips(QWidget* parent) : QWidget(parent) {
  auto* layout = new QHBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(6);
  setAccessibleName(QStringLiteral("Limits"));
}

/// Buttons are made anew only if they say something else: a slider under the pointer must not lose its frames to that.
void PlanChips::show_chips(const std::vector<PlanChip>& chips) {
  if (std::equal(chips.begin(), chips.end(), chips_.begin(), chips_.end(), is_same)) return;
  chips_ = chips;
  const QWidget* focused = isAncestorOf(focusWidget()) && focusWidget()->hasFocus() ? focusWidget() : nullptr;
  const QString before = focused != nullptr ? focused->objectName() : QString();
  while (QLayoutItem* item = layout()->takeAt(0)) {
    if (QWidget* widget = item->widget()) {
      widget->setParent(nullptr);  // it may be the one that was clicked, and is on the stack
      widget->deleteLater();
    }
    delete item;
  }
  auto* row = static_cast<QHBoxLayout*>(layout());
  for (const PlanChip& chip : chips) {
    auto* button = new QPushButton(text_of(chip));
    button->setObjectName(QStringLiteral("chip_%1").arg(static_cast<int>(chip.input)));
    button->setProperty("blocks", chip.blocks);
    const bool gpus = chip.input == PlanInput::kGpus;
    button->setToolTip(gpus ? QStringLiteral("Allow from 1 to eight times as many GPUs")
                            : QStringLiteral("Search without it"));
    button->setAccessibleName(text_of(chip));
    button->setSizePolicy(QSizePolicy::Maximum, QSizePolicy::Fixed);
    QFont font = button->font();
    font.setBold(chip.blocks);
    button->setFont(font);
    connect(button, &QPushButton::clicked, this, [this, input = chip.input] { Q_EMIT freed(input); });
    row->addWidget(button);
  }
  row->addStretch(1);
  if (before.isEmpty()) return;
  QPushButton* same = findChild<QPushButton*>(before);
  if (same == nullptr) same = findChild<QPushButton*>();  // freed: its neighbour
  if (same != nullptr) same->setFocus();
}

}  // namespace shardscope::gui
