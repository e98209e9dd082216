#include "simulator/validate/row_setup.h"

#include <gmock/gmock.h>

namespace shardscope {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

RowSetup set_up(const std::string& id) {
  static const PublishedRuns kTable = parse_published_runs(published_runs_csv(), "published_runs.csv");
  static const HardwareCatalog kCatalog = default_catalog();
  for (const PublishedRun& run : kTable.runs) {
    if (run.id == id) return set_up_row(run, kCatalog);
  }
  return {.skipped = "no such row"};
}

RowSetup set_up(const PublishedRun& run) { return set_up_row(run, default_catalog()); }

const PublishedRun kBare{.id = "x-1",
                         .model_name = "Llama-2-7B",
                         .gpu = "H100",
                         .framework = "torchtitan",
                         .seq_len = 4096,
                         .n_gpus = 16,
                         .micro_batch = 2,
                         .global_batch = 64};

TEST(RowSetup, ModelsComeFromTheCatalogWithTheRowsOwnSizes) {
  const RowSetup row = set_up("simumax-007");
  EXPECT_EQ(row.skipped, "");
  const ModelSpec& model = row.workload.model;
  EXPECT_EQ(model.layers, 4);
  EXPECT_EQ(model.dense_layers, 1);
  EXPECT_EQ(model.experts, 256);
  EXPECT_EQ(model.intermediate, 2048);
  EXPECT_EQ(model.kv_lora_rank, 512);
  EXPECT_EQ(row.workload.capacity_factor, 1);
  EXPECT_FALSE(row.framework.overlaps_gradients);
  EXPECT_TRUE(row.framework.fused_loss);
}

TEST(RowSetup, ParameterCountsTellWhatColumnsDoNot) {
  EXPECT_TRUE(set_up("usp-001").workload.model.tied_embeddings);  // 1.34 B
  EXPECT_EQ(set_up("usp-001").workload.model.mlp, MlpKind::kSwiGlu);
  EXPECT_FALSE(set_up("usp-087").workload.model.tied_embeddings);  // 8.86 B
  EXPECT_FALSE(set_up("mcore-h100-001").workload.model.tied_embeddings);
  EXPECT_EQ(set_up("foundry-001").workload.model.mlp, MlpKind::kGeluErf);
}

TEST(RowSetup, HardwareIsWhatTheTextSays) {
  const Target roce = set_up("foundry-109").target;
  EXPECT_EQ(roce.gpu.name, "a100-80-sxm");
  EXPECT_THAT(roce.fabric.name, HasSubstr("roce"));
  EXPECT_DOUBLE_EQ(roce.system.nics * roce.system.nic_bandwidth.value, 200e9);
  const Target plain = set_up("vtrain-multi-001").target;
  EXPECT_DOUBLE_EQ(plain.system.nics * plain.system.nic_bandwidth.value, 100e9);
  EXPECT_THAT(set_up("usp-001").target.fabric.name, HasSubstr("efa"));
  const Target rack = set_up("mbridge-001").target;
  EXPECT_EQ(rack.gpu.name, "gb300");
  EXPECT_EQ(rack.system.scale_up_domain, 72);
  EXPECT_EQ(rack.system.gpus_per_node, 4);
  EXPECT_EQ(set_up("mtnlg-001").target.gpu.name, "a100-40-sxm");
}

TEST(RowSetup, BlankFieldsAreTheFrameworksDefaultsAndSaidSo) {
  const RowSetup row = set_up(kBare);
  EXPECT_EQ(row.skipped, "");
  EXPECT_EQ(row.framework.name, "fsdp2");
  ASSERT_EQ(row.plans.size(), 3u);  // recompute: none, selective, full
  EXPECT_EQ(row.plans[0].zero, 3);
  EXPECT_EQ(row.plans[0].dp, 16);
  for (const char* what : {"dtype: bf16", "zero_stage: 3", "dp: 16", "tp: 1", "flash_attention: 1", "offload: none",
                           "interconnect: as in dgx-h100"}) {
    EXPECT_THAT(row.assumed, Contains(what));
  }
  EXPECT_THAT(row.assumed, Not(Contains(HasSubstr("vpp"))));
}

TEST(RowSetup, UnknownFrameworksAreReadAsTheOneThatShardsAlike) {
  PublishedRun run = kBare;
  run.framework = "Some Trainer 3";
  EXPECT_EQ(set_up(run).framework.name, "megatron");
  EXPECT_THAT(set_up(run).assumed, Contains(HasSubstr("framework: megatron, as the nearest to \"Some Trainer 3\"")));
  run.zero_stage = 3;
  EXPECT_EQ(set_up(run).framework.name, "fsdp2");
  run.zero_stage = 2;
  EXPECT_EQ(set_up(run).framework.name, "deepspeed");
}

TEST(RowSetup, WhatCannotBePredictedSaysWhy) {
  EXPECT_THAT(set_up("mbridge-011").skipped, HasSubstr("hybrid with Mamba"));
  EXPECT_THAT(set_up("dsv3-001").skipped, HasSubstr("seq_len is blank"));
  EXPECT_THAT(set_up("seqsel-009").skipped, HasSubstr("global_batch is blank"));
  PublishedRun run = kBare;
  run.gpu = "H10O";
  EXPECT_THAT(set_up(run).skipped, HasSubstr("h100-sxm"));
  run = kBare;
  run.model_name = "Secret-9B";
  EXPECT_THAT(set_up(run).skipped, HasSubstr("model Secret-9B is not in the catalog"));
  run.n_layers = 10, run.hidden = 1000, run.n_heads = 3;
  EXPECT_THAT(set_up(run).skipped, HasSubstr("3 heads do not divide hidden size 1000"));
}

TEST(RowSetup, ContextParallelismByAllToAllIsUlysses) {
  const RowSetup row = set_up("simumax-037");
  EXPECT_EQ(row.plans[0].ulysses, 4);
  EXPECT_EQ(row.plans[0].cp, 1);
}

TEST(RowSetup, OffloadIsReadFromColumnAndNotes) {
  EXPECT_EQ(set_up("gist-a800-003").plans[0].offload, Offload::kOptimizer);
  EXPECT_EQ(set_up("gist-a800-008").plans[0].offload, Offload::kParameters);
  EXPECT_EQ(set_up("gist-a800-001").plans[0].offload, Offload::kNone);
  PublishedRun run = kBare;
  run.framework = "DeepSpeed", run.offload = "params to nvme";
  EXPECT_EQ(set_up(run).plans[0].offload, Offload::kParametersNvme);
  EXPECT_EQ(set_up(run).plans[0].zero, 3);
}

}  // namespace
}  // namespace shardscope
