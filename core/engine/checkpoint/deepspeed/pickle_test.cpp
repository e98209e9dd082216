#include "core/engine/checkpoint/deepspeed/pickle.h"

#include <gmock/gmock.h>

#include "core/error.h"

namespace shardscope {
namespace {

using ::testing::HasSubstr;

Pickle parse(std::string_view bytes) {
  return parse_pickle(std::as_bytes(std::span(bytes.data(), bytes.size())), "file.pt");
}

template <std::size_t N>
std::string_view bytes(const char (&text)[N]) {
  return {text, N - 1};
}

std::string error_of(std::string_view text) {
  try {
    parse(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Pickle, ReadsWhatPythonWrites) {
  // pickle.dumps({"a": [1, -2, 3.5, None, True], "b": (1 << 40, "x")}, protocol=2)
  const Pickle pickle =
      parse(bytes("\x80\x02}q\x00(X\x01\x00\x00\x00"
                  "aq\x01]q\x02(K\x01J\xfe\xff\xff\xffG@\x0c\x00\x00\x00\x00\x00\x00N\x88"
                  "eX\x01\x00\x00\x00"
                  "bq\x03\x8a\x06\x00\x00\x00\x00\x00\x01X\x01\x00\x00\x00xq\x04\x86q\x05u."));
  const PickleValue root = pickle.root();
  EXPECT_EQ(root.size(), 2U);
  EXPECT_EQ(root["a"].size(), 5U);
  EXPECT_EQ(root["a"][std::size_t{0}].integer(), 1);
  EXPECT_EQ(root["a"][std::size_t{1}].integer(), -2);
  EXPECT_EQ(root["a"][std::size_t{2}].number(), 3.5);
  EXPECT_TRUE(root["a"][std::size_t{3}].is(PickleNode::Kind::kNone));
  EXPECT_EQ(root["a"][std::size_t{4}].integer(), 1);
  EXPECT_EQ(root["b"][std::size_t{0}].integer(), std::int64_t{1} << 40);
  EXPECT_EQ(root["b"][std::size_t{1}].text(), "x");
  EXPECT_FALSE(root["c"]["d"][std::size_t{3}]);
}

/// What would run a command in Python is a name and its arguments here.
TEST(Pickle, NothingIsCalled) {
  const Pickle pickle = parse(bytes("cos\nsystem\n(X\x0f\x00\x00\x00touch /tmp/bad!tR."));
  EXPECT_EQ(pickle.root().callee().global(), "os system");
  EXPECT_EQ(pickle.root().arguments()[std::size_t{0}].text(), "touch /tmp/bad!");
}

TEST(Pickle, SharedAndCyclicValuesAreIndexes) {
  const Pickle pickle =
      parse(bytes("]q\x00h\x00"
                  "a."));  // a = []; a.append(a)
  EXPECT_EQ(pickle.nodes.size(), 1U);
  EXPECT_EQ(pickle.root()[std::size_t{0}][std::size_t{0}][std::size_t{0}].size(), 1U);
}

TEST(Pickle, OfOneThatIsCutShortTheBeginningCanBeRead) {
  // {"a": [1, [2, 3]], "b": [{"c": 4}, ...
  const std::string_view whole = bytes("}(X\1\0\0\0a](K\1](K\2K\3eeX\1\0\0\0b]}X\1\0\0\0cK\4sau.");
  for (std::size_t n = 2; n < whole.size(); ++n) {
    bool cut = false;
    const std::string_view part = whole.substr(0, n);
    const Pickle pickle = parse_beginning(std::as_bytes(std::span(part.data(), part.size())), "file.pt", cut);
    EXPECT_TRUE(cut);
    ASSERT_TRUE(pickle.root().is(PickleNode::Kind::kDict)) << n;
    const PickleValue a = pickle.root()["a"], b = pickle.root()["b"];
    EXPECT_EQ(a[std::size_t{0}].integer() == 1, n >= 12) << n;
    EXPECT_EQ(a[std::size_t{1}].size() == 2, n >= 18) << n;
    EXPECT_EQ(b.size() == 1, n >= 28) << n;
  }
  const std::string_view records = bytes("](}(X\1\0\0\0aK\1u}(X\1\0\0\0bK\2");  // [{"a": 1}, {"b": 2
  bool cut = true;
  EXPECT_EQ(parse_beginning(std::as_bytes(std::span(records.data(), records.size())), "", cut).root().size(), 1U);
  EXPECT_TRUE(cut);
  EXPECT_EQ(parse_beginning(std::as_bytes(std::span(whole.data(), whole.size())), "", cut).root().size(), 2U);
  EXPECT_FALSE(cut);
  const std::string_view marks = bytes("]}((");  // which nothing stands between
  EXPECT_EQ(parse_beginning(std::as_bytes(std::span(marks.data(), marks.size())), "", cut).root().size(), 0U);
  EXPECT_THROW(parse_beginning({}, "", cut), Error);
}

TEST(Pickle, DamageIsAnErrorOfOneLine) {
  EXPECT_THAT(error_of(""), HasSubstr("cut short"));
  EXPECT_THAT(error_of(bytes("\x80\x02")), HasSubstr("cut short"));
  EXPECT_THAT(error_of(bytes("\x80\x09.")), HasSubstr("protocol 9"));
  EXPECT_THAT(error_of("."), HasSubstr("where there is none"));
  EXPECT_THAT(error_of("t."), HasSubstr("never opened"));
  EXPECT_THAT(error_of("N(0."), HasSubstr("where there is none"));
  EXPECT_THAT(error_of(bytes("h\x05.")), HasSubstr("recalls 5"));
  EXPECT_THAT(error_of(bytes("X\xff\xff\xff\xff.")), HasSubstr("cut short"));
  EXPECT_THAT(error_of(bytes("\x8d\xff\xff\xff\xff\xff\xff\xff\xff.")), HasSubstr("cut short"));
  EXPECT_THAT(error_of(bytes("\x8b\xff\xff\xff\xff.")), HasSubstr("negative length"));
  EXPECT_THAT(error_of("NNs."), HasSubstr("where there is none"));
  EXPECT_THAT(error_of("NNNs."), HasSubstr("no dict"));
  EXPECT_THAT(error_of("}(Nu."), HasSubstr("without a value"));
  EXPECT_THAT(error_of("NNa."), HasSubstr("no list"));
  EXPECT_THAT(error_of("Ixyz\n."), HasSubstr("64 bits"));
  EXPECT_THAT(error_of("cos"), HasSubstr("middle of a line"));
  EXPECT_THAT(error_of("i"), HasSubstr("opcode 0x69"));
  EXPECT_THAT(error_of(std::string(kMaxPickleNodes + 1, ']') + "."), HasSubstr("more than"));
}

}  // namespace
}  // namespace shardscope
