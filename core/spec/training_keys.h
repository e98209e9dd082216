#pragma once
// Every key of ds_config.json as data: one row per key. The reader validates against these rows, `shardscope check`
// explains with them, docs/ds_config.md is printed from them (`shardscope check --keys`).

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/spec/json_reader.h"

namespace shardscope {

enum class KeyType : std::uint8_t {
  kBool,
  kInteger,  ///< 5e8 counts
  kReal,
  kText,
  kList,
  kAny,       ///< any value, not looked into
  kOpen,      ///< a block; DeepSpeed silently ignores its unknown keys
  kClosed,    ///< a block; DeepSpeed refuses its unknown keys
  kPassedOn,  ///< a block; DeepSpeed hands its keys to a constructor, which raises TypeError for unknown ones
};

enum class KeyUse : std::uint8_t {
  kUsed,      ///< read into TrainingSpec
  kPart,      ///< checked, without an effect of its own: part of a block whose row says what the block does
  kNoEffect,  ///< accepted with a note
  kRefused,   ///< Error{kUnsupported} unless it holds its default, or is a block with "enabled": false
  kGone,      ///< documented, but DeepSpeed itself refuses it
  kIgnored,   ///< documented, but DeepSpeed itself ignores it
  kDead,      ///< DeepSpeed reads it, and nothing there or here uses it
};

struct KeyRow {
  std::string_view path;  ///< "zero_optimization.stage"
  KeyType type;
  KeyUse use;
  std::string_view absent;  ///< DeepSpeed's default, as text
  std::string_view what;    ///< what it does here, or why not
  double min = -1e300, max = 1e300;
  std::string_view choices = {};  ///< "none|cpu|nvme"; compared without case

  bool is_block() const { return type >= KeyType::kOpen; }
  std::string_view name() const { return path.substr(path.rfind('.') + 1); }
};

std::span<const KeyRow> training_keys();
const KeyRow* find_training_key(std::string_view path);

/// Names of the keys directly inside a block ("" for the top level).
std::vector<std::string_view> keys_inside(std::string_view block);

/// The whole table as Markdown: docs/ds_config.md holds it, and a test compares the two.
std::string training_keys_markdown();

std::string_view to_string(KeyType);
std::string_view to_string(KeyUse);

}  // namespace shardscope
