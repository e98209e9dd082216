// The body of a kernel, statement by statement. Device functions that it calls are decoded into it at each call, so
// that there is no stack; recursion is refused.

#include <cctype>

#include "tests/cudasim/ptx/decoder.h"
#include "tests/cudasim/ptx/mutate.h"
#include "tests/cudasim/ptx/text.h"

namespace cudasim::ptx {

namespace {

[[noreturn]] void refuse(const std::string& what) { throw Fault{cudaErrorInvalidPtx, "PTX: " + what}; }

constexpr int kDeepestCall = 32;

struct Declaration {
  std::string space, type, name;
  u32 align = 1, count = 1;
  u32 bytes() const { return count * static_cast<u32>(type_bytes(type)); }
};

/// ".param .align 8 .b8 name[24]", ".shared .align 4 .b8 name[64]", ".local .b32 x"
Declaration read_declaration(const std::string& text) {
  Declaration out;
  std::string head = text;
  if (const size_t bracket = text.find('['); bracket != std::string::npos) {
    for (size_t b = bracket; b != std::string::npos; b = text.find('[', b + 1)) {
      out.count *= static_cast<u32>(literal_bits(trim(text.substr(b + 1, text.find(']', b) - b - 1))));
    }
    head = trim(text.substr(0, bracket));
  }
  const std::vector<std::string> parts = words(head);
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i] == ".align") {
      out.align = static_cast<u32>(literal_bits(parts.at(++i)));
    } else if (parts[i][0] == '.' && is_type(parts[i].substr(1))) {
      out.type = parts[i].substr(1);
    } else if (out.space.empty()) {
      out.space = parts[i];
    }
  }
  out.name = parts.back();
  if (!is_type(out.type)) refuse("no declaration: " + text);
  out.align = std::max(out.align, static_cast<u32>(type_bytes(out.type)));
  return out;
}

u32 place(u32& top, const Declaration& what) {
  const u32 at = (top + what.align - 1) / what.align * what.align;
  top = at + what.bytes();
  return at;
}

class Body {
 public:
  Body(const Module& module, Kernel& kernel, Rows& rows, Mutation& mutation, int depth)
      : module_(module), kernel_(kernel), rows_(rows), mutation_(mutation), depth_(depth) {}

  Names names;
  void decode(const std::string& text);

 private:
  struct Fix {
    u32 inst;
    std::string label;
  };
  void statement(const std::string& text);
  void declare_registers(const std::string& text);
  void declare(const std::string& text);
  void label(const std::string& name);
  void branch_to(Decoder& d);
  void branch_by_table(Decoder& d);
  void call(const std::string& text);
  void inline_call(const Function& callee, const std::vector<std::string>& results,
                   const std::vector<std::string>& arguments);

  const Module& module_;
  Kernel& kernel_;
  Rows& rows_;
  Mutation& mutation_;
  int depth_;
  int line_ = 0;
  std::string last_label_;
  std::map<std::string, u32> labels_;
  std::map<std::string, std::vector<std::string>> targets_;  ///< of brx.idx
  std::vector<Fix> fixes_;
  std::vector<std::pair<u32, std::vector<std::string>>> table_fixes_;
};

