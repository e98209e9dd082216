#include "core/spec/hardware.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.h"
#include "source_dir.h"

namespace shardscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr double kGiB = 1024.0 * 1024 * 1024;

double peak(const GpuSpec& gpu, Arithmetic arithmetic) { return gpu.peak[static_cast<std::size_t>(arithmetic)].value; }

template <class F>
std::string refusal(F&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

std::string overlay_refusal(const std::string& text) {
  HardwareCatalog catalog = default_catalog();
  return refusal([&] { overlay_text(catalog, text, "mine.json"); });
}

TEST(Hardware, WhoSharesNicsAndSwitches) {
  const HardwareCatalog catalog = default_catalog();
  const ClusterSpec one_nic = load_cluster(catalog, "aws-p3dn:16"), four = load_cluster(catalog, "aws-p4d:16"),
                    own = load_cluster(catalog, "dgx-h100:16"), bridged = load_cluster(catalog, "h100-pcie-server:8");
  EXPECT_EQ(one_nic.devices_per_nic, 8);
  EXPECT_EQ(four.devices_per_nic, 2);
  EXPECT_EQ(own.devices_per_nic, 1);
  EXPECT_EQ(four.devices_per_pcie_switch, 2);
  EXPECT_EQ(load_cluster(catalog, "aws-p4d:3").devices_per_pcie_switch, 1);  // 3 are not filled by pairs
  EXPECT_TRUE(bridged.peers_over_pcie);
  EXPECT_FALSE(own.peers_over_pcie);
}

TEST(Hardware, H100IsThatOfItsDataSheet) {
  const HardwareCatalog catalog = default_catalog();
  const GpuSpec& gpu = find_gpu(catalog, "h100-sxm");
  EXPECT_DOUBLE_EQ(peak(gpu, Arithmetic::kBf16), 989.4e12);
  EXPECT_DOUBLE_EQ(peak(gpu, Arithmetic::kFp8), 1978.9e12);
  EXPECT_DOUBLE_EQ(peak(gpu, Arithmetic::kFp4), 0);
  EXPECT_DOUBLE_EQ(gpu.vector_fp32.value, 67e12);
  EXPECT_DOUBLE_EQ(gpu.memory_bandwidth.value, 3350e9);
  EXPECT_NEAR(gpu.memory.value / kGiB, 81559 / 1024.0, 1e-3);
  EXPECT_DOUBLE_EQ(gpu.l2.value, 50.0 * 1024 * 1024);
  EXPECT_DOUBLE_EQ(gpu.scale_up.bandwidth.value, 450e9);
  EXPECT_DOUBLE_EQ(gpu.pcie.bandwidth.value, 64e9);
  EXPECT_EQ(gpu.multiprocessors, 132);
  EXPECT_TRUE(gpu.switch_reduces);
  EXPECT_EQ(gpu.tdp_watts, 700);
  const SystemSpec& system = find_system(catalog, "H100");
  EXPECT_EQ(system.name, "dgx-h100");
  EXPECT_DOUBLE_EQ(system.nic_bandwidth.value, 50e9);
  EXPECT_EQ(system.host_cores, 112);
}

TEST(Hardware, LikeTakesAllButWhatIsSaid) {
  const HardwareCatalog catalog = default_catalog();
  const GpuSpec &h800 = find_gpu(catalog, "h800"), &h100 = find_gpu(catalog, "h100-sxm");
  EXPECT_DOUBLE_EQ(h800.scale_up.bandwidth.value, 200e9);
  EXPECT_DOUBLE_EQ(peak(h800, Arithmetic::kFp64), 1e12);
  EXPECT_EQ(peak(h800, Arithmetic::kBf16), peak(h100, Arithmetic::kBf16));
  EXPECT_EQ(h800.memory, h100.memory);
  EXPECT_EQ(h800.sources.at("l2_mib"), h100.sources.at("l2_mib"));
}

// Multiplies out what the data sheets round: a slip in clock, units or count shows as a factor.
TEST(Hardware, VectorPeaksFollowFromUnitsAndClock) {
  for (const GpuSpec& gpu : default_catalog().gpus) {
    const double fma = gpu.multiprocessors * gpu.boost_ghz * 1e9 * 2;
    const double lanes = gpu.vector_fp32.value / fma;
    EXPECT_LT(std::min(std::abs(lanes / 64 - 1), std::abs(lanes / 128 - 1)), 0.15) << gpu.name << " " << lanes;
  }
}

TEST(Hardware, PeaksStandInSaneRatios) {
  for (const GpuSpec& gpu : default_catalog().gpus) {
    const double fp16 = peak(gpu, Arithmetic::kFp16), bf16 = peak(gpu, Arithmetic::kBf16);
    const double fp8 = peak(gpu, Arithmetic::kFp8), tf32 = peak(gpu, Arithmetic::kTf32);
    EXPECT_GT(fp16 / gpu.vector_fp32.value, 1.9) << gpu.name;
    EXPECT_LT(fp16 / gpu.vector_fp32.value, 35) << gpu.name;
    EXPECT_TRUE(bf16 == fp16 || bf16 == 0) << gpu.name;
    EXPECT_TRUE(fp8 == 0 || std::abs(fp8 / fp16 - 2) < 0.03) << gpu.name;
    EXPECT_TRUE(tf32 == 0 || std::abs(tf32 / fp16 - 0.5) < 0.02) << gpu.name;
    // Bytes a second for each FLOP/s: 0.9 (H20) to 20 (consumer cards) times 1e-3.
    EXPECT_GT(gpu.memory_bandwidth.value / fp16, 1e-3) << gpu.name;
    EXPECT_LT(gpu.memory_bandwidth.value / fp16, 30e-3) << gpu.name;
    EXPECT_LT(gpu.scale_up.bandwidth.value, gpu.memory_bandwidth.value / 4) << gpu.name;
  }
}

TEST(Hardware, EveryFigureHasASource) {
  const auto check = [](const std::string& name, const Sources& sources) {
    EXPECT_FALSE(sources.empty()) << name;
    for (const auto& [key, source] : sources) EXPECT_THAT(source, Not(HasSubstr(".json"))) << name << "." << key;
  };
  const HardwareCatalog catalog = default_catalog();
  for (const GpuSpec& gpu : catalog.gpus) check(gpu.name, gpu.sources);
  for (const SystemSpec& system : catalog.systems) check(system.name, system.sources);
  for (const FabricSpec& fabric : catalog.fabrics) check(fabric.name, fabric.sources);
}

TEST(Hardware, EveryGpuHasASystemAPriceAndADate) {
  const HardwareCatalog catalog = default_catalog();
  EXPECT_GE(catalog.gpus.size(), 25u);
  EXPECT_GE(catalog.systems.size(), 40u);
  for (const GpuSpec& gpu : catalog.gpus) {
    const SystemSpec& system = find_system(catalog, gpu.name);
    EXPECT_EQ(system.gpu, gpu.name);
    EXPECT_GT(gpu.price_per_hour, 0) << gpu.name;
    EXPECT_LE(gpu.reserved_price_per_hour, gpu.price_per_hour) << gpu.name;
    EXPECT_EQ(gpu.price_date.size(), 7u) << gpu.name;
  }
  for (const SystemSpec& system : catalog.systems) {
    EXPECT_LE(system.nic_bandwidth, find_fabric(catalog, system.fabric).bandwidth) << system.name;
    EXPECT_TRUE(system.scale_up_domain <= system.gpus_per_node || system.scale_up_switched) << system.name;
    EXPECT_GT(price_of(catalog, system).on_demand, 0) << system.name;
  }
}

TEST(Hardware, NamesAreFoundHoweverTheyAreWritten) {
  const HardwareCatalog catalog = default_catalog();
  // Every spelling of the published runs, then of nvidia-smi and of tables.
  const std::pair<const char*, const char*> cases[] = {{"H100-80GB", "h100-sxm"},
                                                       {"A100-80GB", "a100-80-sxm"},
                                                       {"A100-40GB", "a100-40-sxm"},
                                                       {"A100-80GB-SXM", "a100-80-sxm"},
                                                       {"A100-SXM (40GB per quote)", "a100-40-sxm"},
                                                       {"H100-80GB-SXM", "h100-sxm"},
                                                       {"B200", "b200"},
                                                       {"GB300", "gb300"},
                                                       {"GB200", "gb200"},
                                                       {"B300", "b300"},
                                                       {"B200-SXM", "b200"},
                                                       {"A100", "a100-80-sxm"},
                                                       {"H800", "h800"},
                                                       {"A800", "a800-80-sxm"},
                                                       {"NVIDIA H100 80GB HBM3", "h100-sxm"},
                                                       {"NVIDIA A100-SXM4-40GB", "a100-40-sxm"},
                                                       {"NVIDIA A100 80GB PCIe", "a100-80-pcie"},
                                                       {"Tesla V100-SXM2-32GB", "v100-32-sxm"},
                                                       {"NVIDIA GeForce RTX 4090", "rtx-4090"},
                                                       {"NVIDIA B300 SXM6 AC", "b300"},
                                                       {"AMD Instinct MI300X", "mi300x"},
                                                       {"amd mi325x", "mi325x"},
                                                       {"nvidia_gh200_480gb", "gh200"}};
  for (const auto& [name, key] : cases) EXPECT_EQ(find_gpu(catalog, name).name, key) << name;
  const std::pair<const char*, const char*> systems[] = {
      {"DGX-H100", "dgx-h100"},      {"DGX-GB200 (NVL72)", "gb200-nvl72"}, {"NDm A100 v4", "azure-ndm-a100-v4"},
      {"p5en.48xlarge", "aws-p5en"}, {"RTX 4090", "rtx-4090-workstation"}, {"a100 40gb", "dgx-a100-40"}};
  for (const auto& [name, key] : systems) EXPECT_EQ(find_system(catalog, name).name, key) << name;
}

TEST(Hardware, UnknownNamesAreToldTheNearest) {
  const HardwareCatalog catalog = default_catalog();
  EXPECT_THAT(refusal([&] { find_gpu(catalog, "h101-sxm"); }), AllOf(HasSubstr("h100-sxm"), HasSubstr("did you mean")));
  EXPECT_THAT(refusal([&] { find_gpu(catalog, "mi300x-oam-edition"); }), HasSubstr("did you mean mi300x"));
  EXPECT_THAT(refusal([&] { find_gpu(catalog, "cerebras wafer scale"); }), HasSubstr("there are v100-32-sxm"));
  EXPECT_THAT(refusal([&] { find_system(catalog, "dgx-h1000"); }), HasSubstr("dgx-h100"));
  EXPECT_THAT(refusal([&] { find_gpu(catalog, ""); }), HasSubstr("no GPU \"\""));
  EXPECT_THAT(refusal([&] { find_gpu(catalog, std::string(5000, 'h')); }), HasSubstr("no GPU"));
}

TEST(Hardware, AFileOfOnesOwnAddsAndOverrides) {
  HardwareCatalog catalog = default_catalog();
  const std::size_t gpus = catalog.gpus.size();
  overlay_text(catalog, R"({"gpus": {"h100-sxm": {"usd_per_hour": 1.5},
                                     "h100-96": {"like": "H100", "memory_gib": 94, "aliases": ["my card"]}},
                            "systems": {"mine": {"like": "dgx-h100", "gpu": "my card", "nics": 4}}})",
               "mine.json");
  const GpuSpec& h100 = find_gpu(catalog, "h100-sxm");
  EXPECT_EQ(h100.price_per_hour, 1.5);
  EXPECT_EQ(h100.sources.at("usd_per_hour"), "mine.json");
  EXPECT_DOUBLE_EQ(h100.memory_bandwidth.value, 3350e9);
  EXPECT_EQ(catalog.gpus.size(), gpus + 1);
  EXPECT_DOUBLE_EQ(find_gpu(catalog, "My-Card").memory.value, 94 * kGiB);
  EXPECT_EQ(make_cluster(catalog, find_system(catalog, "mine"), 16).nic.bandwidth.value, 25e9);
}

