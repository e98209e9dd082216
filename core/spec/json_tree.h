#pragma once
// JSON as the spec readers want it: a tree that remembers lines and the order of keys, refuses duplicate keys and deep
// nesting, and accepts what people write into DeepSpeed's HJSON files: comments (#, //, /* */) and trailing commas.
//
//   JsonNode root = parse_json(text, "ds_config.json");   // throws Error{kParse} "ds_config.json:3:7: ..."
//   std::string text = read_text_file("ds_config.json");  // throws Error{kConfig}

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace shardscope {

struct JsonMember;

struct JsonNode {
  enum class Type : std::uint8_t { kNull, kBool, kInteger, kReal, kString, kArray, kObject };
  Type type = Type::kNull;
  bool boolean = false;
  std::int64_t integer = 0;
  double real = 0;   ///< also of integers that do not fit 64 bits
  std::string text;  ///< UTF-8
  std::vector<JsonNode> items;
  std::vector<JsonMember> members;  ///< in file order
  int line = 0;                     ///< 1-based; of the key, for members; 0: in no file
  const char* flag = nullptr;       ///< of the command line that put it there ("--stage"); null: from a file

  bool is_object() const { return type == Type::kObject; }
  bool is_string() const { return type == Type::kString; }
  bool is_number() const { return type == Type::kInteger || type == Type::kReal; }
  bool is_auto() const { return is_string() && text == "auto"; }
  const JsonNode* find(std::string_view key) const;  ///< null if this is no object or has no such key
  JsonNode* find(std::string_view key);
  void set(const std::string& key, JsonNode value);  ///< adds or replaces a member
};

/// A key and its value. Not a std::pair: clang 14 wants a pair's types complete where JsonNode is declared.
struct JsonMember {
  JsonMember(std::string key, JsonNode value) : first(std::move(key)), second(std::move(value)) {}
  std::string first;
  JsonNode second;
};

/// Nesting beyond this is refused: no description needs more, and it bounds the reader's own recursion.
inline constexpr int kMaxJsonDepth = 64;

JsonNode parse_json(std::string_view text, const std::string& file_name);

/// How a value is quoted in messages: `"auto"`, `4`, `[3 values]`; at most about 60 characters, printable.
std::string describe(const JsonNode& node);

/// The tree as compact JSON text.
std::string to_json_text(const JsonNode& node);

/// Printable, at most `limit` bytes: for quoting what a hostile file contains.
std::string printable(std::string_view text, std::size_t limit = 60);

/// The whole file, up to 64 MiB (a configuration is never that large).
std::string read_text_file(const std::string& path);

JsonNode json_string(std::string text);
JsonNode json_integer(std::int64_t value);
JsonNode json_object();

}  // namespace shardscope
