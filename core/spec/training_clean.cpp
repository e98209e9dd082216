// First half of reading ds_config.json: deprecated spellings, "auto" values, then every key against the table of
// training_keys.h. What is left is known, typed and in range.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/spec/spec_nodes.h"
#include "core/spec/training_keys.h"

namespace shardscope {
namespace {

using Type = JsonNode::Type;

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
  return out;
}

JsonNode json_bool(bool value) {
  JsonNode node{.type = Type::kBool};
  node.boolean = value;
  return node;
}

JsonNode json_real(double value) {
  JsonNode node{.type = Type::kReal};
  node.real = value;
  return node;
}

void erase_member(JsonNode& object, std::string_view key) {
  std::erase_if(object.members, [&](const auto& member) { return member.first == key; });
}

/// DeepSpeed's old spellings, rewritten to today's. Both at once are an error, as in DeepSpeed.
class Modernizer {
 public:
  Modernizer(JsonNode& root, const std::string& file, const std::string& prefix)
      : root_(root), file_(file), prefix_(prefix) {}

  void run() {
    rename(root_, prefix_, "bfloat16", "bf16");
    JsonNode* zero = root_.find("zero_optimization");
    if (zero != nullptr && zero->type == Type::kBool) {
      const std::int64_t stage = zero->boolean ? 1 : 0;
      const int line = zero->line;
      *zero = json_object();
      zero->line = line;
      zero->set("stage", json_integer(stage));
    }
    if (zero == nullptr || !zero->is_object()) return;
    if (JsonNode* stage = zero->find("stage"); stage != nullptr && stage->type == Type::kBool) {
      const int line = stage->line;
      *stage = json_integer(stage->boolean ? 1 : 0);
      stage->line = line;
    }
    const std::string path = prefix_.empty() ? "zero_optimization" : prefix_ + ".zero_optimization";
    for (const std::string_view key :
         {"prefetch_bucket_size", "param_persistence_threshold", "model_persistence_threshold", "max_live_parameters",
          "max_reuse_distance", "gather_16bit_weights_on_model_save", "module_granularity_threshold",
          "use_all_reduce_for_fetch_params", "allgather_sequential"}) {
      rename(*zero, path, key, fmt::format("stage3_{}", key));
    }
    move_offload(*zero, path, "cpu_offload", "offload_optimizer");
    move_offload(*zero, path, "cpu_offload_param", "offload_param");
  }

 private:
  void rename(JsonNode& object, const std::string& path, std::string_view old_key, const std::string& new_key) {
    if (object.find(old_key) == nullptr) return;
    if (object.find(new_key) != nullptr) {
      JsonReader(object, file_, path).fail(old_key, fmt::format("is another name of {}; give one of them", new_key));
    }
    for (auto& [key, value] : object.members) {
      if (key == old_key) key = new_key;
    }
  }

  /// "cpu_offload": true is "offload_optimizer": {"device": "cpu"}.
  void move_offload(JsonNode& zero, const std::string& path, std::string_view old_key, const std::string& new_key) {
    const JsonNode* old = zero.find(old_key);
    if (old == nullptr || old->type != Type::kBool) return;
    if (zero.find(new_key) != nullptr) {
      JsonReader(zero, file_, path)
          .fail(old_key, fmt::format("is deprecated and cannot stand beside {}; give the latter only", new_key));
    }
    JsonNode block = json_object();
    block.line = old->line;
    block.set("device", json_string(old->boolean ? "cpu" : "none"));
    erase_member(zero, old_key);
    zero.set(new_key, std::move(block));
  }

  JsonNode& root_;
  const std::string& file_;
  const std::string& prefix_;
};

/// What HF Trainer and Accelerate put in place of "auto" (docs/ds_config.md has the table).
class AutoFiller {
 public:
  AutoFiller(const AutoValues& autos, int stage) : autos_(autos), stage_(stage) {}

  enum class Result : std::uint8_t { kFilled, kNotTheirs, kDropped, kNeedsModel, kNeedsSteps };

  Result fill(std::string_view path, JsonNode& node) const {
    const int line = node.line;
    const Result result = put(path, node);
    node.line = line;
    return result;
  }