TEST(Hardware, RefusesWithFileKeyAndRemedy) {
  EXPECT_THAT(overlay_refusal(R"({"gpus": {"h100-sxm": {"memory_gib": -1}}})"),
              HasSubstr("mine.json:1: gpus.h100-sxm.memory_gib is -1; it must be a number"));
  EXPECT_THAT(overlay_refusal(R"({"gpus": {"h100-sxm": {"memory_gb": 80}}})"),
              HasSubstr("did you mean \"memory_gib\""));
  EXPECT_THAT(overlay_refusal(R"({"gpus": {"h100-sxm": {"peak_tflops": {"bf61": 1}}}})"), HasSubstr("bf16"));
  EXPECT_THAT(overlay_refusal(R"({"gpus": {"h100-sxm": {"memory_gib": 1e300}}})"), HasSubstr("memory_gib"));
  EXPECT_THAT(overlay_refusal(R"({"gpus": {"h100-sxm": {"pcie": {"gb_per_s": 0}}}})"), HasSubstr("pcie.gb_per_s is 0"));
  EXPECT_THAT(overlay_refusal(R"({"gpus": {"new": {"title": "x"}}})"), HasSubstr("is missing; a new entry needs it"));
  EXPECT_THAT(overlay_refusal(R"({"gpus": {"new": {"like": "nothing"}}})"), HasSubstr("gpus.new.like"));
  EXPECT_THAT(overlay_refusal(R"({"gpus": {"New one": {"like": "h200"}}})"), HasSubstr("is no key"));
  EXPECT_THAT(overlay_refusal(R"({"gpus": {"new": {"like": "h200", "aliases": ["H100"]}}})"),
              AllOf(HasSubstr("\"H100\""), HasSubstr("h100-sxm"), HasSubstr("new")));
  EXPECT_THAT(overlay_refusal(R"({"systems": {"dgx-h100": {"gpu": "h1000"}}})"), HasSubstr("dgx-h100.gpu"));
  EXPECT_THAT(overlay_refusal(R"({"systems": {"dgx-h100": {"gpu": "l4"}}})"), HasSubstr("scale_up_domain is 8"));
  EXPECT_THAT(overlay_refusal(R"({"systems": {"dgx-h100": {"nvme": {"read_gb_per_s": "fast"}}}})"),
              HasSubstr("nvme.read_gb_per_s"));
  EXPECT_THAT(overlay_refusal(R"({"fabrics": {"ib-ndr": {"efficiency": 1.2}}})"), HasSubstr("efficiency is 1.2"));
  EXPECT_THAT(overlay_refusal(R"({"gpus": {"h100-sxm": {"aliases": "H100"}}})"), HasSubstr("aliases"));
  EXPECT_THAT(overlay_refusal(R"({"gpus": {"h100-sxm": 5}})"), HasSubstr("gpus.h100-sxm"));
  EXPECT_THAT(overlay_refusal(R"({"gpus": []})"), HasSubstr("gpus"));
  EXPECT_THAT(overlay_refusal("[1]"), HasSubstr("mine.json:1"));
  EXPECT_THROW(load_catalog("/no/such/folder"), Error);
}

