#pragma once
// What a newcomer sees: what the program is for, a button that makes something to look at, and the files of last time.
//
//   connect(page, &StartPage::asked_for_demo, window, &MainWindow::make_demo);

#include <QStringList>
#include <QWidget>

class QLabel;
class QProgressBar;
class QPushButton;
class QVBoxLayout;

namespace shardscope::gui {

class StartPage : public QWidget {
  Q_OBJECT

 public:
  explicit StartPage(QWidget* parent = nullptr);
  void set_recent(const QStringList& files);
  void set_demo(bool possible, const QString& why_not);
  void set_progress(const QString& text);  ///< of the demo under way; empty: none

 Q_SIGNALS:
  void asked_to_open();
  void asked_for_file(const QString& file);
  void asked_for_demo();
  void asked_to_plan();

 private:
  QPushButton* demo_ = nullptr;
  QLabel* demo_text_ = nullptr;
  QProgressBar* progress_ = nullptr;
  QVBoxLayout* recent_ = nullptr;
};

}  // namespace shardscope::gui
