// What options of `shardscope plan` mean, and what is taken where they are not given.

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>

#include "cli/plan.h"
#include "core/error.h"
#include "core/spec/json_tree.h"

namespace shardscope::cli {
namespace {

/// The number that `text` begins with; the rest stays in `text`.
double leading_number(const std::string& option, std::string_view& text, const char* example) {
  double value = 0;
  const std::string_view whole = text;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || !(value > 0) || !std::isfinite(value)) {
    throw Error(ErrorKind::kConfig,
                fmt::format("{} {}: it must be a number above 0, with its unit if it has one, as {}", option,
                            printable(whole), example));
  }
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

struct Unit {
  std::string_view name;
  double factor;
};

double with_unit(const std::string& option, const std::string& text, std::initializer_list<Unit> units,
                 const char* example, const char* known) {
  std::string_view rest = text;
  const double value = leading_number(option, rest, example);
  for (const Unit& unit : units) {
    if (unit.name == rest) return value * unit.factor;
  }
  throw Error(ErrorKind::kConfig,
              rest.empty() ? fmt::format("{} {}: its unit is missing; it must be {}", option, printable(text), known)
                           : fmt::format("{} {}: '{}' is no unit here; it must be {}", option, printable(text),
                                         printable(rest), known));
}

}  // namespace

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> items;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    if (comma > 0) items.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return items;
}

double parse_amount(const std::string& option, const std::string& text, const char* example) {
  return with_unit(option, text,
                   {{"", 1},
                    {"k", 1e3},
                    {"K", 1e3},
                    {"M", 1e6},
                    {"m", 1e6},
                    {"B", 1e9},
                    {"b", 1e9},
                    {"G", 1e9},
                    {"T", 1e12},
                    {"t", 1e12}},
                   example, "K, M, B or T, or nothing");
}

double parse_days(const std::string& option, const std::string& text) {
  return with_unit(option, text, {{"d", 1}, {"days", 1}, {"h", 1.0 / 24}, {"w", 7}}, "30d",
                   "d (days), h (hours) or w (weeks)");
}

void check_positions(std::string_view what, const ModelSpec& model, std::int64_t tokens) {
  if (model.positions != PositionKind::kLearned || tokens <= model.max_positions) return;
  throw Error(ErrorKind::kConfig, fmt::format("{}: {} tokens; {} has learned {} positions and no more", what, tokens,
                                              model.name, model.max_positions));
}

void check_model(const PlanOptions& options, const ModelSpec& model, std::int64_t seq) {
  check_positions("--seq", model, seq);
  if (options.expert_imbalance != 1 && model.experts == 0) {
    throw Error(ErrorKind::kConfig,
                fmt::format("--expert-imbalance {}: {} has no experts", options.expert_imbalance, model.name));
  }
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text << std::flush;
  if (!out) throw Error(ErrorKind::kIo, fmt::format("{}: cannot be written", path));
}

HardwareCatalog plan_catalog(const PlanOptions& options) {
  HardwareCatalog catalog = default_catalog();
  if (!options.hardware.empty()) overlay(catalog, options.hardware);
  return catalog;
}

namespace {

/// GPU and USD of --price.
std::pair<const SystemSpec*, double> parse_price(const HardwareCatalog& catalog, const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos)
    throw Error(ErrorKind::kConfig, fmt::format("--price {}: it must be GPU=USD, as h100-sxm=2.1", printable(text)));
  return {&find_system(catalog, std::string_view(text).substr(0, equals)),
          parse_amount(fmt::format("--price {}: the price", printable(text)), text.substr(equals + 1), "2.1")};
}

void check_prices(const PlanOptions& options, const HardwareCatalog& catalog, const std::vector<GpuChoice>& choices) {
  for (const std::string& text : options.prices) {
    const SystemSpec& named = *parse_price(catalog, text).first;
    if (std::any_of(choices.begin(), choices.end(), [&](const GpuChoice& c) { return c.system->gpu == named.gpu; }))
      continue;
    throw Error(ErrorKind::kConfig, fmt::format("--price {}: {} is none of --gpus {}", printable(text), named.gpu,
                                                printable(options.gpus)));
  }
}

}  // namespace

std::vector<GpuChoice> gpu_choices(const PlanOptions& options, const HardwareCatalog& catalog) {
  std::vector<GpuChoice> choices;
  for (const std::string& item : split_list(options.gpus)) {
    const std::size_t colon = item.rfind(':');
    GpuChoice choice{&find_system(catalog, std::string_view(item).substr(0, colon)), 0};
    if (colon != std::string::npos) {
      const double count =
          parse_amount(fmt::format("--gpus {}: the count", printable(item)), item.substr(colon + 1), "64");
      const int node = choice.system->gpus_per_node;
      if (count != std::floor(count) || count > (1 << 20) || (count > node && std::fmod(count, node) != 0)) {
        throw Error(ErrorKind::kConfig, fmt::format("--gpus {}: it must be at most {} GPUs or whole nodes of {}",
                                                    printable(item), node, node));
      }
      choice.count = static_cast<int>(count);
    }
    choices.push_back(choice);
  }
  if (choices.empty()) throw Error(ErrorKind::kConfig, "--gpus names no GPU; try h100-sxm,b200");
  check_prices(options, catalog, choices);
  return choices;
}

double price_of(const PlanOptions& options, const HardwareCatalog& catalog, const SystemSpec& system) {
  for (const std::string& text : options.prices) {
    const auto [named, usd] = parse_price(catalog, text);
    if (named->gpu == system.gpu) return usd;
  }
  const GpuPrice price = shardscope::price_of(catalog, system);
  const double usd = options.reserved ? price.reserved : price.on_demand;
  if (usd > 0) return usd;
  throw Error(ErrorKind::kConfig, fmt::format("no {}price of {} is known; give one: --price {}=USD",
                                              options.reserved ? "reserved " : "", system.gpu, system.gpu));
}

}  // namespace shardscope::cli