TEST(Hardware, ARefusedFileChangesNothing) {
  HardwareCatalog catalog = default_catalog();
  EXPECT_THROW(overlay_text(catalog, R"({"gpus": {"h200": {"tdp_watts": 1}, "h100-sxm": {"tdp_watts": -1}}})", "f"),
               Error);
  EXPECT_EQ(find_gpu(catalog, "h200").tdp_watts, 700);
}

TEST(Hardware, TheProgramHoldsTheFilesOfTheFolder) {
  const HardwareCatalog built_in = default_catalog(), files = load_catalog(SHARDSCOPE_SOURCE_DIR "/data/hardware");
  ASSERT_EQ(built_in.gpus.size(), files.gpus.size());
  for (std::size_t i = 0; i < files.gpus.size(); ++i) {
    EXPECT_EQ(built_in.gpus[i].name, files.gpus[i].name);
    EXPECT_EQ(built_in.gpus[i].peak, files.gpus[i].peak);
  }
  EXPECT_EQ(built_in.systems.size(), files.systems.size());
  EXPECT_EQ(built_in.fabrics.size(), files.fabrics.size());
}

TEST(Hardware, OneFieldIsSetByItsPath) {
  HardwareCatalog catalog = default_catalog();
  set_field(catalog, "dgx-h100", "gpu.memory_gib=96");
  set_field(catalog, "dgx-h100", "gpu.pcie.gb_per_s=32");
  set_field(catalog, "dgx-h100", "gpu.peak_tflops.bf16=800");
  set_field(catalog, "dgx-h100", "system.nics=4");
  set_field(catalog, "dgx-h100", "fabric.rail_optimised=false");
  const GpuSpec& gpu = find_gpu(catalog, "h100-sxm");
  EXPECT_DOUBLE_EQ(gpu.memory.value, 96 * kGiB);
  EXPECT_DOUBLE_EQ(gpu.pcie.bandwidth.value, 32e9);
  EXPECT_DOUBLE_EQ(gpu.pcie.latency.value, 5e-6);
  EXPECT_DOUBLE_EQ(peak(gpu, Arithmetic::kBf16), 800e12);
  EXPECT_DOUBLE_EQ(peak(gpu, Arithmetic::kFp8), 1978.9e12);
  EXPECT_EQ(find_system(catalog, "dgx-h100").nics, 4);
  EXPECT_FALSE(find_fabric(catalog, "ib-ndr").rail_optimised);
  const auto set = [&](const char* text) { return refusal([&] { set_field(catalog, "dgx-h100", text); }); };
  EXPECT_THAT(set("gpu.memory=96"), HasSubstr("memory"));
  EXPECT_THAT(set("gpu.memory_gib=lots"), HasSubstr("memory_gib is \"lots\""));
  EXPECT_THAT(set("memory_gib=96"), HasSubstr("PART.KEY=VALUE"));
  EXPECT_THAT(set("node.nics=4"), HasSubstr("gpu., system. or fabric."));
  EXPECT_THAT(set("gpu.=4"), HasSubstr("--set"));
  EXPECT_THAT(set("gpu..x=\"}{"), HasSubstr("--set"));
  EXPECT_THAT(set("gpu.tdp_watts=nan"), HasSubstr("tdp_watts"));
}

