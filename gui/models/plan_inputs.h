#pragma once
// What the Plan view is asked, as plain data that goes to JSON and back, and the search that it means. No Qt.
//
//   PlanState state = parse_plan_state(text, "s.json");                // or {}
//   SearchRequest request = make_request(state.inputs, catalog);       // Error{kConfig} names the input
//
// A size of the layout is fixed to a value, or nothing: then it is searched. Numbers that are 0 are taken from the
// model, the catalog, or do not limit anything, as said beside each.

#include <optional>
#include <string>
#include <vector>

#include "core/spec/hardware.h"
#include "simulator/planner/search.h"

namespace shardscope::gui {

struct PlanInputs {
  std::string model = "llama-3-8b";  ///< of the catalog, or a config.json
  double tokens = 1e12;
  std::vector<std::string> gpus{"h100-sxm"};  ///< kinds, or systems
  int min_gpus = 8, max_gpus = 256;
  double nic_gbps = 0;                     ///< of each NIC, one way; 0: the system's
  std::int64_t seq = 0, global_batch = 0;  ///< 0: by the model's size
  std::vector<std::string> frameworks{"megatron", "fsdp2", "deepspeed"};
  std::string precision = "bf16";
  std::optional<int> zero, tp, pp;
  std::optional<std::int64_t> micro_batch;
  std::optional<Offload> offload;
  std::optional<Recompute> recompute;
  double usd_per_gpu_hour = 0;               ///< of every kind; 0: the catalog's
  double deadline_days = 0, budget_usd = 0;  ///< 0: none
  Objective objective = Objective::kCost;
  friend bool operator==(const PlanInputs&, const PlanInputs&) = default;
};

/// One configuration, by what stays the same when tokens or prices change. Its global batch is the inputs'.
struct PlanKey {
  std::string system, framework;
  Plan plan;
  friend bool operator==(const PlanKey&, const PlanKey&) = default;
};

struct PlanState {
  PlanInputs inputs;
  std::optional<PlanKey> chosen;  ///< nothing: the recommended one
  std::vector<PlanKey> pinned;    ///< stay in the table and the picture whatever is searched
  std::string hardware;           ///< file laid over the catalog of hardware; empty: none
  int sort_column = 0;            ///< of the table (plan_table.h)
  bool descending = false;
  bool dark = false;
  friend bool operator==(const PlanState&, const PlanState&) = default;
};

/// One line of JSON, version 1.
std::string to_json(const PlanState& state);
/// Throws Error for what to_json() does not write, naming the key. `name` is the file's, for messages.
PlanState parse_plan_state(const std::string& text, const std::string& name);

/// The catalog with the state's file laid over.
HardwareCatalog plan_catalog(const PlanState& state);

/// One candidate per kind of GPU and framework. Throws Error{kConfig} naming the input and what would be right.
SearchRequest make_request(const PlanInputs& inputs, const HardwareCatalog& catalog);

/// The configuration with the fixed inputs put in, on the nearest of the candidate's numbers of GPUs; dp follows. The
/// result's candidate; nothing if there are no candidates.
struct AdaptedPlan {
  std::size_t candidate = 0;
  Plan plan;
  std::string problem;  ///< why it is not legal; empty: it is
};
AdaptedPlan adapt(const PlanKey& key, const PlanInputs& inputs, const SearchRequest& request);

PlanKey key_of(const SearchRequest& request, const PlanPoint& point);

}  // namespace shardscope::gui
