// The views, in the order of their tabs. A new one is one line here, and its own files.

#include "gui/views/compare/compare_view.h"
#include "gui/views/compare/scatter_view.h"
#include "gui/views/compare/waterfall_view.h"
#include "gui/views/memory/memory_view.h"
#include "gui/views/overview/overview.h"
#include "gui/views/plan/plan_view.h"
#include "gui/views/timeline/timeline_view.h"
#include "gui/views/view.h"

namespace shardscope::gui {
namespace {

template <class V>
View* make(ViewContext& context, QWidget* parent) {
  return new V(context, parent);
}

}  // namespace

const std::vector<ViewEntry>& view_list() {
  static const std::vector<ViewEntry> kViews{
      {"overview", "Overview", make<Overview>},
      {"timeline", "Timeline", make<TimelineView>},
      {"memory", "Memory", make<MemoryView>},
      {"compare", "Compare", make<CompareView>},
      {"waterfall", "Why slower", make<WaterfallView>},
      {"scatter", "Calibration", make<ScatterView>},
      {"plan", "Plan", make<PlanView>},
  };
  return kViews;
}

}  // namespace shardscope::gui