TEST(Hardware, ClustersAreWholeNodesOrPartOfOne) {
  const HardwareCatalog catalog = default_catalog();
  const ClusterSpec cluster = make_cluster(catalog, find_system(catalog, "dgx-h100"), 32);
  EXPECT_EQ(cluster.nodes, 4);
  EXPECT_EQ(cluster.ranks(), 32);
  EXPECT_DOUBLE_EQ(cluster.nic.bandwidth.value, 50e9);
  EXPECT_DOUBLE_EQ(cluster.intra_node.bandwidth.value, 450e9);
  EXPECT_DOUBLE_EQ(cluster.device.peak_flops[static_cast<std::size_t>(DType::kBF16)].value, 989.4e12);
  EXPECT_EQ(make_cluster(catalog, find_system(catalog, "dgx-h100"), 2).ranks(), 2);
  const auto make = [&](const char* name, int gpus) {
    return refusal([&] { make_cluster(catalog, find_system(catalog, name), gpus); });
  };
  EXPECT_THAT(make("dgx-h100", 12), HasSubstr("at most 8, or a multiple"));
  EXPECT_THAT(make("dgx-h100", 0), HasSubstr("0 GPUs"));
}

TEST(Hardware, ScaleUpDomainsAreRacksNodesOrCards) {
  const HardwareCatalog catalog = default_catalog();
  const ClusterSpec rack = make_cluster(catalog, find_system(catalog, "gb200-nvl72"), 144);
  EXPECT_EQ(rack.devices_per_node, 4);
  EXPECT_EQ(rack.nodes, 36);
  EXPECT_EQ(rack.scale_up_domain, 72);
  EXPECT_DOUBLE_EQ(rack.intra_node.bandwidth.value, 900e9);
  const ClusterSpec cards = make_cluster(catalog, find_system(catalog, "l40s-server"), 8);
  EXPECT_DOUBLE_EQ(cards.intra_node.bandwidth.value, 32e9);
  // Bridges join pairs; a ring over eight cards goes over PCIe.
  const SystemSpec& bridged = find_system(catalog, "h100-pcie-server");
  EXPECT_DOUBLE_EQ(make_cluster(catalog, bridged, 8).intra_node.bandwidth.value, 64e9);
  EXPECT_DOUBLE_EQ(make_cluster(catalog, bridged, 2).intra_node.bandwidth.value, 300e9);
}

