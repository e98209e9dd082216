#pragma once
// Reads a Python pickle as data. Nothing is imported and nothing is called: a class or function is a name, and a call
// is a node that holds the name and the arguments. Whoever asks decides what they mean.
//
//   Pickle pickle = parse_pickle(bytes, "mp_rank_00_model_states.pt");
//   PickleValue steps = pickle.root()["global_steps"];   steps.integer();

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace shardscope {

struct PickleNode {
  enum class Kind : std::uint8_t {
    kNone,
    kBool,
    kInteger,
    kReal,
    kText,        ///< str and bytes
    kList,        ///< list, tuple, set
    kDict,        ///< items: key, value, key, value ...
    kGlobal,      ///< text: "module name"
    kCall,        ///< what a class or function would be called with: callee, args, and what was put into the result
    kPersistent,  ///< persistent id: items[0]
  };
  Kind kind = Kind::kNone;
  std::int64_t integer = 0;  ///< also bool
  double real = 0;
  std::string text;
  std::vector<std::int32_t> items;  ///< of a call: what was appended or set afterwards
  std::int32_t callee = -1, arguments = -1, state = -1;
};

class PickleValue;

/// The nodes refer to each other by index, so shared and cyclic structures cost what they cost in the file.
struct Pickle {
  std::vector<PickleNode> nodes;
  std::int32_t top = 0;
  std::string file;
  PickleValue root() const;
};

/// A node, or nothing: looking into nothing gives nothing.
class PickleValue {
 public:
  PickleValue() = default;
  PickleValue(const Pickle* pickle, std::int32_t index) : pickle_(pickle), index_(index) {}

  explicit operator bool() const { return index_ >= 0; }
  bool is(PickleNode::Kind kind) const { return index_ >= 0 && node().kind == kind; }
  std::optional<std::int64_t> integer() const;  ///< also of a bool
  std::optional<double> number() const;
  std::optional<std::string> text() const;
  std::string global() const;                                    ///< "module name", or ""
  PickleValue callee() const, arguments() const, state() const;  ///< of a call
  PickleValue persistent_id() const;
  std::size_t size() const;  ///< items of a list, pairs of a dict (also of a call that a dict was put into)
  PickleValue operator[](std::size_t i) const;         ///< of a list
  PickleValue operator[](std::string_view key) const;  ///< of a dict with text keys
  PickleValue key(std::size_t i) const, value(std::size_t i) const;
  PickleValue at(std::int64_t key) const;  ///< of a dict with integer keys

 private:
  const PickleNode& node() const { return pickle_->nodes[static_cast<std::size_t>(index_)]; }
  PickleValue child(std::int32_t index) const { return index < 0 ? PickleValue() : PickleValue(pickle_, index); }
  bool has_pairs() const;
  const Pickle* pickle_ = nullptr;
  std::int32_t index_ = -1;
};

/// More values than this are refused, so that a small hostile file cannot take gigabytes.
inline constexpr std::size_t kMaxPickleNodes = 4'000'000;

/// Protocols 0 to 5, less what needs a program to be run for it to mean anything (extension registry, out-of-band
/// buffers, protocol 0's INST and OBJ). Throws Error{kParse} naming file, opcode and place.
Pickle parse_pickle(std::span<const std::byte> bytes, const std::string& file);
/// The same, and of one that ends too early what came before: lists and dicts hold what they had got, but lists no
/// unfinished dict. `cut_short` says whether it did. Throws as above if nothing had come.
Pickle parse_beginning(std::span<const std::byte> bytes, const std::string& file, bool& cut_short);

}  // namespace shardscope
