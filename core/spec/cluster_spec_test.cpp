#include "core/spec/cluster_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "core/error.h"
#include "source_dir.h"

namespace shardscope {
namespace {

using testing::HasSubstr;

const std::string kDevice =
    R"("device": {"memory_gib": 80, "memory_gb_per_s": 3350, "peak_tflops": {"bf16": 989, "fp32": 67}})";
const std::string kRest =
    R"("pcie": {"gb_per_s": 64, "latency_us": 5}, "host": {"memory_gib": 8, "memory_gb_per_s": 50, "cores": 4})";

std::string refusal(const std::string& text) {
  try {
    parse_cluster(text, "cluster.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ClusterSpec, UnitsAreThoseOfTheKeys) {
  const ClusterSpec spec = parse_cluster("{" + kDevice + ", " + kRest + R"(, "nodes": 2, "devices_per_node": 8,
      "intra_node": {"gb_per_s": 450, "latency_us": 2}, "nic": {"gbit_per_s": 400, "latency_us": 6},
      "nvme": {"capacity_tb": 30.72, "read_gb_per_s": 48, "write_gb_per_s": 26}})",
                                         "cluster.json");
  EXPECT_EQ(spec.ranks(), 16);
  EXPECT_DOUBLE_EQ(spec.device.memory.value, 80.0 * 1024 * 1024 * 1024);
  EXPECT_DOUBLE_EQ(spec.device.peak_flops[static_cast<std::size_t>(DType::kBF16)].value, 989e12);
  EXPECT_EQ(spec.device.peak_flops[static_cast<std::size_t>(DType::kF64)].value, 0);
  EXPECT_DOUBLE_EQ(spec.nic.bandwidth.value, 50e9);
  EXPECT_DOUBLE_EQ(spec.nic.latency.value, 6e-6);
  EXPECT_DOUBLE_EQ(spec.intra_node.bandwidth.value, 450e9);
  EXPECT_DOUBLE_EQ(spec.nvme.value, 30.72e12);
  EXPECT_EQ(spec.host_cores, 4);
}

TEST(ClusterSpec, OneDeviceNeedsNoNetwork) {
  const ClusterSpec spec = parse_cluster("{" + kDevice + ", " + kRest + "}", "cluster.json");
  EXPECT_EQ(spec.ranks(), 1);
  EXPECT_EQ(spec.nvme.value, 0);
}

TEST(ClusterSpec, RefusesWithFileKeyAndRemedy) {
  EXPECT_THAT(refusal("{" + kDevice + "}"), HasSubstr("cluster.json:1: pcie is missing"));
  EXPECT_THAT(refusal("{" + kDevice + ", " + kRest + R"(, "devices_per_node": 8})"),
              HasSubstr("intra_node is missing"));
  EXPECT_THAT(refusal("{" + kDevice + ", " + kRest + R"(, "nodes": 2})"), HasSubstr("nic is missing"));
  EXPECT_THAT(refusal("{" + kDevice + ", " + kRest + R"(, "nodes": 0})"), HasSubstr("nodes is 0"));
  EXPECT_THAT(refusal("{" + kDevice + ", " + kRest + R"(, "nodes": 1e6, "devices_per_node": 1024})"),
              HasSubstr("16777216"));
  EXPECT_THAT(refusal("{" + kDevice + ", " + kRest + R"(, "nodess": 2})"), HasSubstr("did you mean \"nodes\"?"));
  EXPECT_THAT(refusal(R"({"device": {"memory_gib": -1}})"),
              HasSubstr("device.memory_gib is -1; it must be a number above"));
  EXPECT_THAT(refusal(R"({"device": {"memory_gib": 1, "memory_gb_per_s": 1, "peak_tflops": {"bf61": 1}}})"),
              HasSubstr("did you mean \"bf16\"?"));
  EXPECT_THAT(refusal(R"({"device": {"memory_gib": 1, "memory_gb_per_s": 1, "peak_tflops": {}}})"),
              HasSubstr("is empty"));
  EXPECT_THAT(refusal(R"({"device": {"memory_gib": 1, "memory_gb_per_s": 1, "peak_tflops": {"fp8": 1}}})"),
              HasSubstr("has only fp8"));
  EXPECT_THAT(refusal("{" + kDevice + R"(, "pcie": {"gb_per_s": 1, "gbit_per_s": 8, "latency_us": 1}})"),
              HasSubstr("not both"));
  EXPECT_THAT(refusal("{" + kDevice + R"(, "pcie": {"gb_per_s": 1}})"), HasSubstr("pcie.latency_us is missing"));
  EXPECT_THROW(load_cluster("/no/such/cluster.json"), Error);
}

TEST(ClusterSpec, DevicesThatShareFillANode) {
  const std::string links = R"("intra_node": {"gb_per_s": 450, "latency_us": 2})";
  const ClusterSpec spec = parse_cluster("{" + kDevice + ", " + kRest + ", " + links +
                                             R"(, "devices_per_node": 8, "devices_per_nic": 4,
                                                "devices_per_pcie_switch": 2})",
                                         "cluster.json");
  EXPECT_EQ(spec.devices_per_nic, 4);
  EXPECT_EQ(spec.devices_per_pcie_switch, 2);
  EXPECT_THAT(
      refusal("{" + kDevice + ", " + kRest + ", " + links + R"(, "devices_per_node": 8, "devices_per_nic": 3})"),
      HasSubstr("devices_per_nic is 3; it must divide the 8 devices of a node"));
}

TEST(ClusterSpec, ExampleFilesAreRead) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(SHARDSCOPE_SOURCE_DIR "/data/clusters")) {
    const ClusterSpec spec = load_cluster(entry.path().string());
    EXPECT_GT(spec.device.peak_flops[static_cast<std::size_t>(DType::kBF16)].value, 1e14) << entry.path();
    EXPECT_GT(spec.ranks(), 1) << entry.path();
    ++files;
  }
  EXPECT_GE(files, 3);
}

}  // namespace
}  // namespace shardscope
