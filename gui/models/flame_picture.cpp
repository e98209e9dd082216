#include "gui/models/flame_picture.h"

#include <fmt/format.h>

#include <cmath>
#include <functional>

#include "gui/models/timeline_colours.h"

namespace shardscope::gui {
namespace {

constexpr double kNs = 1e-9;

const FlameNode& at(const std::vector<FlameNode>& flame, int node) { return flame[static_cast<std::size_t>(node)]; }

struct FlameBox {
  int node = 0;
  double x = 0, y = 0, width = 0;
};

/// Calls f for each box, those above before those below.
void for_each_box(const std::vector<FlameNode>& flame, int root, double width,
                  const std::function<void(const FlameBox&)>& f) {
  if (flame.empty() || root < 0 || static_cast<std::size_t>(root) >= flame.size()) return;
  for (int up = at(flame, root).parent; up >= 0; up = at(flame, up).parent)
    f({up, 0, kFlameRow * at(flame, up).depth, width});
  const double per_ns = at(flame, root).total_ns > 0 ? width / static_cast<double>(at(flame, root).total_ns) : 0;
  std::vector<FlameBox> open{{root, 0, kFlameRow * at(flame, root).depth, width}};
  while (!open.empty()) {
    const FlameBox box = open.back();
    open.pop_back();
    f(box);
    double x = box.x;
    for (int child : at(flame, box.node).children) {
      const double child_width = static_cast<double>(at(flame, child).total_ns) * per_ns;
      if (child_width >= 1) open.push_back({child, x, box.y + kFlameRow, child_width});
      x += child_width;
    }
  }
}

double share_of(const std::vector<FlameNode>& flame, std::int64_t ns) {
  return flame[0].total_ns > 0 ? static_cast<double>(ns) / static_cast<double>(flame[0].total_ns) : 0;
}

}  // namespace

Picture draw_flame(const std::vector<FlameNode>& flame, int root, bool dark, double width, double height,
                   const TextWidth& measure) {
  const TimelineShades shades = shades_of(dark);
  Picture picture(width, height, shades.ground);
  if (flame.size() < 2) {
    draw_paragraph(picture, 12, 24, width - 24, "Nothing ran here.", shades.text, measure);
    return picture;
  }
  for_each_box(flame, root, width, [&](const FlameBox& box) {
    if (box.y >= height) return;
    const FlameNode& node = at(flame, box.node);
    const WorkLook look = look_of(node.work);
    const double left = std::round(box.x), right = std::max(left + 1, std::round(box.x + box.width) - 1);
    const bool whole = node.depth == 0;
    picture.fill(left, box.y, right - left, kFlameRow - 1, whole ? shades.band : look.colour,
                 whole ? Texture::kPlain : look.texture);
    const std::string text = fmt::format("{} {}", node.name, format_seconds(static_cast<double>(node.total_ns) * kNs));
    picture.text(left + 4, box.y + kFlameRow / 2 + kTextSize * 0.36, elide(text, right - left - 8, measure),
                 whole ? shades.text : text_colour_on(look.colour));
  });
  return picture;
}

int flame_at(const std::vector<FlameNode>& flame, int root, double width, double x, double y) {
  int found = -1;
  for_each_box(flame, root, width, [&](const FlameBox& box) {
    if (x >= box.x && x < box.x + box.width && y >= box.y && y < box.y + kFlameRow) found = box.node;
  });
  return found;
}

std::string describe_flame(const std::vector<FlameNode>& flame, int node) {
  const FlameNode& n = at(flame, node);
  std::string text =
      fmt::format("{}: {}, {:.1f} % of all", path_of(flame, node),
                  format_seconds(static_cast<double>(n.total_ns) * kNs), share_of(flame, n.total_ns) * 100);
  if (!n.children.empty() && n.self_ns > 0)
    text += fmt::format("\n{} of its own", format_seconds(static_cast<double>(n.self_ns) * kNs));
  if (n.count > 0) text += fmt::format("\n{} execution{}", n.count, n.count == 1 ? "" : "s");
  return text;
}

TableData flame_table(const std::vector<FlameNode>& flame) {
  TableData table{{"path", "total", "own", "share", "count"}, {}};
  const auto seconds = [](std::int64_t ns) {
    const double s = static_cast<double>(ns) * kNs;
    return TableCell{format_seconds(s), s, fmt::format("{:.12g}", s)};
  };
  for (std::size_t i = 1; i < flame.size(); ++i) {
    const double share = share_of(flame, flame[i].total_ns);
    table.rows.push_back({{path_of(flame, static_cast<int>(i))},
                          seconds(flame[i].total_ns),
                          seconds(flame[i].self_ns),
                          {fmt::format("{:.1f} %", share * 100), share, fmt::format("{:.6g}", share)},
                          {std::to_string(flame[i].count), static_cast<double>(flame[i].count)}});
  }
  return table;
}

}  // namespace shardscope::gui
