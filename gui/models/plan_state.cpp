// The state of the Plan view as JSON (gui/models/plan_inputs.h).

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/spec/json_reader.h"
#include "gui/models/plan_inputs.h"
#include "simulator/planner/plan_case.h"

namespace shardscope::gui {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr std::int64_t kMostSize = 4096, kMostSequences = std::int64_t{1} << 32;
constexpr std::size_t kMostItems = 64;  ///< kinds, frameworks, pinned rows

Json key_json(const PlanKey& key) {
  Json json{{"system", key.system}, {"framework", key.framework}};
  json.update(plan_json(key.plan));
  return json;
}

PlanKey read_key(const JsonReader& json) {
  json.refuse_unknown({"system", "framework", "gpus", "dp", "tp", "pp", "vpp", "cp", "ulysses", "ep", "sp", "zero",
                       "shard", "offload", "recompute", "micro_batch"});
  return {json.text("system"), json.text("framework"), read_plan(json)};
}

const std::vector<JsonNode>* list_at(const JsonReader& json, const char* key) {
  const JsonNode* node = json.find(key);
  if (node == nullptr) return nullptr;
  if (node->type != JsonNode::Type::kArray) json.fail(key, "must be a list");
  if (node->items.size() > kMostItems) json.fail(key, fmt::format("has more than {} items", kMostItems));
  return &node->items;
}

void read_names(const JsonReader& json, const char* key, std::vector<std::string>& names) {
  const std::vector<JsonNode>* items = list_at(json, key);
  if (items == nullptr) return;
  names.clear();
  for (const JsonNode& item : *items) {
    if (!item.is_string()) json.fail(key, "must be a list of names");
    names.push_back(item.text);
  }
}

template <class Number>
void read_fixed(const JsonReader& json, const char* key, IntegerRange range, std::optional<Number>& value) {
  if (json.has(key)) value = static_cast<Number>(json.integer(key, range));
}

void read_range(const JsonReader& json, PlanInputs& in) {
  in.min_gpus = static_cast<int>(json.integer("min_gpus", {1, 1 << 20}, in.min_gpus));
  in.max_gpus = static_cast<int>(json.integer("max_gpus", {1, 1 << 20}, std::max(in.max_gpus, in.min_gpus)));
  if (in.max_gpus < in.min_gpus) json.fail("max_gpus", "must not be below min_gpus");
}

void read_objective(const JsonReader& json, Objective& objective) {
  const std::string name = json.text("objective", std::string(to_string(objective)));
  for (const Objective o : {Objective::kCost, Objective::kTime, Objective::kEnergy}) {
    if (to_string(o) == name) return void(objective = o);
  }
  json.fail("objective", "must be cost, time or energy");
}

PlanInputs read_inputs(const JsonReader& json) {
  PlanInputs in;
  in.model = json.text("model", in.model);
  in.tokens = json.real("tokens", {0, 1e30, true}, in.tokens);
  read_names(json, "gpus", in.gpus);
  read_range(json, in);
  in.nic_gbps = json.real("nic_gbps", {0, 1e6}, 0);
  in.seq = json.integer("seq", {0, kMostSequences}, 0);
  in.global_batch = json.integer("global_batch", {0, kMostSequences}, 0);
  read_names(json, "frameworks", in.frameworks);
  in.precision = json.text("precision", in.precision);
  read_fixed(json, "zero", {0, 3}, in.zero);
  read_fixed(json, "tp", {1, kMostSize}, in.tp);
  read_fixed(json, "pp", {1, kMostSize}, in.pp);
  read_fixed(json, "micro_batch", {1, kMostSequences}, in.micro_batch);
  if (json.has("offload")) in.offload = json.named("offload", offload_from_name);
  if (json.has("recompute")) in.recompute = json.named("recompute", recompute_from_name);
  in.usd_per_gpu_hour = json.real("usd_per_gpu_hour", {0, 1e9}, 0);
  in.deadline_days = json.real("deadline_days", {0, 1e9}, 0);
  in.budget_usd = json.real("budget_usd", {0, 1e18}, 0);
  read_objective(json, in.objective);
  return in;
}

void add_inputs(Json& out, const PlanInputs& in) {
  out["model"] = in.model;
  out["tokens"] = in.tokens;
  out["gpus"] = in.gpus;
  out["min_gpus"] = in.min_gpus, out["max_gpus"] = in.max_gpus;
  const auto add = [&](const char* key, auto value) {
    if (value > 0) out[key] = value;
  };
  add("nic_gbps", in.nic_gbps), add("seq", in.seq), add("global_batch", in.global_batch);
  out["frameworks"] = in.frameworks;
  out["precision"] = in.precision;
  if (in.zero) out["zero"] = *in.zero;
  if (in.tp) out["tp"] = *in.tp;
  if (in.pp) out["pp"] = *in.pp;
  if (in.micro_batch) out["micro_batch"] = *in.micro_batch;
  if (in.offload) out["offload"] = to_string(*in.offload);
  if (in.recompute) out["recompute"] = to_string(*in.recompute);
  add("usd_per_gpu_hour", in.usd_per_gpu_hour), add("deadline_days", in.deadline_days);
  add("budget_usd", in.budget_usd);
  out["objective"] = to_string(in.objective);
}

void check_header(const JsonReader& json) {
  const std::int64_t version = json.integer("version", {}, kVersion);
  if (version != kVersion) json.fail("version", fmt::format("is {}; this program reads {}", version, kVersion));
  const std::string view = json.text("view", "plan");
  if (view != "plan") json.fail("view", fmt::format("is '{}'; it must be plan", view));
  json.refuse_unknown({"version",
                       "view",
                       "model",
                       "tokens",
                       "gpus",
                       "min_gpus",
                       "max_gpus",
                       "nic_gbps",
                       "seq",
                       "global_batch",
                       "frameworks",
                       "precision",
                       "zero",
                       "tp",
                       "pp",
                       "micro_batch",
                       "offload",
                       "recompute",
                       "usd_per_gpu_hour",
                       "deadline_days",
                       "budget_usd",
                       "objective",
                       "chosen",
                       "pinned",
                       "hardware",
                       "sort_column",
                       "descending",
                       "dark"});
}

}  // namespace

std::string to_json(const PlanState& state) {
  Json out{{"version", kVersion}, {"view", "plan"}};
  add_inputs(out, state.inputs);
  if (state.chosen) out["chosen"] = key_json(*state.chosen);
  for (const PlanKey& key : state.pinned) out["pinned"].push_back(key_json(key));
  if (!state.hardware.empty()) out["hardware"] = state.hardware;
  if (state.sort_column != 0) out["sort_column"] = state.sort_column;
  if (state.descending) out["descending"] = true;
  if (state.dark) out["dark"] = true;
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

PlanState parse_plan_state(const std::string& text, const std::string& name) {
  const JsonNode root = parse_json(text, name);
  const JsonReader json(root, name, "");
  check_header(json);
  PlanState state;
  state.inputs = read_inputs(json);
  if (const auto chosen = json.object("chosen")) state.chosen = read_key(*chosen);
  if (const std::vector<JsonNode>* items = list_at(json, "pinned")) {
    for (std::size_t i = 0; i < items->size(); ++i)
      state.pinned.push_back(read_key(JsonReader((*items)[i], name, fmt::format("pinned[{}]", i))));
  }
  state.hardware = json.text("hardware", "");
  state.sort_column = static_cast<int>(json.integer("sort_column", {0, 99}, 0));
  state.descending = json.boolean("descending", false);
  state.dark = json.boolean("dark", false);
  return state;
}

}  // namespace shardscope::gui
