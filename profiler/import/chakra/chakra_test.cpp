// Chakra execution traces: the wire format, layouts of other writers, our own export and back, and what is broken.

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <random>

#include "profiler/export/exporter.h"
#include "profiler/import/chakra/chakra_node.h"
#include "profiler/import/chakra/proto_wire.h"
#include "profiler/import/test_import.h"

namespace shardscope {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::rows_of;
using testing::TempFolder;

std::string file_of(const std::vector<ChakraNode>& nodes) {
  std::string text = encode_metadata();
  for (const ChakraNode& node : nodes) text += encode(node);
  return text;
}

TEST(Proto, KnowsTheWireFormatsExamples) {
  // From the encoding guide: 150 as field 1, "testing" as field 2, packed 3, 270, 86942 as field 6.
  ProtoText text;
  text.varint(1, 150);
  text.bytes(2, "testing");
  EXPECT_EQ(text.text(), std::string("\x08\x96\x01\x12\x07testing"));
  ProtoReader reader(std::string_view("\x32\x06\x03\x8e\x02\x9e\xa7\x05", 8));
  std::vector<std::uint64_t> numbers;
  while (reader.next()) {
    EXPECT_EQ(reader.field(), 6U);
    reader.each_varint([&](std::uint64_t n) { numbers.push_back(n); });
  }
  EXPECT_TRUE(reader.sound());
  EXPECT_THAT(numbers, ElementsAre(3, 270, 86942));
}

TEST(Proto, RefusesWhatIsCut) {
  const std::string whole("\x08\x96\x01\x12\x07testing");
  for (std::size_t keep : {1UL, 2UL, 4UL, 5UL, 11UL}) {
    ProtoReader reader(std::string_view(whole).substr(0, keep));
    while (reader.next()) {
    }
    EXPECT_FALSE(reader.sound()) << keep;
  }
  ProtoReader zero(std::string_view("\x00\x01", 2));
  EXPECT_FALSE(zero.next());
  EXPECT_FALSE(zero.sound()) << "field 0";
}

TEST(Chakra, ANodeComesBack) {
  ChakraNode node;
  node.id = 1ULL << 40;
  node.name = "COMM_COLL_NODE_all_reduce";
  node.type = ChakraType::kCollective;
  node.data_after = {1, 300};
  node.control_after = {7};
  node.start_us = 5;
  node.duration_us = 70'000;
  node.attributes = {{"comm_size", std::int64_t{1} << 33},
                     {"comm_tag", std::int64_t{4}},
                     {"is_cpu_op", false},
                     {"pg_name", std::string("2")},
                     {"ratio", 0.25},
                     {"offset", std::int64_t{-3}}};
  const std::string text = encode(node);
  std::string_view bytes = text;
  const auto size = take_varint(bytes);
  ASSERT_EQ(size, bytes.size());
  const auto back = decode(bytes);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->id, node.id);
  EXPECT_EQ(back->name, node.name);
  EXPECT_EQ(back->type, node.type);
  EXPECT_EQ(back->data_after, node.data_after);
  EXPECT_EQ(back->control_after, node.control_after);
  EXPECT_EQ(back->start_us, 5U);
  EXPECT_EQ(back->duration_us, 70'000U);
  EXPECT_EQ(back->attributes, node.attributes);
}

/// As ASTRA-sim's and Chakra's own generators write: durations, no starts.
std::vector<ChakraNode> generated() {
  ChakraNode a{.id = 0, .name = "COMP_NODE", .type = ChakraType::kCompute, .duration_us = 10};
  a.attributes = {{"num_ops", std::int64_t{1000}}, {"tensor_size", std::int64_t{64}}, {"is_cpu_op", false}};
  ChakraNode b{.id = 1, .name = "ALL_REDUCE", .type = ChakraType::kCollective, .data_after = {0}, .duration_us = 30};
  b.attributes = {{"comm_type", std::int64_t{0}}, {"comm_size", std::int64_t{1 << 20}}, {"pg_name", std::string("1")}};
  ChakraNode c{.id = 2, .name = "COMP_NODE_2", .type = ChakraType::kCompute, .data_after = {0}, .duration_us = 5};
  c.attributes = {{"is_cpu_op", false}};
  ChakraNode d{.id = 3, .name = "SEND", .type = ChakraType::kSend, .control_after = {1, 2, 99}, .duration_us = 1};
  d.attributes = {{"comm_dst", std::int64_t{4}}, {"comm_size", std::int64_t{512}}};
  return {a, b, c, d};
}

TEST(Chakra, NodesWithoutStartsAreLaidOutByWhatTheyWaitFor) {
  const TempFolder folder;
  testing::import_texts(folder, "step.3.et", {file_of(generated())});
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile,
                    "SELECT s.rank, s.lane, o.kind, o.name, s.start_ns, s.dur_ns FROM slice s JOIN rank k USING (run, "
                    "rank) JOIN op o USING (program, op) ORDER BY s.start_ns, o.kind"),
            "3|compute|kernel|COMP_NODE|0|10000\n"
            "3|communication 1|all_reduce|ALL_REDUCE|10000|30000\n"
            "3|compute|kernel|COMP_NODE_2|10000|5000\n"
            "3|communication|send|SEND|40000|1000\n");
  EXPECT_EQ(rows_of(profile, "SELECT collective_bytes, group_name FROM op WHERE kind = 'all_reduce'"), "1048576|1\n");
  EXPECT_EQ(rows_of(profile, "SELECT peer FROM op_collective WHERE peer IS NOT NULL"), "4\n");
  EXPECT_EQ(rows_of(profile, "SELECT kind, count FROM diagnostic ORDER BY kind"), "laid_out|4\nunknown_node|1\n");
}

