#include "core/program/text.h"

#include <fmt/format.h>

#include <utility>

#include "core/check.h"

namespace shardscope {
namespace {

std::string region_text(const Program& program, const Region& region) {
  return fmt::format("{}[{}:{}]", program.buffer(region.buffer).name, region.offset, region.end());
}

// Collects an op's fields as (name, text), in the order of its fields().
struct FieldPrinter {
  const Program& program;
  std::vector<std::pair<std::string, std::string>>& out;

  void buffer(const char* n, BufferId id) { out.emplace_back(n, id.valid() ? program.buffer(id).name : ""); }
  void group(const char* n, GroupId id) { out.emplace_back(n, id.valid() ? program.group(id).name : ""); }
  void region(const char* n, const Region& r) { out.emplace_back(n, r.empty() ? "" : region_text(program, r)); }
  void read(const char* n, const Region& r) { region(n, r); }
  void write(const char* n, const Region& r) { region(n, r); }
  void update(const char* n, const Region& r) { region(n, r); }
  void write_or_update(const char* n, const Region& r, bool) { region(n, r); }
  void attr(const char* n, bool v) { out.emplace_back(n, v ? "true" : "false"); }
  void attr(const char* n, std::int64_t v) { out.emplace_back(n, fmt::format("{}", v)); }
  void attr(const char* n, double v) { out.emplace_back(n, fmt::format("{}", v)); }
  void attr(const char* n, ReduceOp v) { out.emplace_back(n, to_string(v)); }
  void attr(const char* n, ActivationKind v) { out.emplace_back(n, to_string(v)); }
  void attr(const char* n, Fp8 v) { out.emplace_back(n, to_string(v)); }
};

// Fields at their default are left out.
void append_op(std::string& text, const Program& program, const Op& op) {
  std::visit(
      [&](const auto& o) {
        using T = std::decay_t<decltype(o)>;
        std::vector<std::pair<std::string, std::string>> fields, defaults;
        T::fields(o, FieldPrinter{program, fields});
        const T plain;
        T::fields(plain, FieldPrinter{program, defaults});
        text += T::kName;
        for (std::size_t i = 0; i < fields.size(); ++i) {
          if (fields[i].second != defaults[i].second) text += fmt::format(" {}={}", fields[i].first, fields[i].second);
        }
      },
      op);
}

void append_instruction(std::string& text, const Program& program, std::size_t index) {
  const Instruction& in = program.instructions[index];
  text += fmt::format("{} ", index);
  append_op(text, program, in.op);
  text += fmt::format(" @{} {}", to_string(in.lane), to_string(in.label.phase));
  if (in.label.layer >= 0) text += fmt::format(" layer {}", in.label.layer);
  if (in.label.micro_batch >= 0) text += fmt::format(" mb {}", in.label.micro_batch);
  if (in.label.name.valid()) text += fmt::format(" \"{}\"", program.name(in.label.name));
  for (std::size_t i = 0; i < in.after.size(); ++i) {
    text += fmt::format("{}{}", i == 0 ? " after " : ",", in.after[i].index);
  }
  text += '\n';
}

void append_buffer(std::string& text, const Buffer& b) {
  text += fmt::format("buffer {} {}[{}] {} {}", b.name, to_string(b.dtype), b.elements, to_string(b.category),
                      to_string(b.space));
  if (b.persistent) text += " persistent";
  if (b.address >= 0) text += fmt::format(" at {}", b.address);
  text += '\n';
}

void append_parameter(std::string& text, const Parameter& p) {
  text += fmt::format("parameter {} [{}] layer {} std {} value {}", p.name, fmt::join(p.shape, ","), p.layer,
                      p.init_std, p.init_value);
  if (p.slice.parts > 1) {
    text += fmt::format(" part {} of {} dim {} blocks {}", p.slice.part, p.slice.parts, p.slice.dim, p.slice.blocks);
  }
  text += '\n';
}

}  // namespace

std::string to_string(const Program& program) {
  std::string text = fmt::format("program rank {} of {}", program.rank, program.world);
  if (program.replicas > 1) text += fmt::format(" replica {} of {}", program.replica, program.replicas);
  text += fmt::format(" tokens {}\n", program.tokens_per_step);
  for (const Group& g : program.groups) {
    text += fmt::format("group {} ranks {} self {}\n", g.name, fmt::join(g.ranks, ","), g.self);
  }
  for (const Buffer& b : program.buffers) append_buffer(text, b);
  for (const Parameter& p : program.parameters) append_parameter(text, p);
  for (const StatePiece& s : program.state) {
    text += fmt::format("state {} {} begin {} in {}\n", to_string(s.role),
                        program.parameters[static_cast<std::size_t>(s.parameter)].name, s.begin,
                        region_text(program, s.home));
    if (!s.scales.empty()) {
      text.pop_back();
      text += fmt::format(" scales {} dim {}\n", region_text(program, s.scales), s.channel_dim);
    }
  }
  for (const ProgramOutput& output : kOutputs) {
    const Region& region = program.*output.region;
    if (!region.empty()) text += fmt::format("output {} {}\n", output.name, region_text(program, region));
  }
  for (int s = 0; s < kSpaces; ++s) {
    const std::int64_t bytes = program.arena_bytes[static_cast<std::size_t>(s)];
    if (bytes != 0) text += fmt::format("arena {} {}\n", to_string(static_cast<Space>(s)), bytes);
  }
  for (std::size_t i = 0; i < program.instructions.size(); ++i) append_instruction(text, program, i);
  return text;
}

// Every field of a program is in its text, so equal texts are equal programs.
bool operator==(const Program& a, const Program& b) { return to_string(a) == to_string(b); }

}  // namespace shardscope
