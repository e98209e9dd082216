#pragma once
// What all views share: the pool that their questions go to, what is selected, and what a view may ask of the window.
//
//   QueryPool pool;
//   SharedSelection selection;
//   ViewContext context{pool, selection};   // tests; the window fills in the rest

#include <functional>
#include <string>

#include "gui/models/query_pool.h"
#include "gui/views/shared_selection.h"

namespace shardscope::gui {

struct Session;

/// Lives as long as the window.
struct ViewContext {
  QueryPool& pool;
  SharedSelection& selection;
  /// Opens a file beside those that are open.
  std::function<void(const std::string& path)> open = [](const std::string&) {};
  /// Brings the view of that id to the front.
  std::function<void(const std::string& view)> show = [](const std::string&) {};
  /// The same runs with others as A, B, prediction or chosen: every view is then shown the new session.
  std::function<void(const Session& session)> set_session = [](const Session&) {};
};

}  // namespace shardscope::gui
