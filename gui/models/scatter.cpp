#include "gui/models/scatter.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/error.h"
#include "gui/models/state_reader.h"

namespace shardscope::gui {

std::string_view to_string(OpFamily family) {
  constexpr std::array<std::string_view, kOpFamilies> kNames = {"matrix products", "attention",   "element-wise, other",
                                                                "optimizer",       "collectives", "copies, NVMe, host"};
  return kNames[static_cast<std::size_t>(family)];
}

OpFamily family_of(const CalibrationPoint& point) {
  if (point.work == WorkClass::kCommunication) return OpFamily::kCollectives;
  if (point.work == WorkClass::kOffload) return OpFamily::kCopies;
  if (point.label.kind.find("matmul") != std::string::npos) return OpFamily::kProducts;
  if (point.label.kind.find("attention") != std::string::npos) return OpFamily::kAttention;
  return point.work == WorkClass::kOptimizer ? OpFamily::kOptimizer : OpFamily::kElementwise;
}

std::string to_json(const ScatterState& s) {
  nlohmann::json out = state_json("scatter");
  if (!s.family.empty()) out["family"] = s.family;
  if (!s.op.empty()) out["op"] = s.op;
  if (s.dark) out["dark"] = true;
  return out.dump();
}

ScatterState parse_scatter_state(const std::string& text, const std::string& name) {
  const StateText json_text(text, name);
  StateReader reader(json_text.root(), name, "scatter");
  ScatterState s;
  reader.read("family", s.family);
  reader.read("op", s.op);
  reader.read("dark", s.dark);
  reader.no_other_keys();
  std::string families;
  for (int i = 0; i < kOpFamilies; ++i) {
    const std::string_view family = to_string(static_cast<OpFamily>(i));
    if (s.family.empty() || s.family == family) return s;
    families += (i == 0 ? "" : "; ") + std::string(family);
  }
  reader.fail("family", "is '" + s.family + "'; it must be one of: " + families);
}

std::string describe(const CalibrationPoint& p) {
  const std::string batch = p.micro_batch < 0 ? "" : fmt::format(", micro-batch {}", p.micro_batch);
  return fmt::format("{}{}: measured {}, predicted {}, x{:.2f}", to_string(p.label), batch,
                     format_seconds(p.measured_s), format_seconds(p.predicted_s), p.ratio());
}

TableData scatter_table(const ScatterData& data) {
  TableData table{{"op", "measured", "predicted", "predicted / measured", "family", "micro-batch"}, {}};
  for (const CalibrationPoint& p : data.points) {
    table.rows.push_back(
        {{to_string(p.label)},
         {format_seconds(p.measured_s), p.measured_s},
         {format_seconds(p.predicted_s), p.predicted_s},
         {fmt::format("{:.2f}", p.ratio()), p.ratio()},
         {std::string(to_string(family_of(p)))},
         p.micro_batch < 0 ? TableCell{"-"} : TableCell{std::to_string(p.micro_batch), 1.0 * p.micro_batch}});
  }
  return table;
}

}  // namespace shardscope::gui
