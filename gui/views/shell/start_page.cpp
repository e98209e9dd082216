#include "gui/views/shell/start_page.h"

#include <QFileInfo>
#include <QLabel>
#include <QProgressBar>
#include <QPushButton>
#include <QVBoxLayout>

namespace shardscope::gui {
namespace {

constexpr int kMostRecent = 6, kWidth = 560;

/// A label does not tell its layout how high its lines are.
void set_text(QLabel* label, const QString& text) {
  label->setText(text);
  const QRect lines = label->fontMetrics().boundingRect(0, 0, kWidth, 10'000, Qt::TextWordWrap, text);
  label->setFixedHeight(text.isEmpty() ? 0 : lines.height() + 2);
}

QLabel* make_text(const QString& text) {
  auto* label = new QLabel;
  label->setWordWrap(true);
  label->setFixedWidth(kWidth);
  set_text(label, text);
  return label;
}

}  // namespace

StartPage::StartPage(QWidget* parent) : QWidget(parent) {
  setObjectName(QStringLiteral("start"));
  auto* title = new QLabel(QStringLiteral("Shardscope"));
  QFont large = title->font();
  large.setPointSizeF(large.pointSizeF() * 2);
  large.setBold(true);
  title->setFont(large);
  auto* open = new QPushButton(QStringLiteral("Open a profile…"));
  open->setObjectName(QStringLiteral("open"));
  demo_ = new QPushButton(QStringLiteral("Show a demo"));
  demo_->setObjectName(QStringLiteral("demo"));
  auto* plan = new QPushButton(QStringLiteral("Plan a training run"));
  plan->setObjectName(QStringLiteral("plan"));
  demo_text_ = make_text({});
  progress_ = new QProgressBar;
  progress_->setRange(0, 0);
  progress_->setTextVisible(false);
  progress_->hide();

  auto* column = new QWidget;
  auto* layout = new QVBoxLayout(column);
  layout->setContentsMargins({});
  layout->addWidget(title);
  layout->addWidget(make_text(QStringLiteral(
      "See where the time and the memory of sharded training go, on every rank, measured beside predicted.")));
  layout->addSpacing(18);
  layout->addWidget(open);
  layout->addWidget(
      make_text(QStringLiteral("Or drop files on this window. A run records one with "
                               "“shardscope train job.json --profile run.db”.")));
  layout->addSpacing(18);
  layout->addWidget(demo_);
  layout->addWidget(demo_text_);
  layout->addWidget(progress_);
  layout->addSpacing(18);
  layout->addWidget(plan);
  layout->addWidget(
      make_text(QStringLiteral("Which GPUs, how many, and how to train on them: nothing needs to have run.")));
  layout->addSpacing(18);
  recent_ = new QVBoxLayout;
  layout->addLayout(recent_);
  auto* middle = new QVBoxLayout(this);
  middle->addStretch(1);
  middle->addWidget(column, 0, Qt::AlignHCenter);
  middle->addStretch(2);
  connect(open, &QPushButton::clicked, this, &StartPage::asked_to_open);
  connect(plan, &QPushButton::clicked, this, &StartPage::asked_to_plan);
  connect(demo_, &QPushButton::clicked, this, &StartPage::asked_for_demo);
  set_demo(true, {});
}

void StartPage::set_demo(bool possible, const QString& why_not) {
  demo_->setEnabled(possible);
  set_text(demo_text_,
           possible ? QStringLiteral("Trains a GPT of 10 million parameters on two ranks of this machine, under ZeRO-0 "
                                     "and ZeRO-3, for some seconds, and shows it while it runs.")
                    : why_not);
}

void StartPage::set_progress(const QString& text) {
  progress_->setVisible(!text.isEmpty());
  demo_->setEnabled(text.isEmpty());
  if (!text.isEmpty()) set_text(demo_text_, text);
}

void StartPage::set_recent(const QStringList& files) {
  while (QLayoutItem* item = recent_->takeAt(0)) {
    delete item->widget();
    delete item;
  }
  if (!files.isEmpty()) recent_->addWidget(new QLabel(QStringLiteral("Opened before")));
  for (const QString& file : files.mid(0, kMostRecent)) {
    auto* button =
        new QPushButton(QStringLiteral("%1   in %2").arg(QFileInfo(file).fileName(), QFileInfo(file).absolutePath()));
    button->setStyleSheet(QStringLiteral("text-align: left; padding: 4px 8px"));
    connect(button, &QPushButton::clicked, this, [this, file] { Q_EMIT asked_for_file(file); });
    recent_->addWidget(button);
  }
}

}  // namespace shardscope::gui
