// The parser of the text form (core/program/text.h).

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/program/text.h"
#include "core/spec/json_tree.h"

namespace shardscope {
namespace {

constexpr std::int64_t kMaxElements = std::int64_t{1} << 48;  // keeps sums of bytes far from overflow

class Parser {
 public:
  Parser(std::string_view text, std::string file) : text_(text), file_(std::move(file)) {}

  Program run() {
    bool has_header = false;
    while (next_line()) {
      if (tokens_.empty()) continue;
      if (!has_header && tokens_[0] != "program") fail("the first line must be 'program rank R of N tokens T'");
      has_header = true;
      parse_line();
    }
    if (!has_header) fail("it is empty; the first line must be 'program rank R of N tokens T'");
    return std::move(program_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    constexpr std::size_t kLongest = 300;  // words of a file may be of any length
    throw Error(ErrorKind::kParse, fmt::format("{}:{}: {}", file_, line_, printable(what, kLongest)));
  }

  // ------------------------------------------------ lines and tokens

  bool next_line() {
    if (position_ >= text_.size()) return false;
    const std::size_t end = std::min(text_.find('\n', position_), text_.size());
    const std::string_view line = text_.substr(position_, end - position_);
    position_ = end + 1;
    ++line_;
    split(line);
    cursor_ = 0;
    return true;
  }

  void split(std::string_view line) {
    tokens_.clear();
    std::size_t i = 0;
    while (i < line.size()) {
      if (line[i] == ' ' || line[i] == '\r' || line[i] == '\t') {
        ++i;
      } else {
        const bool quoted = line[i] == '"';
        std::size_t end = quoted ? line.find('"', i + 1) : line.find_first_of(" \r\t", i);
        if (quoted && end == std::string_view::npos) fail("a quote is not closed");
        if (quoted) ++end;
        end = std::min(end, line.size());
        tokens_.push_back(line.substr(i, end - i));
        i = end;
      }
    }
  }

  bool done() const { return cursor_ >= tokens_.size(); }
  std::string_view peek() const { return done() ? std::string_view() : tokens_[cursor_]; }
  std::string_view take(const char* what) {
    if (done()) fail(fmt::format("the line ends where {} should be", what));
    return tokens_[cursor_++];
  }
  void expect(std::string_view word) {
    const std::string_view got = take(std::string(word).c_str());
    if (got != word) fail(fmt::format("'{}' stands where '{}' should be", got, word));
  }
  bool accept(std::string_view word) {
    if (peek() != word) return false;
    ++cursor_;
    return true;
  }

  // ------------------------------------------------ values

  template <class T>
  T number(std::string_view text, const char* what, T low = std::numeric_limits<T>::lowest(),
           T high = std::numeric_limits<T>::max()) const {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !(value >= low) || !(value <= high)) {
      fail(fmt::format("{} is '{}'; it must be a number from {} to {}", what, text, low, high));
    }
    return value;
  }
  std::int64_t count(std::string_view text, const char* what) const {
    return number<std::int64_t>(text, what, 0, kMaxElements);
  }
  std::int32_t index(std::string_view text, const char* what) const {
    return number<std::int32_t>(text, what, 0, std::numeric_limits<std::int32_t>::max());
  }

  template <class E>
  E named(std::string_view text, const char* what) const {
    const std::optional<E> value = from_name<E>(text);
    if (!value) fail(fmt::format("'{}' is not a {}", text, what));
    return *value;
  }

  std::vector<std::string_view> list(std::string_view text) const {
    std::vector<std::string_view> parts;
    while (true) {
      const std::size_t comma = text.find(',');
      parts.push_back(text.substr(0, comma));
      if (comma == std::string_view::npos) return parts;
      text = text.substr(comma + 1);
    }
  }

  BufferId buffer_named(std::string_view name) const {
    const auto it = buffers_.find(name);
    if (it == buffers_.end()) fail(fmt::format("no buffer is named '{}'", name));
    return it->second;
  }

  GroupId group_named(std::string_view name) const {
    for (std::size_t i = 0; i < program_.groups.size(); ++i) {
      if (program_.groups[i].name == name) return GroupId{static_cast<std::int32_t>(i)};
    }
    fail(fmt::format("no group is named '{}'", name));
  }