 private:
  Result put(std::string_view path, JsonNode& node) const {
    const auto set = [&](JsonNode value) {
      node = std::move(value);
      return Result::kFilled;
    };
    if (path == "train_batch_size") return Result::kDropped;  // the batch rule derives it
    if (path == "train_micro_batch_size_per_gpu") return set(json_integer(autos_.micro_batch));
    if (path == "gradient_accumulation_steps") return set(json_integer(autos_.accumulation));
    if (path == "gradient_clipping") return set(json_real(autos_.max_grad_norm));
    if (path == "optimizer.params.lr") return set(json_real(autos_.learning_rate));
    if (path == "optimizer.params.eps") return set(json_real(autos_.eps));
    if (path == "optimizer.params.weight_decay") return set(json_real(autos_.weight_decay));
    if (path == "optimizer.params.betas") {
      JsonNode list{.type = Type::kArray};
      list.items = {json_real(autos_.beta1), json_real(autos_.beta2)};
      return set(std::move(list));
    }
    if (path == "scheduler.params.warmup_min_lr") return set(json_real(0));
    if (path == "scheduler.params.warmup_max_lr") return set(json_real(autos_.learning_rate));
    if (path == "scheduler.params.warmup_num_steps")
      return set(json_integer(std::max<std::int64_t>(1, autos_.warmup_steps)));
    if (path == "scheduler.params.total_num_steps") {
      return autos_.total_steps > 0 ? set(json_integer(autos_.total_steps)) : Result::kNeedsSteps;
    }
    if (path == "amp.enabled") return set(json_bool(false));
    if (path == "fp16.enabled") return set(json_bool(autos_.precision == Precision::kFp16));
    if (path == "bf16.enabled") return set(json_bool(autos_.precision == Precision::kBf16));
    return put_size(path, set);
  }

  /// Sizes that follow from the hidden size; the two of stage 3 are left alone in other stages.
  template <class Set>
  Result put_size(std::string_view path, const Set& set) const {
    const std::int64_t h = autos_.hidden;
    const bool reduce = path == "zero_optimization.reduce_bucket_size";
    const bool prefetch = path == "zero_optimization.stage3_prefetch_bucket_size";
    const bool persist = path == "zero_optimization.stage3_param_persistence_threshold";
    if (!reduce && !prefetch && !persist) return Result::kNotTheirs;
    if (!reduce && stage_ != 3) return Result::kDropped;
    if (h <= 0) return Result::kNeedsModel;
    if (reduce) return set(json_integer(h * h));
    if (prefetch) return set(json_integer(h * h / 10 * 9 + h * h % 10 * 9 / 10));  // 0.9 h^2 without overflow
    return set(json_integer(10 * h));
  }

  const AutoValues& autos_;
  int stage_;
};

int stage_of(const JsonNode& root) {
  const JsonNode* zero = root.find("zero_optimization");
  const JsonNode* stage = zero != nullptr ? zero->find("stage") : nullptr;
  if (stage == nullptr) return 0;
  if (stage->is_string()) return stage->text == "3" ? 3 : 0;
  return static_cast<int>(std::clamp<std::int64_t>(as_integer(*stage).value_or(0), 0, 3));
}

/// Checks an object's members against the table, block by block, and coerces values to their types.
class Cleaner {
 public:
  Cleaner(const std::string& file, const std::string& prefix, ConfigMode mode, const AutoFiller& autos,
          std::vector<Finding>& findings)
      : file_(file), prefix_(prefix), mode_(mode), autos_(autos), findings_(findings) {}

  void clean(JsonNode& object, const std::string& block, KeyType kind) {
    const JsonReader reader(object, file_, outer(block));
    std::vector<std::string> dropped;
    for (auto& [key, value] : object.members) {
      const std::string path = joined(block, key);
      const KeyRow* row = find_training_key(path);
      if (row == nullptr) {
        unknown(reader, key, block, kind);
        dropped.push_back(key);
      } else if (value.type == Type::kNull || (value.is_auto() && !fill_auto(reader, *row, value, kind))) {
        dropped.push_back(key);
      } else {
        clean_value(reader, *row, value, kind);
      }
    }
    for (const std::string& key : dropped) erase_member(object, key);
  }

 private:
  static std::string joined(const std::string& block, const std::string& key) {
    return block.empty() ? key : fmt::format("{}.{}", block, key);
  }
  std::string outer(const std::string& block) const {
    if (prefix_.empty()) return block;
    return block.empty() ? prefix_ : joined(prefix_, block);
  }

  void note(Finding::Kind kind, std::string_view key, std::string text) {
    findings_.push_back({kind, printable(key, 120), std::move(text)});
  }

