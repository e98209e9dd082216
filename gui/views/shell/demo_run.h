#pragma once
// The demo: `shardscope train`, started twice as a program of its own, into a profile that can be looked at while it is
// written.
//
//   DemoRun demo;
//   connect(&demo, &DemoRun::began, window, [](const QString& profile) { ... });
//   demo.start();

#include <QObject>
#include <QProcess>
#include <QStringList>
#include <QTimer>

namespace shardscope::gui {

class DemoRun : public QObject {
  Q_OBJECT

 public:
  explicit DemoRun(QObject* parent = nullptr);
  ~DemoRun() override;  ///< ends the program that runs
  /// The `shardscope` program beside this one, in the build's folder beside it, or in PATH; empty: none.
  static QString program();
  void start();
  void cancel();
  bool is_running() const { return process_.state() != QProcess::NotRunning; }
  const QString& profile() const { return profile_; }

 Q_SIGNALS:
  void progress(const QString& text);  ///< what it does now; empty: it is done
  void began(const QString& profile);  ///< the profile is there, and grows
  void failed(const QString& text);

 private:
  void start_stage();
  void look_for_profile();
  void ended(int code, QProcess::ExitStatus status);
  QProcess process_;
  QString profile_;
  QStringList stages_;
  QTimer look_;
};

}  // namespace shardscope::gui
