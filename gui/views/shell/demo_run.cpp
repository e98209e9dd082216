#include "gui/views/shell/demo_run.h"

#include <QCoreApplication>
#include <QDir>
#include <QFile>
#include <QFileInfo>
#include <QStandardPaths>

namespace shardscope::gui {
namespace {

constexpr int kEndMs = 2000, kLookMs = 500;
constexpr qint64 kTables = 16'384;  ///< bytes: a profile with its tables is larger

}  // namespace

DemoRun::DemoRun(QObject* parent) : QObject(parent) {
  connect(&process_, &QProcess::finished, this, &DemoRun::ended);
  connect(&look_, &QTimer::timeout, this, &DemoRun::look_for_profile);
  look_.setInterval(kLookMs);
  connect(&process_, &QProcess::errorOccurred, this, [this](QProcess::ProcessError error) {
    if (error != QProcess::FailedToStart) return;  // the others come with finished()
    Q_EMIT progress({});
    Q_EMIT failed(QStringLiteral("the demo: %1 cannot be started").arg(process_.program()));
  });
}

DemoRun::~DemoRun() {
  process_.disconnect(this);
  if (!is_running()) return;
  process_.terminate();
  if (!process_.waitForFinished(kEndMs)) process_.kill();
  process_.waitForFinished(kEndMs);
}

QString DemoRun::program() {
  const QDir here(QCoreApplication::applicationDirPath());
  for (const char* place : {"shardscope", "../cli/shardscope"}) {
    const QFileInfo file(here.filePath(QString::fromLatin1(place)));
    if (file.isFile() && file.isExecutable()) return file.canonicalFilePath();
  }
  return QStandardPaths::findExecutable(QStringLiteral("shardscope"));
}

void DemoRun::start() {
  if (is_running()) return;
  const QString folder = QStandardPaths::writableLocation(QStandardPaths::AppDataLocation);
  profile_ = folder + QStringLiteral("/demo.db");
  if (!QDir().mkpath(folder)) {
    Q_EMIT failed(QStringLiteral("the demo: %1: cannot be created").arg(folder));
    return;
  }
  for (const char* end : {"", "-wal", "-shm"}) QFile::remove(profile_ + QString::fromLatin1(end));
  stages_ = {QStringLiteral("0"), QStringLiteral("3")};
  start_stage();
  look_.start();
}

void DemoRun::look_for_profile() {
  if (QFileInfo(profile_).size() + QFileInfo(profile_ + QStringLiteral("-wal")).size() < kTables) return;
  look_.stop();
  Q_EMIT began(profile_);
}

void DemoRun::start_stage() {
  const QString stage = stages_.takeFirst();
  Q_EMIT progress(QStringLiteral("Training under ZeRO-%1…").arg(stage));
  process_.start(program(),
                 {QStringLiteral("train"), QStringLiteral("--model"), QStringLiteral("gpt-10m"),
                  QStringLiteral("--data"), QStringLiteral("/usr/share/common-licenses"), QStringLiteral("--ranks"),
                  QStringLiteral("2"), QStringLiteral("--seq"), QStringLiteral("128"), QStringLiteral("--micro-batch"),
                  QStringLiteral("2"), QStringLiteral("--steps"), QStringLiteral("20"), QStringLiteral("--stage"),
                  stage, QStringLiteral("--quiet"), QStringLiteral("--profile"), profile_});
}

void DemoRun::cancel() {
  stages_.clear();
  if (is_running()) process_.terminate();
}

void DemoRun::ended(int code, QProcess::ExitStatus status) {
  if (status != QProcess::NormalExit || code != 0) {
    const QString said = QString::fromUtf8(process_.readAllStandardError()).trimmed().section(QLatin1Char('\n'), -1);
    Q_EMIT progress({});
    Q_EMIT failed(QStringLiteral("the demo ended early: %1").arg(said.isEmpty() ? QStringLiteral("stopped") : said));
    return;
  }
  if (look_.isActive()) look_for_profile();
  if (!stages_.isEmpty()) return start_stage();
  Q_EMIT progress({});
}

}  // namespace shardscope::gui