  Region region(std::string_view text) const {
    const std::size_t open = text.rfind('['), colon = text.rfind(':');
    if (open == std::string_view::npos || colon == std::string_view::npos || colon < open || text.back() != ']') {
      fail(fmt::format("'{}' is not a region; it should look like name[0:128]", text));
    }
    Region r{buffer_named(text.substr(0, open)), count(text.substr(open + 1, colon - open - 1), "the start"), 0};
    const std::int64_t end = count(text.substr(colon + 1, text.size() - colon - 2), "the end");
    const std::int64_t size = program_.buffer(r.buffer).elements;
    if (end <= r.offset || end > size) {
      fail(fmt::format("region '{}' is empty or leaves its buffer of {} elements", text, size));
    }
    r.count = end - r.offset;
    return r;
  }

  // ------------------------------------------------ kinds of line

  void parse_line() {
    const std::string_view word = tokens_[0];
    if (word[0] >= '0' && word[0] <= '9') return parse_instruction();
    cursor_ = 1;
    if (word == "program") {
      parse_header();
    } else if (word == "group") {
      parse_group();
    } else if (word == "buffer") {
      parse_buffer();
    } else if (word == "parameter") {
      parse_parameter();
    } else if (word == "state") {
      parse_state();
    } else if (word == "output") {
      parse_output();
    } else if (word == "arena") {
      const auto space = static_cast<std::size_t>(named<Space>(take("a space"), "space"));
      program_.arena_bytes[space] = count(take("bytes"), "bytes");
    } else {
      fail(
          fmt::format("'{}' starts no line; known are program, group, buffer, parameter, state, output, arena and a "
                      "number",
                      word));
    }
    end_of_line();
  }

  void end_of_line() const {
    if (!done()) fail(fmt::format("'{}' is too much on this line", tokens_[cursor_]));
  }

  void parse_header() {
    expect("rank");
    program_.rank = index(take("a rank"), "the rank");
    expect("of");
    program_.world = index(take("the number of ranks"), "the number of ranks");
    if (accept("replica")) {
      program_.replica = index(take("a replica"), "the replica");
      expect("of");
      program_.replicas = index(take("the number of replicas"), "the number of replicas");
      if (program_.replica >= program_.replicas) fail("the replica must be below the number of replicas");
    }
    expect("tokens");
    program_.tokens_per_step = count(take("tokens"), "tokens");
    if (program_.rank >= program_.world) fail("the rank must be below the number of ranks");
  }

  void parse_group() {
    Group group;
    group.name = take("a name");
    expect("ranks");
    for (std::string_view rank : list(take("ranks"))) group.ranks.push_back(index(rank, "a rank"));
    expect("self");
    group.self = index(take("a place"), "self");
    if (group.self >= group.size()) fail("self must be a place in the group");
    program_.groups.push_back(std::move(group));
  }

  void parse_buffer() {
    Buffer b;
    b.name = take("a name");
    const std::string_view type = take("dtype[elements]");
    const std::size_t open = type.find('[');
    if (open == std::string_view::npos || type.back() != ']') fail("a buffer's type should look like f32[128]");
    b.dtype = named<DType>(type.substr(0, open), "dtype");
    b.elements = count(type.substr(open + 1, type.size() - open - 2), "elements");
    b.category = named<Category>(take("a category"), "category");
    b.space = named<Space>(take("a space"), "space");
    b.persistent = accept("persistent");
    if (accept("at")) b.address = count(take("an address"), "the address");
    const std::string name = b.name;
    const BufferId id = program_.add_buffer(std::move(b));
    if (!buffers_.emplace(name, id).second) fail(fmt::format("there is already a buffer named '{}'", name));
  }