/// Statements end with ';', labels with ':', .loc with its line; braces open a scope of names.
void Body::decode(const std::string& text) {
  std::vector<Names> outer;
  for (size_t at = text.find_first_not_of(" \t\n\r"); at != std::string::npos;
       at = text.find_first_not_of(" \t\n\r", at)) {
    if (text[at] == '{') {
      outer.push_back(names);
      ++at;
    } else if (text[at] == '}') {
      if (outer.empty()) refuse("a brace too many");
      names = outer.back();
      outer.pop_back();
      ++at;
    } else if (text.compare(at, 5, ".loc\t") == 0 || text.compare(at, 5, ".loc ") == 0) {
      const size_t end = std::min(text.find('\n', at), text.size());
      line_ = static_cast<int>(literal_bits(words(text.substr(at, end - at)).at(2)));
      at = end;
    } else {
      size_t end = at;
      int depth = 0;
      for (; end < text.size(); ++end) {
        if (text[end] == '{') ++depth;
        if (text[end] == '}') --depth;
        const bool colon = text[end] == ':' && text[end + 1] != ':' && text[end - 1] != ':';
        if ((text[end] == ';' || colon) && depth == 0) break;
      }
      std::string one = trim(std::string_view(text).substr(at, end - at));
      for (char& c : one) c = std::isspace(static_cast<unsigned char>(c)) != 0 ? ' ' : c;
      if (end < text.size() && text[end] == ':') {
        label(one);
      } else if (one = mutation_.apply(one); !one.empty()) {
        statement(one);
      }
      at = std::min(end + 1, text.size());
    }
  }
  const auto place_of = [&](const std::string& name) {
    const auto found = labels_.find(name);
    if (found == labels_.end()) refuse("no label " + name);
    return found->second;
  };
  for (const Fix& fix : fixes_) kernel_.code[fix.inst].target = place_of(fix.label);
  for (const auto& [table, wanted] : table_fixes_) {
    for (const std::string& name : wanted) kernel_.tables[table].push_back(place_of(name));
  }
}

void Body::label(const std::string& name) {
  labels_[name] = static_cast<u32>(kernel_.code.size());
  last_label_ = name;
}

void Body::statement(const std::string& text) {
  if (text.starts_with(".reg")) return declare_registers(text);
  if (text.starts_with(".shared") || text.starts_with(".local") || text.starts_with(".param")) return declare(text);
  if (text.starts_with(".pragma")) return;  // hints to ptxas
  if (text.starts_with(".branchtargets")) {
    targets_[last_label_] = split(text.substr(14), ',');
    return;
  }
  const std::string bare = text[0] == '@' ? trim(text.substr(text.find(' '))) : text;
  if (bare.starts_with("call")) {
    if (bare.size() != text.size()) refuse("a call under a predicate: " + text);
    return call(text);
  }
  Decoder d(module_, kernel_, rows_, names);
  d.begin(text, line_);
  if (d.opcode() == "bra") return branch_to(d);
  if (d.opcode() == "brx") return branch_by_table(d);
  if (d.opcode() == "ret" && depth_ > 0) {
    fixes_.push_back({static_cast<u32>(kernel_.code.size()), "(end)"});
    return d.emit(branch);
  }
  const auto found = decode_table().find(d.opcode());
  if (found == decode_table().end()) d.refuse("opcode " + d.opcode() + " is not implemented");
  found->second(d);
}

/// ".reg .b32 %r<7>", ".reg .pred p, q"
void Body::declare_registers(const std::string& text) {
  const std::vector<std::string> parts = words(text);
  const std::string type = parts.at(1).substr(1);
  const auto declare_one = [&](const std::string& name) {
    const bool predicate = type == "pred";
    const u8 bytes = static_cast<u8>(type_bytes(type));
    if (bytes == 0 || bytes > 8) refuse("registers of type " + type);
    names.registers[name] = {predicate ? kernel_.predicates++ : rows_.add(bytes), bytes, predicate};
  };
  for (const std::string& name : split(text.substr(text.find(parts[1]) + parts[1].size()), ',')) {
    const size_t range = name.find('<');
    if (range == std::string::npos) {
      declare_one(name);
      continue;
    }
    const u64 count = literal_bits(name.substr(range + 1, name.size() - range - 2));
    for (u64 i = 0; i < count; ++i) declare_one(name.substr(0, range) + std::to_string(i));
  }
}

void Body::declare(const std::string& text) {
  const Declaration what = read_declaration(text);
  const bool shared = what.space == ".shared";
  const u32 at = place(shared ? kernel_.static_shared : kernel_.local_bytes, what);  // .param: arguments of a call
  names.symbols[what.name] = {shared ? Space::kShared : Space::kLocal, at};
}