TEST(Hardware, ClustersAreFilesOrNamesWithACount) {
  const HardwareCatalog catalog = default_catalog();
  EXPECT_EQ(load_cluster(catalog, "DGX H100:32").ranks(), 32);
  EXPECT_EQ(load_cluster(catalog, SHARDSCOPE_SOURCE_DIR "/data/clusters/dgx-h100-4.json").ranks(), 32);
  const auto load = [&](const char* text) { return refusal([&] { load_cluster(catalog, text); }); };
  EXPECT_THAT(load("dgx-h1000:32"), HasSubstr("dgx-h100"));
  EXPECT_THAT(load("dgx-h100"), HasSubstr("Write dgx-h100:8"));
  EXPECT_THAT(load("dgx-h100:99999999999999999999"), HasSubstr("0 GPUs"));
  EXPECT_THAT(load("/no/such/file:8"), HasSubstr("cannot be read"));
  EXPECT_FALSE(names_catalog_cluster("dgx-h100:"));
  EXPECT_FALSE(names_catalog_cluster(":8"));
}

// The catalog's system and the example file describe one machine.
TEST(Hardware, AgreesWithTheExampleCluster) {
  const HardwareCatalog catalog = default_catalog();
  const ClusterSpec ours = load_cluster(catalog, "dgx-h100:32");
  const ClusterSpec file = load_cluster(SHARDSCOPE_SOURCE_DIR "/data/clusters/dgx-h100-4.json");
  EXPECT_EQ(ours.nodes, file.nodes);
  EXPECT_EQ(ours.intra_node.bandwidth, file.intra_node.bandwidth);
  EXPECT_EQ(ours.nic.bandwidth, file.nic.bandwidth);
  EXPECT_NEAR(ours.device.memory / file.device.memory, 1, 0.01);
  EXPECT_EQ(ours.host_cores, file.host_cores);
  EXPECT_NEAR(ours.host_memory_bandwidth / file.host_memory_bandwidth, 1, 0.01);
}

}  // namespace
}  // namespace shardscope
