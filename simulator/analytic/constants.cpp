#include "simulator/analytic/constants.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <span>

#include "core/check.h"
#include "core/embedded.h"
#include "core/error.h"
#include "core/spec/csv.h"
#include "core/spec/json_reader.h"

namespace shardscope {

std::span<const EmbeddedFile> embedded_calibration();  // made from data/calibration

namespace {

constexpr std::string_view kColumns[] = {"scope", "owner", "name", "value", "start", "low", "high", "unit", "source"};
constexpr std::string_view kScopes[] = {"device", "fabric", "framework"};
constexpr std::string_view kAny = "any";  ///< owner of the values that hold where no other row does

template <class Group>
struct Field {
  std::string_view name;
  double Group::*member;
};

constexpr Field<DeviceConstants> kDeviceFields[] = {
    {"matmul_efficiency", &DeviceConstants::matmul_efficiency},
    {"fp8_efficiency", &DeviceConstants::fp8_efficiency},
    {"tile_overhead", &DeviceConstants::tile_overhead},
    {"wave_rounding", &DeviceConstants::wave_rounding},
    {"grouped_rate", &DeviceConstants::grouped_rate},
    {"attention_efficiency", &DeviceConstants::attention_efficiency},
    {"attention_backward", &DeviceConstants::attention_backward},
    {"vendor_attention_efficiency", &DeviceConstants::vendor_attention_efficiency},
    {"vendor_attention_backward", &DeviceConstants::vendor_attention_backward},
    {"memory_efficiency", &DeviceConstants::memory_efficiency},
    {"kernel_us", &DeviceConstants::kernel_us},
    {"interference", &DeviceConstants::interference},
    {"link_efficiency", &DeviceConstants::link_efficiency},
    {"pcie_efficiency", &DeviceConstants::pcie_efficiency},
    {"link_latency_us", &DeviceConstants::link_latency_us},
    {"link_hop_us", &DeviceConstants::link_hop_us}};

constexpr Field<FabricConstants> kFabricFields[] = {{"efficiency", &FabricConstants::efficiency},
                                                    {"latency_us", &FabricConstants::latency_us},
                                                    {"hop_us", &FabricConstants::hop_us},
                                                    {"rank_us", &FabricConstants::rank_us},
                                                    {"half_mib", &FabricConstants::half_mib}};

constexpr Field<FrameworkConstants> kFrameworkFields[] = {{"host_us", &FrameworkConstants::host_us},
                                                          {"traffic", &FrameworkConstants::traffic},
                                                          {"overlap", &FrameworkConstants::overlap},
                                                          {"fixed_ms", &FrameworkConstants::fixed_ms},
                                                          {"micro_batch_ms", &FrameworkConstants::micro_batch_ms},
                                                          {"collective_us", &FrameworkConstants::collective_us},
                                                          {"host_update_ns", &FrameworkConstants::host_update_ns},
                                                          {"tensor_overlap", &FrameworkConstants::tensor_overlap},
                                                          {"attention", &FrameworkConstants::attention},
                                                          {"interference", &FrameworkConstants::interference},
                                                          {"pipeline_rank_us", &FrameworkConstants::pipeline_rank_us},
                                                          {"fragmentation", &FrameworkConstants::fragmentation}};

template <class Group>
std::vector<std::string_view> names_of(std::span<const Field<Group>> fields) {
  std::vector<std::string_view> names;
  for (const auto& field : fields) names.push_back(field.name);
  return names;
}

std::vector<std::string_view> names_in(std::string_view scope) {
  if (scope == "device") return names_of<DeviceConstants>(kDeviceFields);
  if (scope == "fabric") return names_of<FabricConstants>(kFabricFields);
  return names_of<FrameworkConstants>(kFrameworkFields);
}

[[noreturn]] void fail(const std::string& file, int line, const std::string& what) {
  throw Error(ErrorKind::kParse, fmt::format("{}:{}: {}", file, line, what));
}

void check_one_of(const std::string& file, int line, std::string_view column, const std::string& cell,
                  const std::vector<std::string_view>& known) {
  if (std::find(known.begin(), known.end(), cell) != known.end()) return;
  fail(file, line, fmt::format("{} is \"{}\"; it must be one of {}", column, printable(cell), fmt::join(known, ", ")));
}

double read_number(const std::string& file, int line, std::string_view column, const std::string& cell) {
  const auto value = csv_real(cell);
  if (!value) fail(file, line, fmt::format("{} is \"{}\"; it must be a number", column, printable(cell)));
  return *value;
}

void check_range(const Constant& c, const std::string& file, int line) {
  for (const auto& [name, value] : {std::pair("value", c.value), {"start", c.start}}) {
    if (c.low >= 0 && c.low <= value && value <= c.high) continue;
    fail(file, line, fmt::format("{} {} must lie within low {} and high {}, none below 0", name, value, c.low, c.high));
  }
}

Constant read_row(const CsvRow& row, const std::string& file) {
  if (!row.problem.empty()) fail(file, row.line, row.problem);
  const auto& cells = row.cells;
  Constant constant{.scope = cells[0], .owner = cells[1], .name = cells[2], .unit = cells[7], .source = cells[8]};
  check_one_of(file, row.line, "scope", constant.scope, {std::begin(kScopes), std::end(kScopes)});
  check_one_of(file, row.line, "name", constant.name, names_in(constant.scope));
  constant.value = read_number(file, row.line, "value", cells[3]);
  constant.start = read_number(file, row.line, "start", cells[4]);
  constant.low = read_number(file, row.line, "low", cells[5]);
  constant.high = read_number(file, row.line, "high", cells[6]);
  check_range(constant, file, row.line);
  if (constant.owner.empty()) fail(file, row.line, "owner is empty; it must be a name, or any");
  if (constant.source.empty()) fail(file, row.line, "source is empty; it must say where the value is from");
  return constant;
}

/// What holds for any owner, then for each of `owners`, from general to special.
template <class Group>
Group collect(const Constants& table, std::string_view scope, std::span<const Field<Group>> fields,
              std::initializer_list<std::string_view> owners) {
  Group group;
  for (const std::string_view owner : owners) {
    for (const Constant& constant : table) {
      if (constant.scope != scope || constant.owner != owner) continue;
      const auto field =
          std::find_if(fields.begin(), fields.end(), [&](const auto& f) { return f.name == constant.name; });
      SS_CHECK(field != fields.end(), constant.name);
      group.*(field->member) = constant.value;
    }
  }
  return group;
}

void keep_special(Constants& used, const Constants& table, std::string_view scope,
                  std::initializer_list<std::string_view> owners) {
  for (const std::string_view owner : owners) {
    for (const Constant& constant : table) {
      if (constant.scope != scope || constant.owner != owner) continue;
      const auto same = [&](const Constant& c) { return c.scope == scope && c.name == constant.name; };
      const auto known = std::find_if(used.begin(), used.end(), same);
      known == used.end() ? void(used.push_back(constant)) : void(*known = constant);
    }
  }
}

}  // namespace

std::string_view family_of(std::string_view architecture) { return architecture.substr(0, architecture.find('-')); }

Constants parse_constants(std::string_view csv, const std::string& file_name) {
  const CsvTable table = parse_csv(csv);
  if (!std::equal(table.columns.begin(), table.columns.end(), std::begin(kColumns), std::end(kColumns))) {
    fail(file_name, 1, fmt::format("the columns must be {}", fmt::join(kColumns, ",")));
  }
  Constants constants;
  std::set<std::string> seen;
  for (const CsvRow& row : table.rows) {
    Constant constant = read_row(row, file_name);
    if (!seen.insert(constant.scope + '\n' + constant.owner + '\n' + constant.name).second) {
      fail(file_name, row.line,
           fmt::format("{} {} {} is there twice", constant.scope, printable(constant.owner), constant.name));
    }
    constants.push_back(std::move(constant));
  }
  return constants;
}

const Constants& default_constants() {
  static const Constants kTable = [] {
    for (const EmbeddedFile& file : embedded_calibration()) {
      if (file.path == "constants.csv") return parse_constants(file.text, "data/calibration/constants.csv");
    }
    SS_CHECK(false, "data/calibration/constants.csv is not embedded");
    return Constants();
  }();
  return kTable;
}

std::string constants_csv(const Constants& table) {
  std::string out = fmt::format("{}\n", fmt::join(kColumns, ","));
  for (const Constant& c : table) {
    out += fmt::format("{},{},{},{:.6g},{:.6g},{:.6g},{:.6g},{},{}\n", c.scope, csv_cell(c.owner), c.name, c.value,
                       c.start, c.low, c.high, csv_cell(c.unit), csv_cell(c.source));
  }
  return out;
}

DeviceConstants device_constants(const Constants& table, const GpuSpec& gpu) {
  return collect<DeviceConstants>(table, "device", kDeviceFields,
                                  {kAny, family_of(gpu.architecture), gpu.architecture, gpu.name});
}

FabricConstants fabric_constants(const Constants& table, std::string_view fabric) {
  return collect<FabricConstants>(table, "fabric", kFabricFields, {kAny, fabric});
}

FrameworkConstants framework_constants(const Constants& table, std::string_view framework) {
  return collect<FrameworkConstants>(table, "framework", kFrameworkFields, {kAny, framework});
}

Constants constants_in_use(const Constants& table, const GpuSpec& gpu, std::string_view fabric,
                           std::string_view framework) {
  Constants used;
  keep_special(used, table, "device", {kAny, family_of(gpu.architecture), gpu.architecture, gpu.name});
  keep_special(used, table, "fabric", {kAny, fabric});
  keep_special(used, table, "framework", {kAny, framework});
  return used;
}

}  // namespace shardscope