void Body::branch_to(Decoder& d) {
  d.take("uni");
  fixes_.push_back({static_cast<u32>(kernel_.code.size()), d.arg(0)});
  d.emit(branch);
}

void Body::branch_by_table(Decoder& d) {
  d.take("uni");
  if (!d.take("idx")) d.refuse("only brx.idx");
  const auto found = targets_.find(d.arg(1));
  if (found == targets_.end()) d.refuse("no branch targets " + d.arg(1));
  d.inst.a = d.row(0, 4);
  d.inst.target = d.table({});
  table_fixes_.emplace_back(d.inst.target, found->second);
  d.emit(branch_table);
}

/// "call.uni (retval0), name, (param0, param1)"
void Body::call(const std::string& text) {
  std::vector<std::string> parts = split(text.substr(text.find(' ')), ',');
  std::vector<std::string> results, arguments;
  const auto inside = [](const std::string& list) { return split(list.substr(1, list.size() - 2), ','); };
  if (parts.at(0)[0] == '(') {
    results = inside(parts[0]);
    parts.erase(parts.begin());
  }
  if (parts.size() > 1 && parts[1][0] == '(') arguments = inside(parts[1]);
  const Function* callee = module_.function(parts.at(0));
  if (callee == nullptr || parts.size() > 2)
    refuse("a call of something that this module does not define: '" + text + "'");
  if (depth_ >= kDeepestCall) refuse("calls too deep (recursion?): '" + text + "'");
  inline_call(*callee, results, arguments);
}

void Body::inline_call(const Function& callee, const std::vector<std::string>& results,
                       const std::vector<std::string>& arguments) {
  Body inner(module_, kernel_, rows_, mutation_, depth_ + 1);
  for (const auto& [name, symbol] : names.symbols) {
    if (module_.dynamic_shared().contains(name) || module_.static_shared().contains(name))
      inner.names.symbols[name] = symbol;
  }
  const auto bind = [&](const std::vector<std::string>& declared, const std::vector<std::string>& given) {
    if (declared.size() != given.size()) refuse("call of " + callee.name + " with the wrong number of arguments");
    for (size_t i = 0; i < declared.size(); ++i) {
      const auto found = names.symbols.find(given[i]);
      if (found == names.symbols.end()) refuse("call of " + callee.name + ": argument " + given[i]);
      inner.names.symbols[read_declaration(declared[i]).name] = found->second;
    }
  };
  bind(callee.params, arguments);
  bind(callee.results, results);
  inner.decode(callee.body + "\n(end):\n");
}

}  // namespace

std::unique_ptr<Kernel> decode_kernel(const Module& module, const Function& function) {
  auto kernel = std::make_unique<Kernel>();
  kernel->name = function.name;
  kernel->title = readable(function.name);
  Rows rows(*kernel);
  Mutation mutation(kernel->title);
  Body body(module, *kernel, rows, mutation, 0);
  for (const std::string& text : function.params) {
    const Declaration what = read_declaration(text);
    const u32 at = place(kernel->param_bytes, what);
    kernel->params.push_back({at, what.bytes()});
    body.names.symbols[what.name] = {Space::kParam, at};
  }
  for (const auto& [name, bytes] : module.static_shared()) {
    kernel->static_shared = (kernel->static_shared + 15) & ~15u;
    body.names.symbols[name] = {Space::kShared, kernel->static_shared};
    kernel->static_shared += bytes;
  }
  for (const auto& [name, unsized] : module.dynamic_shared())
    body.names.symbols[name] = {Space::kShared, kDynamicShared};
  body.decode(function.body);
  Decoder end(module, *kernel, rows, body.names);
  end.begin("exit", 0);
  decode_table().at("exit")(end);
  return kernel;
}

}  // namespace cudasim::ptx
