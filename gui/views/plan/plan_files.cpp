// The Plan view's scenarios and exports as files.

#include <QFileDialog>
#include <fstream>

#include "core/error.h"
#include "core/spec/json_tree.h"
#include "gui/views/plan/number_input.h"
#include "gui/views/plan/plan_view.h"
#include "simulator/planner/files.h"

namespace shardscope::gui {
namespace {

const QString kFilter = QStringLiteral("Scenarios (*.json)");

}  // namespace

void PlanView::export_to(const std::string& folder) const {
  const PlanDot* dot = chosen();
  if (dot == nullptr || !dot->legal) throw Error(ErrorKind::kConfig, "there is no chosen plan to export");
  write_files(folder, plan_files(case_of(*result_, *dot, state_.inputs), state_.inputs.tokens));
}

void PlanView::save_scenario(const std::string& path) const {
  std::ofstream out(path, std::ios::binary);
  out << to_json(state_) << "\n" << std::flush;
  if (!out) throw Error(ErrorKind::kIo, path + ": cannot be written");
}

void PlanView::load_scenario(const std::string& path) {
  take_state(parse_plan_state(read_text_file(path), path));
  tell_change(next_gesture());
}

void PlanView::ask_export() {
  const QString folder = QFileDialog::getExistingDirectory(
      this, QStringLiteral("Folder for ds_config.json, job.json, launch.sh and the framework's arguments"));
  if (folder.isEmpty()) return;
  try {
    export_to(folder.toStdString());
  } catch (const Error& error) {
    say_problem(QString::fromUtf8(error.what()));
  }
}

void PlanView::ask_save() {
  const QString path =
      QFileDialog::getSaveFileName(this, QStringLiteral("Save the scenario"), QStringLiteral("scenario.json"), kFilter);
  if (path.isEmpty()) return;
  try {
    save_scenario(path.toStdString());
  } catch (const Error& error) {
    say_problem(QString::fromUtf8(error.what()));
  }
}

void PlanView::ask_load() {
  const QString path = QFileDialog::getOpenFileName(this, QStringLiteral("Load a scenario"), QString(), kFilter);
  if (path.isEmpty()) return;
  try {
    load_scenario(path.toStdString());
  } catch (const Error& error) {
    say_problem(QString::fromUtf8(error.what()));
  }
}

}  // namespace shardscope::gui
