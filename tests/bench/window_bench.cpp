// What does the window cost with many slices? A profile of 10 million (arguments: another number; ranks; width and
// height) is opened in the real window, offscreen, 1920 x 1080: time to the first bars and to all numbers, longest
// stall of the UI thread (a timer that should fire each millisecond), CPU of a frame on the UI thread when panning and
// zooming, area and search, resident memory. Wall times where it says so; they are of a machine that does other things
// too.

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <QAction>
#include <QApplication>
#include <QElapsedTimer>
#include <QSettings>
#include <QTemporaryDir>
#include <QTimer>
#include <QtTest>
#include <algorithm>
#include <ctime>
#include <fstream>
#include <vector>

#include "gui/views/main_window.h"
#include "gui/views/timeline/timeline_canvas.h"
#include "gui/views/timeline/timeline_view.h"
#include "profiler/query/area_ops.h"
#include "profiler/query/area_summary.h"
#include "profiler/query/timeline_search.h"
#include "tests/bench/big_profile.h"

namespace shardscope {
namespace {

using gui::MainWindow;
using gui::TimelineCanvas;

double thread_cpu_ms() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) * 1e-6;
}

double resident_mb() {
  std::ifstream statm("/proc/self/statm");
  double total = 0, resident = 0;
  statm >> total >> resident;
  return resident * 4096e-6;
}

/// The longest time between two turns of the event loop, and what it did between.
class StallProbe : public QObject {
 public:
  StallProbe() {
    timer_.setTimerType(Qt::PreciseTimer);
    timer_.setInterval(1);
    connect(&timer_, &QTimer::timeout, this, [this] {
      longest_ = std::max(longest_, static_cast<double>(since_.nsecsElapsed()) * 1e-6);
      const double cpu = thread_cpu_ms();
      longest_cpu_ = std::max(longest_cpu_, cpu - cpu_);
      cpu_ = cpu;
      since_.restart();
    });
  }
  void start() {
    longest_ = longest_cpu_ = 0;
    cpu_ = thread_cpu_ms();
    since_.start();
    timer_.start();
  }
  double longest() const { return longest_; }
  double longest_cpu() const { return longest_cpu_; }

 private:
  QTimer timer_;
  QElapsedTimer since_;
  double longest_ = 0, longest_cpu_ = 0, cpu_ = 0;
};

