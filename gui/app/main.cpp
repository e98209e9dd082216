// shardscope-gui: opens profiles in a window, or draws that window into a file.

#include <QApplication>
#include <QCommandLineParser>
#include <QFont>
#include <QIcon>
#include <QTimer>
#include <QUrl>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "gui/views/main_window.h"
#include "gui/views/view.h"

namespace shardscope::gui {
namespace {

constexpr int kDone = 0, kFailed = 1, kBadInput = 2;  // as the command line's

void add_options(QCommandLineParser& parser) {
  parser.setApplicationDescription(QStringLiteral("Shows the runs of Shardscope profiles, measured beside predicted."));
  parser.addHelpOption();
  parser.addOption({QStringLiteral("screenshot"), QStringLiteral("Draw the window into FILE (.png) and end."),
                    QStringLiteral("FILE")});
  parser.addOption(
      {QStringLiteral("size"), QStringLiteral("Size of the window, WIDTHxHEIGHT."), QStringLiteral("WxH")});
  parser.addOption({QStringLiteral("theme"),
                    QStringLiteral("light or dark; if not given the desktop's, of --screenshot light."),
                    QStringLiteral("NAME")});
  parser.addOption({QStringLiteral("state"),
                    QStringLiteral("A saved view (File > Save view) to begin with: its files, run and views."),
                    QStringLiteral("FILE")});
  QStringList views;
  for (const ViewEntry& entry : view_list()) views << QString::fromLatin1(entry.id);
  parser.addOption({QStringLiteral("view"),
                    QStringLiteral("The tab to begin with: %1.").arg(views.join(QStringLiteral(", "))),
                    QStringLiteral("NAME")});
  parser.addPositionalArgument(
      QStringLiteral("profile"),
      QStringLiteral("Profiles to open, or one link of “Copy link”: shardscope://open?run=..."),
      QStringLiteral("[RUN.db...]"));
}

int complain(const QString& message) {
  std::fprintf(stderr, "shardscope-gui: %s\n", qPrintable(message));
  return kBadInput;
}

bool set_size(MainWindow& window, const QString& text) {
  const QStringList parts = text.split(QLatin1Char('x'));
  if (parts.size() != 2) return false;
  const int width = parts[0].toInt(), height = parts[1].toInt();
  if (width < 320 || height < 240 || width > 16384 || height > 16384) return false;
  window.resize(width, height);
  return true;
}

/// Ends the event loop with an exit code once the window has its answer and has been laid out.
void take_screenshot_when_ready(MainWindow& window, const QString& file) {
  const auto shoot = [&window, file] {
    const bool saved = window.grab().save(file);
    if (!saved) std::fprintf(stderr, "shardscope-gui: %s: cannot be written\n", qPrintable(file));
    QApplication::exit(saved ? kDone : kFailed);
  };
  // Views ask on after an answer: a while without a question, and it is done.
  auto* quiet = new QTimer(&window);
  quiet->setInterval(50);
  QObject::connect(quiet, &QTimer::timeout, &window, [&window, shoot, calm = 0, drawn = false]() mutable {
    constexpr int kCalm = 6;
    calm = window.busy() ? 0 : calm + 1;
    if (calm < kCalm) return;
    if (drawn) return shoot();
    drawn = true;  // drawing lays out what was not seen yet, which may ask for more
    calm = 0;
    window.grab();
  });
  QObject::connect(&window, &MainWindow::opened, quiet, [quiet] { quiet->start(); });
  QObject::connect(&window, &MainWindow::refused, &window,
                   [](const QString& message) { QApplication::exit(complain(message)); });
}

bool is_set(const char* variable) { return !qEnvironmentVariableIsEmpty(variable); }

/// Whether some argument is, or begins, one that needs no display.
bool needs_no_display(int argc, char** argv) {
  return std::any_of(argv + 1, argv + argc, [](const char* text) {
    return qstrcmp(text, "--help") == 0 || qstrcmp(text, "-h") == 0 || qstrncmp(text, "--screenshot", 12) == 0;
  });
}

/// Qt ends the process where no display opens, after lines about its plugins; ours is one line.
void say_no_display(QtMsgType type, const QMessageLogContext& /*context*/, const QString& /*message*/) {
  if (type != QtFatalMsg) return;
  std::fputs("shardscope-gui: no display can be opened; --screenshot FILE draws the window without one\n", stderr);
  std::_Exit(kFailed);
}

/// Drawing without a display, Qt remarks on what only a display could do.
void drop_remarks(QtMsgType /*type*/, const QMessageLogContext& /*context*/, const QString& message) {
  if (!message.startsWith(QLatin1String("This plugin does not support"))) {
    std::fprintf(stderr, "shardscope-gui: %s\n", qPrintable(message));
  }
}

int run(int argc, char** argv) {
  const bool is_chosen = is_set("QT_QPA_PLATFORM");
  const bool has_display = is_chosen || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY");
  if (!has_display || (needs_no_display(argc, argv) && !is_chosen)) qputenv("QT_QPA_PLATFORM", "offscreen");
  qInstallMessageHandler(say_no_display);
  QApplication app(argc, argv);
  qInstallMessageHandler(QApplication::platformName() == QLatin1String("offscreen") ? drop_remarks : nullptr);
  QApplication::setApplicationName(QStringLiteral("shardscope-gui"));
  QApplication::setWindowIcon(QIcon::fromTheme(QStringLiteral("shardscope")));
  QGuiApplication::setDesktopFileName(QStringLiteral("shardscope"));
  QCommandLineParser parser;
  add_options(parser);
  if (!parser.parse(QApplication::arguments())) {
    return complain(parser.errorText() + QStringLiteral(" See shardscope-gui --help"));
  }
  if (parser.isSet(QStringLiteral("help"))) parser.showHelp(kDone);
  if (!has_display && !parser.isSet(QStringLiteral("screenshot"))) {
    complain(
        QStringLiteral("there is no display: neither DISPLAY nor WAYLAND_DISPLAY is set; "
                       "--screenshot FILE draws the window without one"));
    return kFailed;
  }

  const QString theme = parser.value(QStringLiteral("theme"));
  if (!theme.isEmpty() && theme != QLatin1String("light") && theme != QLatin1String("dark")) {
    return complain(QStringLiteral("--theme is '%1'; it must be light or dark").arg(theme));
  }
  const Theme desktop = theme_of(QApplication::palette());
  QApplication::setStyle(QStringLiteral("Fusion"));
  MainWindow window;
  window.set_theme(theme.isEmpty() ? desktop : theme == QLatin1String("dark") ? Theme::kDark : Theme::kLight);
  if (parser.isSet(QStringLiteral("size")) && !set_size(window, parser.value(QStringLiteral("size")))) {
    return complain(
        QStringLiteral("--size is '%1'; it must be like 1280x860").arg(parser.value(QStringLiteral("size"))));
  }
  const QString view = parser.value(QStringLiteral("view"));
  if (!view.isEmpty() && !window.show_view(view.toStdString())) {
    return complain(QStringLiteral("--view is '%1'; --help lists the views").arg(view));
  }
  std::vector<std::string> paths;
  for (const QString& path : parser.positionalArguments()) {
    const QUrl url(path);  // desktops give files as addresses
    paths.push_back((url.isLocalFile() ? url.toLocalFile() : path).toStdString());
  }
  const QString screenshot = parser.value(QStringLiteral("screenshot"));
  if (!screenshot.isEmpty()) {
    if (paths.empty() && !parser.isSet(QStringLiteral("state")))
      return complain(QStringLiteral("--screenshot needs a profile to draw"));
    take_screenshot_when_ready(window, screenshot);
  }
  window.show();
  const QString state = parser.value(QStringLiteral("state"));
  // With --screenshot, refused() has said it already.
  const auto refuse = [&] { return screenshot.isEmpty() ? complain(window.message()) : kBadInput; };
  if (!state.isEmpty() && !window.open_state_file(state)) return refuse();
  if (paths.size() == 1 && paths.front().starts_with(kLinkScheme)) {
    if (!window.open_link(QString::fromStdString(paths.front()))) return refuse();
    paths.clear();
  }
  if (!paths.empty()) window.open(std::move(paths));
  return QApplication::exec();
}

}  // namespace
}  // namespace shardscope::gui

int main(int argc, char** argv) { return shardscope::gui::run(argc, argv); }
