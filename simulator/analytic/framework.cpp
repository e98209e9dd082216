#include "simulator/analytic/framework.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <span>

#include "core/embedded.h"
#include "core/error.h"
#include "core/spec/json_reader.h"

namespace shardscope {

std::span<const EmbeddedFile> embedded_frameworks();  // made from data/frameworks

namespace {

template <class T>
struct Key {
  std::string_view name;
  T FrameworkSpec::*member;
};

constexpr Key<double> kReals[] = {{"parameter_bytes", &FrameworkSpec::parameter_bytes},
                                  {"gradient_bytes", &FrameworkSpec::gradient_bytes},
                                  {"backward_bytes", &FrameworkSpec::backward_bytes},
                                  {"master_bytes", &FrameworkSpec::master_bytes},
                                  {"moment_bytes", &FrameworkSpec::moment_bytes},
                                  {"step_bytes", &FrameworkSpec::step_bytes},
                                  {"reduce_bytes", &FrameworkSpec::reduce_bytes},
                                  {"gather_bytes", &FrameworkSpec::gather_bytes},
                                  {"block_kernels", &FrameworkSpec::block_kernels},
                                  {"backward_kernels", &FrameworkSpec::backward_kernels},
                                  {"logit_bytes", &FrameworkSpec::logit_bytes},
                                  {"loss_bytes", &FrameworkSpec::loss_bytes},
                                  {"attention_copies", &FrameworkSpec::attention_copies},
                                  {"copied_tensors", &FrameworkSpec::copied_tensors},
                                  {"scratch_gradient_bytes", &FrameworkSpec::scratch_gradient_bytes},
                                  {"fresh_gradient_bytes", &FrameworkSpec::fresh_gradient_bytes},
                                  {"flush_copies", &FrameworkSpec::flush_copies},
                                  {"host_gradient_bytes", &FrameworkSpec::host_gradient_bytes}};

constexpr Key<std::int64_t> kCounts[] = {{"bucket_elements", &FrameworkSpec::bucket_elements},
                                         {"reuse_elements", &FrameworkSpec::reuse_elements},
                                         {"prefetch_elements", &FrameworkSpec::prefetch_elements},
                                         {"live_elements", &FrameworkSpec::live_elements},
                                         {"persistent_elements", &FrameworkSpec::persistent_elements},
                                         {"sub_group_elements", &FrameworkSpec::sub_group_elements},
                                         {"gathered_blocks", &FrameworkSpec::gathered_blocks},
                                         {"default_zero", &FrameworkSpec::default_zero}};

constexpr Key<bool> kSwitches[] = {{"engine", &FrameworkSpec::engine},
                                   {"accumulates_in_place", &FrameworkSpec::accumulates_in_place},
                                   {"keeps_bucket", &FrameworkSpec::keeps_bucket},
                                   {"builds_sharded", &FrameworkSpec::builds_sharded},
                                   {"shards_gradients_at_1", &FrameworkSpec::shards_gradients_at_1},
                                   {"all_reduces", &FrameworkSpec::all_reduces},
                                   {"zero_plus_plus", &FrameworkSpec::zero_plus_plus},
                                   {"regathers_inputs", &FrameworkSpec::regathers_inputs},
                                   {"balanced_stages", &FrameworkSpec::balanced_stages},
                                   {"keeps_gathered_inputs", &FrameworkSpec::keeps_gathered_inputs},
                                   {"prefetches_far", &FrameworkSpec::prefetches_far},
                                   {"overlaps_messages", &FrameworkSpec::overlaps_messages},
                                   {"overlaps_update", &FrameworkSpec::overlaps_update},
                                   {"scatters_messages", &FrameworkSpec::scatters_messages},
                                   {"stops_recompute_early", &FrameworkSpec::stops_recompute_early},
                                   {"sends_tokens_once", &FrameworkSpec::sends_tokens_once},
                                   {"keeps_exchanged_result", &FrameworkSpec::keeps_exchanged_result},
                                   {"overlaps_gradients", &FrameworkSpec::overlaps_gradients},
                                   {"overlaps_gathers", &FrameworkSpec::overlaps_gathers},
                                   {"overlaps_tensor", &FrameworkSpec::overlaps_tensor},
                                   {"gathers_by_micro_batch", &FrameworkSpec::gathers_by_micro_batch},
                                   {"reduces_by_micro_batch", &FrameworkSpec::reduces_by_micro_batch},
                                   {"fused_norm", &FrameworkSpec::fused_norm},
                                   {"fused_activation", &FrameworkSpec::fused_activation},
                                   {"fused_rope", &FrameworkSpec::fused_rope},
                                   {"fused_loss", &FrameworkSpec::fused_loss},
                                   {"fused_dropout_add", &FrameworkSpec::fused_dropout_add},
                                   {"dropout", &FrameworkSpec::dropout},
                                   {"graphs", &FrameworkSpec::graphs},
                                   {"keeps_norm_input", &FrameworkSpec::keeps_norm_input},
                                   {"keeps_activation_input", &FrameworkSpec::keeps_activation_input},
                                   {"recomputes_activation", &FrameworkSpec::recomputes_activation},
                                   {"default_sp", &FrameworkSpec::default_sp}};

const std::vector<std::string_view>& known_keys() {
  static const std::vector<std::string_view> kKeys = [] {
    std::vector<std::string_view> keys = {"title", "aliases", "attention", "source"};
    for (const auto& key : kReals) keys.push_back(key.name);
    for (const auto& key : kCounts) keys.push_back(key.name);
    for (const auto& key : kSwitches) keys.push_back(key.name);
    return keys;
  }();
  return kKeys;
}

void read_aliases(const JsonReader& entry, FrameworkSpec& spec) {
  const JsonNode* list = entry.find("aliases");
  if (list == nullptr) return;
  if (list->type != JsonNode::Type::kArray) entry.fail("aliases", "must be a list of names");
  for (const JsonNode& item : list->items) {
    if (!item.is_string() || item.text.empty()) entry.fail("aliases", "must be a list of names");
    spec.aliases.push_back(item.text);
  }
}

AttentionKernel read_attention(const JsonReader& entry, AttentionKernel absent) {
  if (!entry.has("attention")) return absent;
  const std::string text = entry.text("attention");
  if (text == "plain") return AttentionKernel::kPlain;
  if (text == "vendor") return AttentionKernel::kVendor;
  if (text != "flash") {
    entry.fail("attention", fmt::format("is \"{}\"; it must be plain, flash or vendor", printable(text)));
  }
  return AttentionKernel::kFlash;
}

FrameworkSpec read_entry(const JsonReader& entry, const std::string& name) {
  entry.refuse_unknown(known_keys());
  FrameworkSpec spec{.name = name};
  spec.title = entry.text("title");
  spec.source = entry.text("source");
  read_aliases(entry, spec);
  for (const auto& key : kReals) spec.*key.member = entry.real(key.name, {0, 1e9}, spec.*key.member);
  for (const auto& key : kCounts) spec.*key.member = entry.integer(key.name, {0, INT64_MAX}, spec.*key.member);
  for (const auto& key : kSwitches) spec.*key.member = entry.boolean(key.name, spec.*key.member);
  spec.attention = read_attention(entry, spec.attention);
  return spec;
}

char small(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

/// Whether `text` begins with `name`, whatever the case, and a word ends there.
bool begins_with(std::string_view text, std::string_view name) {
  if (text.size() < name.size()) return false;
  const bool same =
      std::equal(name.begin(), name.end(), text.begin(), [](char a, char b) { return small(a) == small(b); });
  const bool ends = text.size() == name.size() || std::isalnum(static_cast<unsigned char>(text[name.size()])) == 0;
  return same && ends;
}

}  // namespace

FrameworkSpec in_precision(FrameworkSpec f, Arithmetic arithmetic) {
  if (!f.engine) return f;
  const bool wide = arithmetic == Arithmetic::kFp32 || arithmetic == Arithmetic::kTf32;
  for (double* bytes : {&f.parameter_bytes, &f.gradient_bytes, &f.reduce_bytes, &f.gather_bytes, &f.logit_bytes})
    *bytes = wide ? 4 : 2;
  f.master_bytes = wide ? 0 : 4;
  return f;
}

std::vector<FrameworkSpec> parse_frameworks(std::string_view json_text, const std::string& file_name) {
  const JsonNode root = parse_json(json_text, file_name);
  const JsonReader reader(root, file_name, "");
  std::vector<FrameworkSpec> specs;
  for (const auto& [name, node] : reader.node().members) {
    specs.push_back(read_entry(JsonReader(node, file_name, reader.path_of(name)), name));
  }
  return specs;
}

const std::vector<FrameworkSpec>& default_frameworks() {
  static const std::vector<FrameworkSpec> kSpecs = [] {
    std::vector<FrameworkSpec> specs;
    for (const EmbeddedFile& file : embedded_frameworks()) {
      auto more = parse_frameworks(file.text, "data/frameworks/" + std::string(file.path));
      specs.insert(specs.end(), more.begin(), more.end());
    }
    return specs;
  }();
  return kSpecs;
}

const FrameworkSpec& find_framework(const std::vector<FrameworkSpec>& specs, std::string_view text) {
  const FrameworkSpec* best = nullptr;
  std::size_t length = 0;
  const auto consider = [&](const FrameworkSpec& spec, std::string_view name) {
    if (name.size() > length && begins_with(text, name)) best = &spec, length = name.size();
  };
  for (const FrameworkSpec& spec : specs) {
    consider(spec, spec.name);
    for (const std::string& alias : spec.aliases) consider(spec, alias);
  }
  if (best != nullptr) return *best;
  std::vector<std::string_view> names;
  for (const FrameworkSpec& spec : specs) names.push_back(spec.name);
  throw Error(ErrorKind::kConfig,
              fmt::format("framework \"{}\": is not known; there are {}", printable(text), fmt::join(names, ", ")));
}

}  // namespace shardscope