  void unknown(const JsonReader& reader, const std::string& key, const std::string& block, KeyType kind) {
    const std::string hint = suggestion(key, keys_inside(block));
    if (mode_ == ConfigMode::kRead || kind == KeyType::kClosed) {
      reader.fail(
          key, (kind == KeyType::kClosed ? "is not a known key, and DeepSpeed refuses it too" : "is not a known key") +
                   hint);
    }
    const std::string path = joined(block, key);
    if (kind == KeyType::kPassedOn) {
      note(Finding::Kind::kWouldAssert, path, "DeepSpeed passes it to a constructor that does not take it" + hint);
    } else {
      note(Finding::Kind::kIgnoredByDeepSpeed, path, "not a known key: DeepSpeed ignores it without a word" + hint);
    }
  }

  /// False if the key is to be dropped (DeepSpeed's default counts).
  bool fill_auto(const JsonReader& reader, const KeyRow& row, JsonNode& value, KeyType kind) {
    const bool batch =
        row.path.find("batch_size") != std::string_view::npos && row.path.find('.') == std::string_view::npos;
    if (mode_ == ConfigMode::kCheck) note_auto(row, kind, batch || row.path == "gradient_accumulation_steps");
    switch (autos_.fill(row.path, value)) {
      case AutoFiller::Result::kFilled:
        return true;
      case AutoFiller::Result::kDropped:
        return false;
      case AutoFiller::Result::kNeedsModel:
        reader.fail(row.name(),
                    "is \"auto\", which follows from the model's hidden size, but no model is given; give a "
                    "model or a number");
      case AutoFiller::Result::kNeedsSteps:
        reader.fail(row.name(), "is \"auto\", but the number of steps is not known; give a number");
      case AutoFiller::Result::kNotTheirs:
        break;
    }
    if (kind == KeyType::kClosed) return false;
    if (row.type == KeyType::kText || row.type == KeyType::kAny) return true;
    reader.fail(row.name(),
                fmt::format("is \"auto\", which nobody fills in here; it must be: {}", to_string(row.type)));
  }

  void note_auto(const KeyRow& row, KeyType kind, bool batch) {
    if (batch) {
      note(Finding::Kind::kWouldAssert, row.path,
           "\"auto\" is filled in by Hugging Face Trainer or Accelerate; DeepSpeed alone raises TypeError");
    } else if (kind == KeyType::kClosed) {
      note(
          Finding::Kind::kIgnoredByDeepSpeed, row.path,
          fmt::format("\"auto\" is filled in by Hugging Face Trainer or Accelerate; DeepSpeed alone drops it and takes "
                      "its default, {}",
                      row.absent));
    }
  }

  void clean_value(const JsonReader& reader, const KeyRow& row, JsonNode& value, KeyType kind) {
    if (row.use == KeyUse::kGone) reader.fail(row.name(), fmt::format("is refused by DeepSpeed too: {}", row.what));
    if (row.is_block()) {
      const JsonReader must_be_object(value, file_, outer(std::string(row.path)));
    } else {
      coerce(reader, row, value, kind);
    }
    if (row.use == KeyUse::kRefused && !inert(row, value)) return refuse(reader, row, value);
    if (row.is_block()) clean(value, std::string(row.path), row.type);
    if (row.use == KeyUse::kNoEffect) note(Finding::Kind::kNoEffectHere, row.path, std::string(row.what));
    if (row.use == KeyUse::kDead) note(Finding::Kind::kDead, row.path, std::string(row.what));
    if (row.use == KeyUse::kIgnored) note(Finding::Kind::kIgnoredByDeepSpeed, row.path, std::string(row.what));
  }

  void refuse(const JsonReader& reader, const KeyRow& row, const JsonNode& value) {
    if (mode_ == ConfigMode::kRead) {
      reader.fail(row.name(),
                  row.is_block() || row.type == KeyType::kAny
                      ? fmt::format("is not done here: {}", row.what)
                      : fmt::format("is {}, which is not done here: {}; {} is", describe(value), row.what, row.absent),
                  ErrorKind::kUnsupported);
    }
    note(Finding::Kind::kNotRunHere, row.path, std::string(row.what));
  }

  /// Off, or DeepSpeed's default: nothing is asked for.
  static bool inert(const KeyRow& row, const JsonNode& value) {
    if (value.is_object()) {
      const JsonNode* enabled = value.find("enabled");
      if (enabled == nullptr) return value.members.empty();
      return enabled->is_auto() || (enabled->type == Type::kBool && !enabled->boolean);
    }
    if (row.is_block() || row.type == KeyType::kAny) return value.type == Type::kBool && !value.boolean;
    if (value.type == Type::kBool) return row.absent == (value.boolean ? "true" : "false");
    const bool number = row.absent.find_first_of("-0123456789") == 0;
    if (value.is_number()) return number && std::stod(std::string(row.absent)) == value.real;
    return value.is_string() && lower_case(value.text) == lower_case(row.absent);
  }

