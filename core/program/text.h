#pragma once
// The text form of a program: the debugger, the golden-test format and the documentation.
//
//   program rank 0 of 2 tokens 64
//   group dp ranks 0,1 self 0
//   buffer x f32[128] activation device
//   buffer w f32[4096] parameter device persistent at 0
//   parameter h.w [64,64] layer 0 std 0.02
//   state parameter h.w begin 0 at w[0:4096]
//   output loss loss[0:1]                          (or norm, tokens, logprobs)
//   0 alloc buffer=x @compute forward
//   1 matmul a=t[0:64] b=w[0:4096] c=x[0:64] m=1 n=64 k=64 @compute forward layer 0 mb 0 "h.0.w" after 7,9
//
// Attributes at their default are left out. parse(to_string(p)) == p for every program.

#include <array>
#include <string>
#include <string_view>

#include "core/program/program.h"

namespace shardscope {

/// What a program leaves behind, by the name in its text.
struct ProgramOutput {
  std::string_view name;
  Region Program::*region;
};
inline constexpr std::array kOutputs{ProgramOutput{"loss", &Program::loss}, ProgramOutput{"norm", &Program::grad_norm},
                                     ProgramOutput{"overflow", &Program::overflow},
                                     ProgramOutput{"tokens", &Program::next_tokens},
                                     ProgramOutput{"logprobs", &Program::logprobs}};

std::string to_string(const Program& program);

/// Throws Error{kParse} with line number, what is wrong and what would be right. Never crashes, whatever the text.
Program parse_program(std::string_view text, const std::string& file_name = "program");

/// Same meaning in every field, names of buffers included.
bool operator==(const Program& a, const Program& b);

}  // namespace shardscope
