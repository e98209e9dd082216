#pragma once
// Pictures that must stay as they are, byte for byte: tests/golden/gui/NAME.png. With SHARDSCOPE_WRITE_GOLDEN=1 they
// are written anew (then look at them); on failure what was painted lies in golden_failures/ below the working folder.
//
//   expect_golden("plan", [](bool dark) { return draw_plan(result, relief, {.dark = dark}, 1200, 560, text_width());
//   });
//
// Fonts decide on every pixel: where DejaVu Sans is missing, nothing can be compared, and the test is skipped.

#include <gtest/gtest.h>

#include <QDir>
#include <QFileInfo>
#include <QFontDatabase>
#include <QImage>
#include <cstdlib>
#include <functional>

#include "gui/paint/paint_picture.h"
#include "source_dir.h"

namespace shardscope::gui::testing {

inline void expect_golden_image(const QString& name, const QImage& painted) {
  const QString path = QStringLiteral(SHARDSCOPE_SOURCE_DIR "/tests/golden/gui/") + name + QStringLiteral(".png");
  if (qEnvironmentVariableIsSet("SHARDSCOPE_WRITE_GOLDEN")) {
    QDir().mkpath(QFileInfo(path).path());
    constexpr int kSmallest = 0;  // of PNG: as compressed as it gets
    ASSERT_TRUE(painted.save(path, "PNG", kSmallest)) << path.toStdString();
    return;
  }
  const QImage golden = QImage(path).convertToFormat(painted.format());
  if (golden == painted) return;
  const QString failed = QStringLiteral("golden_failures/") + name + QStringLiteral(".png");
  QDir().mkpath(QStringLiteral("golden_failures"));
  painted.save(failed);
  ADD_FAILURE() << path.toStdString() << (golden.isNull() ? " is missing" : " differs")
                << "; painted: " << QFileInfo(failed).absoluteFilePath().toStdString()
                << " (SHARDSCOPE_WRITE_GOLDEN=1 takes it)";
}

/// Light and dark, scale 1 and 2: NAME-light-1x.png and so on.
inline void expect_golden(const char* name, const std::function<Picture(bool dark)>& draw) {
  if (!QFontDatabase::hasFamily(QStringLiteral("DejaVu Sans"))) GTEST_SKIP() << "no DejaVu Sans (fonts-dejavu-core)";
  for (const bool dark : {false, true}) {
    const Picture picture = draw(dark);
    for (const int scale : {1, 2}) {
      expect_golden_image(QStringLiteral("%1-%2-%3x")
                              .arg(QString::fromLatin1(name), dark ? QStringLiteral("dark") : QStringLiteral("light"))
                              .arg(scale),
                          paint_image(picture, scale));
    }
  }
}

}  // namespace shardscope::gui::testing