  [[noreturn]] void wrong(const JsonReader& reader, const KeyRow& row, const JsonNode& value) const {
    std::string right = fmt::format("it must be: {}", to_string(row.type));
    if (!row.choices.empty()) right = fmt::format("it must be one of {}", row.choices);
    const bool number = row.type == KeyType::kInteger || row.type == KeyType::kReal;
    if (number && row.min > -1e300 && row.max < 1e300) right += fmt::format(" from {:g} to {:g}", row.min, row.max);
    if (number && row.min > -1e300 && row.max >= 1e300) right += fmt::format(" of at least {:g}", row.min);
    reader.fail(row.name(), fmt::format("is {}; {}", describe(value), right));
  }

  void coerce(const JsonReader& reader, const KeyRow& row, JsonNode& value, KeyType kind) const {
    const bool lax = kind == KeyType::kClosed;  // pydantic turns "2" into 2 and 1 into true
    bool good = true;
    switch (row.type) {
      case KeyType::kBool:
        good = coerce_bool(value, lax);
        break;
      case KeyType::kInteger:
        good = coerce_integer(value, lax) && in_range(row, value);
        break;
      case KeyType::kReal:
        good = as_real(value).has_value() && in_range(row, value);
        break;
      case KeyType::kText:
        good = value.is_string() && is_choice(row, value.text);
        break;
      case KeyType::kList:
        good = value.type == Type::kArray;
        break;
      default:
        break;
    }
    if (!good) wrong(reader, row, value);
  }

  static bool coerce_bool(JsonNode& value, bool lax) {
    if (value.type == Type::kBool) return true;
    if (value.type == Type::kInteger && (value.integer == 0 || value.integer == 1)) {
      value.type = Type::kBool;
      value.boolean = value.integer == 1;
      return true;
    }
    const std::string text = lax && value.is_string() ? lower_case(value.text) : "";
    const bool yes = text == "true" || text == "yes" || text == "on" || text == "1";
    const bool no = text == "false" || text == "no" || text == "off" || text == "0";
    if (!yes && !no) return false;
    value.type = Type::kBool;
    value.boolean = yes;
    return true;
  }

  static bool coerce_integer(JsonNode& value, bool lax) {
    std::optional<std::int64_t> number = as_integer(value);
    if (lax && value.is_string() && !value.text.empty() && value.text.size() <= 18 &&
        value.text.find_first_not_of("0123456789") == std::string::npos) {
      number = std::stoll(value.text);
    }
    if (!number) return false;
    const JsonNode old = std::move(value);
    value = json_integer(*number);
    value.line = old.line;
    value.flag = old.flag;
    return true;
  }

  static bool in_range(const KeyRow& row, const JsonNode& value) {
    return value.real >= row.min && value.real <= row.max;
  }

  static bool is_choice(const KeyRow& row, std::string_view text) {
    if (row.choices.empty()) return true;
    const std::string wanted = lower_case(text);
    for (std::size_t start = 0; start <= row.choices.size();) {
      const std::size_t end = std::min(row.choices.find('|', start), row.choices.size());
      if (row.choices.substr(start, end - start) == wanted) return true;
      start = end + 1;
    }
    return false;
  }

  const std::string& file_;
  const std::string& prefix_;
  ConfigMode mode_;
  const AutoFiller& autos_;
  std::vector<Finding>& findings_;
};

/// HF fills the batch size from its arguments even if the other two keys are absent.
void complete_auto_batch(JsonNode& root) {
  const JsonNode* batch = root.find("train_batch_size");
  if (batch == nullptr || !batch->is_auto()) return;
  for (const char* key : {"train_micro_batch_size_per_gpu", "gradient_accumulation_steps"}) {
    if (root.find(key) == nullptr) root.set(key, json_string("auto"));
  }
}

}  // namespace

CleanConfig clean_config(JsonNode root, const std::string& file, const std::string& prefix, const AutoValues& autos,
                         ConfigMode mode) {
  const JsonReader must_be_object(root, file, prefix);
  CleanConfig clean;
  clean.root = std::move(root);
  Modernizer(clean.root, file, prefix).run();
  complete_auto_batch(clean.root);
  const AutoFiller filler(autos, stage_of(clean.root));
  Cleaner(file, prefix, mode, filler, clean.findings).clean(clean.root, "", KeyType::kOpen);
  return clean;
}

}  // namespace shardscope