TEST(Chakra, OurOwnExportComesBack) {
  const TempFolder folder;
  testing::record_tiny_profile(folder.file("run.db"), "tiny");
  {
    const Profile profile(folder.file("run.db"));
    export_run(profile, list_runs(profile).front(), exporter_of("chakra"), folder.file("step"), {.step = 2});
  }
  ImportControl control;
  const ImportResult result =
      import_files({folder.file("step.0.et"), folder.file("step.1.et")}, {.out = folder.file("again.db")}, control);
  EXPECT_TRUE(result.problems.empty());
  const std::string sql =
      "SELECT s.rank, s.lane, o.kind, o.name, o.lane, o.phase, o.flops, o.bytes, o.group_name, o.group_size, "
      "o.collective_bytes, s.step, s.start_ns - (SELECT min(start_ns) FROM step WHERE step = 2), s.dur_ns, s.wait_ns "
      "FROM "
      "slice s JOIN rank k ON k.run = s.run AND k.rank = s.rank JOIN op o ON o.program = k.program AND o.op = s.op "
      "WHERE "
      "s.step = 2 ORDER BY 1, 2, 13, 3";
  const std::string before = rows_of(Profile(folder.file("run.db")), sql);
  EXPECT_NE(before, "");
  EXPECT_EQ(rows_of(Profile(folder.file("again.db")), sql), before);
  const std::string steps =
      "SELECT rank, step, start_ns - (SELECT min(start_ns) FROM step WHERE step = 2), dur_ns, compute_ns, idle_ns FROM "
      "step WHERE step = 2 ORDER BY 1";
  EXPECT_EQ(rows_of(Profile(folder.file("again.db")), steps), rows_of(Profile(folder.file("run.db")), steps));
  EXPECT_EQ(rows_of(Profile(folder.file("again.db")), "SELECT kind, text FROM diagnostic"), "");
}

std::vector<ChakraNode> nodes_in(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  std::string_view rest = text;
  std::vector<ChakraNode> nodes;
  for (bool first = true; !rest.empty(); first = false) {
    const auto size = take_varint(rest);
    if (!size || *size > rest.size()) break;
    if (!first) nodes.push_back(decode(rest.substr(0, *size)).value());
    rest.remove_prefix(*size);
  }
  return nodes;
}

