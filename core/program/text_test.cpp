#include "core/program/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/program/lower.h"

namespace shardscope {
namespace {

using testing::HasSubstr;

constexpr const char* kSmall =
    "program rank 0 of 2 tokens 64\n"
    "group dp ranks 0,1 self 0\n"
    "buffer x f32[128] activation device at 0\n"
    "buffer w f32[4096] parameter device persistent at 512\n"
    "parameter h.w [64,64] layer 0 std 0.02 value 0\n"
    "state parameter h.w begin 0 in w[0:4096]\n"
    "output loss x[0:1]\n"
    "arena device 16896\n"
    "0 alloc buffer=x @compute forward\n"
    "1 matmul a=x[0:64] b=w[0:4096] c=x[64:128] m=1 n=64 k=64 trans_b=true @compute forward layer 0 mb 1 \"h.0.w\"\n"
    "2 all_reduce group=dp data=w[0:4096] reduce=max @reduce backward after 1\n"
    "3 free buffer=x @compute forward\n";

std::string error_of(const std::string& text) {
  try {
    parse_program(text, "p.txt");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kParse);
    return error.what();
  }
  return "";
}

TEST(Text, RoundTripsAWrittenProgram) { EXPECT_EQ(to_string(parse_program(kSmall)), kSmall); }

// One op of every kind, with every field away from its default, survives the way to text and back.
template <std::size_t... I>
void for_each_kind(std::index_sequence<I...>, const std::function<void(Op)>& f) {
  (f(std::variant_alternative_t<I, Op>{}), ...);
}

struct FillFields {
  std::int64_t next = 1;
  void buffer(const char*, BufferId& id) { id = BufferId{1}; }
  void group(const char*, GroupId& id) { id = GroupId{0}; }
  void region(Region& r) { r = {BufferId{1}, next, 3}, ++next; }
  void read(const char*, Region& r) { region(r); }
  void write(const char*, Region& r) { region(r); }
  void update(const char*, Region& r) { region(r); }
  void write_or_update(const char*, Region& r, bool) { region(r); }
  void attr(const char*, bool& v) { v = !v; }
  void attr(const char*, std::int64_t& v) { v = 7 + next++; }
  void attr(const char*, double& v) { v = 1.0 / 3 + static_cast<double>(next++); }
  void attr(const char*, ReduceOp& v) { v = ReduceOp::kMax; }
  void attr(const char*, ActivationKind& v) { v = ActivationKind::kSilu; }
  void attr(const char*, Fp8& v) { v = Fp8::kE5M2; }
};

TEST(Text, RoundTripsEveryKindOfOpWithEveryField) {
  int kinds = 0;
  for_each_kind(std::make_index_sequence<std::variant_size_v<Op>>(), [&](Op op) {
    Program program = parse_program(kSmall);
    std::visit([](auto& o) { std::decay_t<decltype(o)>::fields(o, FillFields{}); }, op);
    program.instructions.push_back(
        {op, Lane::kNvmeWrite, {Phase::kRecompute, 3, 4, program.intern("x")}, {OpId{1}, OpId{2}}});
    const std::string text = to_string(program);
    EXPECT_EQ(to_string(parse_program(text)), text);
    EXPECT_THAT(text, HasSubstr(std::string(op_name(op))));
    ++kinds;
  });
  EXPECT_EQ(kinds, static_cast<int>(std::variant_size_v<Op>));
}

TEST(Text, ErrorsNameTheLineAndWhatWouldBeRight) {
  const std::string head = "program rank 0 of 1 tokens 0\n", buffer = "buffer x f32[8] activation device\n";
  EXPECT_THAT(error_of(""), HasSubstr("first line must be 'program rank R of N tokens T'"));
  EXPECT_THAT(error_of("buffer x\n"), HasSubstr("p.txt:1:"));
  EXPECT_THAT(error_of("program rank 2 of 1 tokens 0\n"), HasSubstr("rank must be below"));
  EXPECT_THAT(error_of(head + "buffer x f33[8] activation device\n"), HasSubstr("'f33' is not a dtype"));
  EXPECT_THAT(error_of(head + "buffer x f32[-1] activation device\n"), HasSubstr("must be a number from 0"));
  EXPECT_THAT(error_of(head + buffer + buffer), HasSubstr("p.txt:3: there is already a buffer named 'x'"));
  EXPECT_THAT(error_of(head + "0 fly @compute forward\n"), HasSubstr("no op named 'fly'"));
  EXPECT_THAT(error_of(head + buffer + "0 fill dst=x[0:9] @compute forward\n"), HasSubstr("leaves its buffer of 8"));
  EXPECT_THAT(error_of(head + buffer + "0 fill dst=x[0:8] speed=1 @compute forward\n"), HasSubstr("no field 'speed'"));
  EXPECT_THAT(error_of(head + buffer + "0 fill dst=x[0:8] @sky forward\n"), HasSubstr("'sky' is not a lane"));
  EXPECT_THAT(error_of(head + buffer + "1 fill dst=x[0:8] @compute forward\n"), HasSubstr("should have number 0"));
  EXPECT_THAT(error_of(head + buffer + "0 fill dst=x[0:8] @compute forward after 0\n"), HasSubstr("to wait for"));
  EXPECT_THAT(error_of(head + "0 alloc @compute forward\n"), HasSubstr("needs buffer="));
  EXPECT_THAT(error_of(head + buffer + "0 fill dst=x[0:8] @compute forward \"open\n"), HasSubstr("not closed"));
  EXPECT_THAT(error_of(head + "parameter p [9999999999,9999999999] layer 0 std 0 value 0\n"), HasSubstr("too many"));
  EXPECT_THAT(error_of(head + "state parameter p begin 0 in x[0:1]\n"), HasSubstr("no such parameter"));
}

}  // namespace
}  // namespace shardscope