  void parse_parameter() {
    Parameter p;
    p.name = take("a name");
    const std::string_view shape = take("a shape");
    if (shape.size() < 3 || shape.front() != '[' || shape.back() != ']') fail("a shape should look like [64,64]");
    std::int64_t elements = 1;
    for (std::string_view dim : list(shape.substr(1, shape.size() - 2))) {
      p.shape.push_back(number<std::int64_t>(dim, "a dimension", 1, kMaxElements));
      if (elements > kMaxElements / p.shape.back()) fail("the shape has too many elements");
      elements *= p.shape.back();
    }
    expect("layer");
    p.layer = number<std::int32_t>(take("a layer"), "the layer", -1);
    expect("std");
    p.init_std = number<double>(take("a standard deviation"), "std");
    expect("value");
    p.init_value = number<double>(take("a value"), "value");
    if (accept("part")) parse_slice(p);
    if (!parameters_.emplace(p.name, static_cast<std::int32_t>(program_.parameters.size())).second) {
      fail(fmt::format("there is already a parameter named '{}'", p.name));
    }
    program_.parameters.push_back(std::move(p));
  }

  void parse_slice(Parameter& p) {
    p.slice.part = index(take("a part"), "the part");
    expect("of");
    p.slice.parts = index(take("the number of parts"), "the number of parts");
    expect("dim");
    p.slice.dim = index(take("a dimension"), "the dimension");
    expect("blocks");
    p.slice.blocks = number<std::int64_t>(take("blocks"), "blocks", 1, kMaxElements);
    if (p.slice.part >= p.slice.parts) fail("the part must be below the number of parts");
    if (static_cast<std::size_t>(p.slice.dim) >= p.shape.size()) fail("the shape has no such dimension");
    if (p.shape[static_cast<std::size_t>(p.slice.dim)] % p.slice.blocks != 0) fail("blocks must divide the dimension");
  }

  void parse_state() {
    StatePiece s;
    const std::string_view role = take("a role");
    std::optional<StateRole> found;
    for (StateRole r : {StateRole::kParameter, StateRole::kMaster, StateRole::kExpAvg, StateRole::kExpAvgSq}) {
      if (to_string(r) == role) found = r;
    }
    if (!found) fail(fmt::format("'{}' is not a role of state", role));
    s.role = *found;
    const auto it = parameters_.find(take("a parameter"));
    if (it == parameters_.end()) fail("no such parameter");
    s.parameter = it->second;
    expect("begin");
    s.begin = count(take("an element"), "begin");
    expect("in");
    s.home = region(take("a region"));
    if (s.begin + s.home.count > program_.parameters[static_cast<std::size_t>(s.parameter)].local_elements()) {
      fail("the piece is longer than its parameter");
    }
    if (accept("scales")) parse_scales(s);
    program_.state.push_back(s);
  }

  void parse_scales(StatePiece& s) {
    s.scales = region(take("a region"));
    expect("dim");
    s.channel_dim = index(take("a dimension"), "the dimension");
    const std::vector<std::int64_t> shape = program_.parameters[static_cast<std::size_t>(s.parameter)].local_shape();
    const auto dim = static_cast<std::size_t>(s.channel_dim);
    if (dim >= shape.size() || s.scales.count != shape[dim]) fail("there must be a scale for each index of dim");
  }

  void parse_output() {
    const std::string_view what = take("an output's name");
    const auto known = std::find_if(kOutputs.begin(), kOutputs.end(), [&](const auto& o) { return o.name == what; });
    if (known == kOutputs.end()) fail("an output is loss, norm, overflow, tokens or logprobs");
    program_.*known->region = region(take("a region"));
  }

  void parse_instruction() {
    const std::int32_t id = index(take("a number"), "the op's number");
    if (static_cast<std::size_t>(id) != program_.instructions.size()) {
      fail(fmt::format("op {} should have number {}", id, program_.instructions.size()));
    }
    Instruction in;
    in.op = parse_op(take("an op"));
    const std::string_view lane = take("@lane");
    if (lane.empty() || lane[0] != '@') fail(fmt::format("'{}' is neither a field nor @lane", lane));
    in.lane = named<Lane>(lane.substr(1), "lane");
    in.label.phase = named<Phase>(take("a phase"), "phase");
    if (accept("layer")) in.label.layer = index(take("a layer"), "the layer");
    if (accept("mb")) in.label.micro_batch = index(take("a micro-batch"), "the micro-batch");
    if (!done() && peek().front() == '"') {
      const std::string_view quoted = take("a name");
      in.label.name = program_.intern(quoted.substr(1, quoted.size() - 2));
    }
    if (accept("after")) {
      for (std::string_view op : list(take("ops"))) {
        in.after.push_back(OpId{number<std::int32_t>(op, "an op to wait for", 0, id - 1)});
      }
    }
    end_of_line();
    program_.instructions.push_back(std::move(in));
  }