TEST(Chakra, ExportSaysWhatASimulatorNeeds) {
  const TempFolder folder;
  {
    ProfileWriter writer(folder.file("run.db"), testing::tiny_run("tiny"));
    for (int rank = 0; rank < 2; ++rank) {
      Program program = testing::tiny_program(rank, 2);
      program.instructions[4].after = {testing::kMatMulOp, testing::kGatherOp};  // reduce waits for these
      testing::trace_step(*writer.open_rank(rank, program), 0);
    }
    writer.finish();
  }
  const Profile profile(folder.file("run.db"));
  export_run(profile, list_runs(profile).front(), exporter_of("chakra"), folder.file("step"));
  const std::vector<ChakraNode> nodes = nodes_in(folder.file("step.1.et"));
  ASSERT_EQ(nodes.size(), 7U) << "what it is, and six ops";
  std::map<std::string, const ChakraNode*> by_kind;
  for (const ChakraNode& node : nodes) by_kind[std::string(node.text("shardscope_kind").value_or("about"))] = &node;
  const ChakraNode& reduce = *by_kind.at("reduce_scatter");
  EXPECT_EQ(reduce.type, ChakraType::kCollective);
  EXPECT_EQ(reduce.integer("comm_type"), 7);
  EXPECT_EQ(reduce.integer("comm_size"), 2 * 1024 * 4);
  EXPECT_EQ(reduce.text("pg_name"), "1");
  EXPECT_EQ(reduce.flag("is_cpu_op"), false);
  EXPECT_EQ(reduce.duration_us, 100U);
  EXPECT_THAT(reduce.data_after,
              ::testing::UnorderedElementsAre(by_kind.at("matmul")->id, by_kind.at("all_gather")->id));
  EXPECT_EQ(by_kind.at("copy")->type, ChakraType::kMemoryLoad);
  EXPECT_THAT(by_kind.at("adam")->data_after, ElementsAre(by_kind.at("matmul")->id)) << "the one before on its lane";
  const auto groups = nlohmann::json::parse(std::ifstream(folder.file("step.comm_groups.json")));
  EXPECT_EQ(groups.dump(), R"({"1":[0,1]})");
}

TEST(Chakra, ExportOfAnImportedRunOrdersByTime) {
  const TempFolder folder;
  testing::import_texts(folder, "a.json", {R"([
    {"ph":"X","cat":"kernel","name":"gemm","pid":0,"tid":7,"ts":0,"dur":10,"args":{"device":0,"stream":7}},
    {"ph":"X","cat":"kernel","name":"ncclDevKernel_AllReduce_Sum_f32_RING_LL","pid":0,"tid":20,"ts":11,"dur":20,"args":{"device":0,"stream":20}},
    {"ph":"X","cat":"cpu_op","name":"aten::mm","pid":1,"tid":1,"ts":0,"dur":50},
    {"ph":"X","cat":"kernel","name":"add","pid":0,"tid":7,"ts":32,"dur":1,"args":{"device":0,"stream":7}}])"});
  const Profile profile(folder.file("run.db"));
  export_run(profile, list_runs(profile).front(), exporter_of("chakra"), folder.file("all"));
  const std::vector<ChakraNode> nodes = nodes_in(folder.file("all.0.et"));
  ASSERT_EQ(nodes.size(), 4U);
  EXPECT_EQ(nodes[1].name, "gemm");
  EXPECT_THAT(nodes[2].data_after, ElementsAre(1)) << "the collective after the product";
  EXPECT_EQ(nodes[2].type, ChakraType::kCollective);
  EXPECT_THAT(nodes[3].data_after, ElementsAre(1, 2)) << "and what follows after both";
}

TEST(Chakra, ExportRefusesAStepThatIsNotThere) {
  const TempFolder folder;
  testing::record_tiny_profile(folder.file("run.db"), "tiny", 2);
  const Profile profile(folder.file("run.db"));
  const RunRow run = list_runs(profile).front();
  EXPECT_THROW(export_run(profile, run, exporter_of("chakra"), folder.file("x"), {.step = 7}), Error);
  EXPECT_THROW(export_run(profile, run, exporter_of("csv"), folder.file("x"), {.step = 1}), Error);
  EXPECT_FALSE(std::filesystem::exists(folder.file("x.0.et")));
}

TEST(Chakra, BrokenFilesAreCountedOrRefused) {
  const std::string whole = file_of(generated());
  {
    const TempFolder folder;
    testing::import_texts(folder, "cut.et", {whole.substr(0, whole.size() - 5)});
    EXPECT_THAT(rows_of(Profile(folder.file("run.db")), "SELECT kind FROM diagnostic"), HasSubstr("truncated"));
  }
  {
    const TempFolder folder;
    EXPECT_THAT(testing::import_error(folder, "none.et", encode_metadata() + encode_metadata()), HasSubstr("none.et"));
  }
  std::mt19937 random(5);
  for (int i = 0; i < 200; ++i) {
    const TempFolder folder;
    std::string damaged = whole;
    for (int k = 0; k < 3; ++k) damaged[8 + random() % (damaged.size() - 8)] = static_cast<char>(random());
    testing::import_error(folder, "x.et", damaged);  // one Error or none
  }
}

}  // namespace
}  // namespace shardscope
