#pragma once
// Every command by its name: type some letters of it, Enter runs the first.
//
//   CommandPalette palette(actions, window);  palette.exec();

#include <QAction>
#include <QDialog>
#include <QList>

class QLineEdit;
class QListWidget;

namespace shardscope::gui {

class CommandPalette : public QDialog {
  Q_OBJECT

 public:
  CommandPalette(QList<QAction*> actions, QWidget* parent);

 private:
  void show_matching(const QString& typed);
  void run_current();
  bool eventFilter(QObject* watched, QEvent* event) override;

  QList<QAction*> actions_;
  QLineEdit* line_ = nullptr;
  QListWidget* list_ = nullptr;
};

/// "Zoom in" and its keys, "W, Up, I, +": what palette and key sheet show.
QString name_of(const QAction& action);
QString keys_of(const QAction& action);

/// All commands with their keys, as a table.
class KeySheet : public QDialog {
  Q_OBJECT

 public:
  KeySheet(const QList<QAction*>& actions, QWidget* parent);
};

}  // namespace shardscope::gui