  // Reads fields by name into an op.
  struct FieldReader {
    const Parser& parser;
    std::map<std::string_view, std::string_view>& given;

    std::optional<std::string_view> find(const char* n) {
      const auto it = given.find(n);
      if (it == given.end()) return std::nullopt;
      const std::string_view text = it->second;
      given.erase(it);
      return text;
    }
    void buffer(const char* n, BufferId& id) {
      const auto text = find(n);
      if (!text) parser.fail(fmt::format("the op needs {}=", n));
      id = parser.buffer_named(*text);
    }
    void group(const char* n, GroupId& id) {
      const auto text = find(n);
      if (!text) parser.fail(fmt::format("the op needs {}=", n));
      id = parser.group_named(*text);
    }
    void region(const char* n, Region& r) {
      if (const auto text = find(n)) r = parser.region(*text);
    }
    void read(const char* n, Region& r) { region(n, r); }
    void write(const char* n, Region& r) { region(n, r); }
    void update(const char* n, Region& r) { region(n, r); }
    void write_or_update(const char* n, Region& r, bool) { region(n, r); }
    void attr(const char* n, bool& v) {
      const auto text = find(n);
      if (!text) return;
      if (*text != "true" && *text != "false") parser.fail(fmt::format("{} must be true or false", n));
      v = *text == "true";
    }
    void attr(const char* n, std::int64_t& v) {
      if (const auto text = find(n)) v = parser.count(*text, n);
    }
    void attr(const char* n, double& v) {
      if (const auto text = find(n)) v = parser.number<double>(*text, n);
    }
    void attr(const char* n, ReduceOp& v) {
      if (const auto text = find(n)) v = parser.named<ReduceOp>(*text, "reduction");
    }
    void attr(const char* n, ActivationKind& v) {
      if (const auto text = find(n)) v = parser.named<ActivationKind>(*text, "activation");
    }
    void attr(const char* n, Fp8& v) {
      if (const auto text = find(n)) v = parser.named<Fp8>(*text, "format of fp8");
    }
  };

  Op parse_op(std::string_view name) {
    std::map<std::string_view, std::string_view> given;
    while (!done() && peek().front() != '@') {
      const std::string_view field = take("a field");
      const std::size_t equals = field.find('=');
      if (equals == std::string_view::npos) fail(fmt::format("'{}' is neither field=value nor @lane", field));
      if (!given.emplace(field.substr(0, equals), field.substr(equals + 1)).second) {
        fail(fmt::format("field '{}' is given twice", field.substr(0, equals)));
      }
    }
    Op op = make_op(name, given, std::make_index_sequence<std::variant_size_v<Op>>());
    if (!given.empty()) fail(fmt::format("{} has no field '{}'", name, given.begin()->first));
    return op;
  }

  template <std::size_t... I>
  Op make_op(std::string_view name, std::map<std::string_view, std::string_view>& given, std::index_sequence<I...>) {
    Op op;
    if (!(try_op<std::variant_alternative_t<I, Op>>(name, given, op) || ...)) {
      fail(fmt::format("there is no op named '{}'", name));
    }
    return op;
  }

  template <class T>
  bool try_op(std::string_view name, std::map<std::string_view, std::string_view>& given, Op& op) {
    if (name != T::kName) return false;
    T value;
    T::fields(value, FieldReader{*this, given});
    op = value;
    return true;
  }

  std::string_view text_;
  std::string file_;
  std::size_t position_ = 0;
  int line_ = 0;
  std::vector<std::string_view> tokens_;
  std::size_t cursor_ = 0;
  Program program_;
  std::map<std::string, BufferId, std::less<>> buffers_;
  std::map<std::string, std::int32_t, std::less<>> parameters_;
};

}  // namespace

Program parse_program(std::string_view text, const std::string& file_name) { return Parser(text, file_name).run(); }

}  // namespace shardscope
