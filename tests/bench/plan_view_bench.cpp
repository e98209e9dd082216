// The Plan view while its sliders move: from a step of a slider to all panes redrawn (goal: p95 at most 50 ms), and a
// picture of ten thousand configurations (goal: 16 ms). Each prints CPU milliseconds of this process, 50th, 95th and
// 99th percentile, and wall time beside it.
//
//   QT_QPA_PLATFORM=offscreen build/release/tests/plan_view_bench

#include <fmt/format.h>

#include <QApplication>
#include <QJsonArray>
#include <QSignalSpy>
#include <QSlider>
#include <algorithm>
#include <chrono>
#include <ctime>
#include <random>
#include <vector>

#include "gui/models/plan_picture.h"
#include "gui/paint/paint_picture.h"
#include "gui/views/plan/number_input.h"
#include "gui/views/plan/plan_view.h"
#include "gui/views/view_context.h"

namespace shardscope::gui {
namespace {

double cpu_ms() { return 1e3 * static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }
double wall_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Times {
  std::vector<double> cpu, wall;
  template <class F>
  void add(F work) {
    const double c = cpu_ms(), w = wall_ms();
    work();
    cpu.push_back(cpu_ms() - c), wall.push_back(wall_ms() - w);
  }
  void print(const std::string& name) {
    std::sort(cpu.begin(), cpu.end()), std::sort(wall.begin(), wall.end());
    const auto at = [](const std::vector<double>& v, double p) {
      return v[static_cast<std::size_t>(p * static_cast<double>(v.size() - 1))];
    };
    fmt::print("{:<44} n {:>4}  CPU ms p50 {:7.2f} p95 {:7.2f} p99 {:7.2f}   wall p95 {:7.2f}\n", name, cpu.size(),
               at(cpu, 0.5), at(cpu, 0.95), at(cpu, 0.99), at(wall, 0.95));
  }
};

/// A slider step and everything painted again; what the search finds later is a second redraw of the same kind.
void bench_sliders(const QJsonObject& scenario, const char* title) {
  QueryPool pool;
  SharedSelection selection;
  ViewContext context{pool, selection};
  PlanView view(context);
  view.resize(1600, 1000);
  QSignalSpy searched(&view, &PlanView::searched);
  view.restore(scenario);
  view.show();
  searched.wait(20000);
  Times step, answer;
  for (const char* name : {"tokens", "max_gpus", "deadline_days", "usd_per_gpu_hour", "nic_gbps"}) {
    auto* number = view.findChild<NumberInput*>(QString::fromLatin1(name));
    if (number->value() <= 0) number->set_value(400);
    for (int at = 110; at < 150; ++at) {
      step.add([&] {
        number->slider()->setValue(at);
        view.grab();
      });
    }
    const double asked = wall_ms();
    searched.wait(20000);
    answer.wall.push_back(wall_ms() - asked), answer.cpu.push_back(0);
  }
  step.print(fmt::format("slider step to panes redrawn, {}", title));
  answer.print(fmt::format("last step to the search's answer, {}", title));
}

void bench_many(int count) {
  PlanResult result;
  Candidate c;
  c.target.gpu.memory = Bytes(80e9), c.target.gpu.name = c.target.gpu.title = "GPU", c.framework.name = "any";
  result.request.candidates = {c};
  std::mt19937 random(1);
  std::uniform_real_distribution<double> part(0, 1);
  for (int i = 0; i < count; ++i) {
    PlanDot d;
    d.point.plan.gpus = d.point.plan.dp = 8 * (i + 1), d.point.plan.zero = i % 4;
    d.point.run.days = 10 + 300 * part(random), d.point.run.cost_usd = 1e5 + 1e6 * part(random);
    d.point.estimate.step_time_s = 1, d.point.estimate.used = 7e10;
    d.fits = i % 9 != 0, d.front = i % 10 == 1, d.low = 0.9, d.high = 1.1;
    result.dots.push_back(d);
  }
  result.recommended = 1;
  const TextWidth measure = text_width();
  Times draw, paint;
  for (int i = 0; i < 50; ++i) {
    Picture picture(1, 1, {});
    draw.add([&] { picture = draw_plan(result, {}, {}, 1200, 600, measure); });
    paint.add([&] { paint_image(picture, 1); });
  }
  draw.print(fmt::format("{} configurations: picture", count));
  paint.print(fmt::format("{} configurations: painted", count));
}

}  // namespace
}  // namespace shardscope::gui

int main(int argc, char** argv) {
  using namespace shardscope::gui;
  if (!qEnvironmentVariableIsSet("QT_QPA_PLATFORM")) qputenv("QT_QPA_PLATFORM", "offscreen");
  const QApplication app(argc, argv);
  bench_sliders({{"model", "llama-3-8b"}, {"max_gpus", 256}}, "one kind of GPU");
  QJsonObject wide{{"model", "llama-2-70b"}, {"tokens", 2e12}, {"max_gpus", 1024}};
  wide["gpus"] = QJsonArray{"h100-sxm", "b200", "a100-80-sxm"};
  bench_sliders(wide, "three kinds, 1,024 GPUs");
  bench_many(1000);
  bench_many(10000);
}