double at(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

void wait_until(const std::function<bool()>& done) { SS_CHECK(QTest::qWaitFor(done, 600'000), "took too long"); }

class WindowBench {
 public:
  WindowBench(const std::string& path, QSize size) : path_(path) { window_.resize(size); }
  void run() {
    open();
    frames("pan", [](TimeWindow w, TimeWindow extent, int i) {
      return gui::pan(w, extent, (i % 40 < 20 ? 1 : -1) * 40.0 / 1700);
    });
    frames("zoom", [](TimeWindow w, TimeWindow extent, int i) {
      return gui::zoom(w, extent, i % 120 < 60 ? 0.86 : 1 / 0.86, w.begin_ns + w.length() / 3);
    });
    fmt::print("resident memory                     {:8.0f} MB\n", resident_mb());
  }

 private:
  void open() {
    StallProbe probe;
    QElapsedTimer clock;
    window_.show();
    window_.show_view("timeline");
    QCoreApplication::processEvents();
    probe.start();
    clock.start();
    window_.open({path_});
    view_ = dynamic_cast<gui::TimelineView*>(window_.view("timeline"));
    canvas_ = window_.findChild<TimelineCanvas*>("canvas");
    wait_until([this] { return canvas_->scene().tile != nullptr && canvas_->scene().catalog; });
    canvas_->repaint();
    fmt::print("first bars after open()             {:8.0f} ms wall\n", static_cast<double>(clock.elapsed()));
    wait_until([this] { return view_->is_loaded(); });
    fmt::print("all bars                            {:8.0f} ms wall\n", static_cast<double>(clock.elapsed()));
    wait_until([this] { return !window_.busy(); });
    QTest::qWait(300);
    wait_until([this] { return !window_.busy(); });
    fmt::print("all tables                          {:8.0f} ms wall\n", static_cast<double>(clock.elapsed()));
    fmt::print("longest stall of the UI thread      {:8.1f} ms wall, {:.1f} ms of CPU\n", probe.longest(),
               probe.longest_cpu());
  }

  template <class Move>
  void frames(const char* what, Move&& move) {
    constexpr int kFrames = 240;
    std::vector<double> cpu;
    gui::TimelineState state = view_->timeline_state();
    const TimeWindow extent = canvas_->scene().catalog->extent;
    state.window = {extent.begin_ns + extent.length() / 4, extent.begin_ns + extent.length() / 2};
    Q_EMIT canvas_->state_asked(state, 1);
    wait_until([this] { return view_->is_loaded(); });
    for (int i = 0; i < kFrames; ++i) {
      state = view_->timeline_state();
      state.window = move(canvas_->scene().window, extent, i);
      const double before = thread_cpu_ms();
      Q_EMIT canvas_->state_asked(state, 1);
      canvas_->repaint();
      cpu.push_back(thread_cpu_ms() - before);
      QTest::qWait(8);
    }
    fmt::print("{:4}, a frame on the UI thread       p50 {:5.2f}, p99 {:5.2f} ms of CPU\n", what, at(cpu, 0.5),
               at(cpu, 0.99));
    wait_until([this] { return view_->is_loaded(); });
  }

  std::string path_;
  MainWindow window_;
  gui::TimelineView* view_ = nullptr;
  TimelineCanvas* canvas_ = nullptr;
};

void ask(const std::string& path) {
  const Profile profile(path);
  const Timeline timeline(profile, 1);
  const auto timed = [](const char* what, auto&& does) {
    const double before = thread_cpu_ms();
    does();
    fmt::print("{:35} {:8.1f} ms of CPU\n", what, thread_cpu_ms() - before);
  };
  const TimeWindow e = timeline.extent();
  const TimeWindow most{e.begin_ns + e.length() / 7, e.end_ns - e.length() / 9};
  const int last = timeline.tracks().back().rank;
  const auto never = [] { return false; };
  timed("area of most of it, by class", [&] { area_summary(timeline, most, {0, last}); });
  timed("area of 1/100, by op", [&] {
    area_ops(timeline, {most.begin_ns, most.begin_ns + e.length() / 100}, {0, last}, never);
  });
  timed("area of most of it, by op", [&] { area_ops(timeline, most, {0, last}, never); });
  timed("search of the whole run", [&] { search(timeline, "reduce_scatter", 400, never); });
}

/// In a process of its own: what recording takes is not the window's memory.
void record_apart(const std::string& path, const BigProfile& size) {
  std::fflush(nullptr);
  const pid_t child = fork();
  SS_CHECK(child >= 0, "no process can be started");
  if (child == 0) {
    const std::int64_t slices = record_big_profile(path, size);
    fmt::print("{} slices, {} ranks, recorded in {:.1f} s of CPU\n", slices, size.ranks,
               static_cast<double>(std::clock()) / CLOCKS_PER_SEC);
    std::fflush(nullptr);
    _exit(0);
  }
  int status = 0;
  SS_CHECK(waitpid(child, &status, 0) == child && status == 0, status);
}

}  // namespace
}  // namespace shardscope

int main(int argc, char** argv) {
  const QTemporaryDir folder;
  shardscope::BigProfile size{64, 10'000'000};
  if (argc > 1) size.slices = std::atoll(argv[1]);
  if (argc > 2) size.ranks = std::atoi(argv[2]);
  const std::string path = folder.filePath("big.db").toStdString();
  shardscope::record_apart(path, size);
  qputenv("QT_QPA_PLATFORM", "offscreen");
  const QApplication application(argc, argv);
  QSettings::setPath(QSettings::IniFormat, QSettings::UserScope, folder.path());
  const QSize window_size = argc > 4 ? QSize(std::atoi(argv[3]), std::atoi(argv[4])) : QSize(1920, 1080);
  shardscope::WindowBench(path, window_size).run();
  shardscope::ask(path);
}
