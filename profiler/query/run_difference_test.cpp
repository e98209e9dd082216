#include "profiler/query/run_difference.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "profiler/import/test_import.h"
#include "profiler/query/trace_for_test.h"
#include "profiler/store/test_profile.h"

namespace shardscope {
namespace {

using testing::TraceText;

/// Three steps of one rank of two: products, two all-reduces, an optimizer. The second all-reduce is `slower` us
/// longer.
void import_job(const testing::TempFolder& folder, double slower) {
  testing::TraceText trace(0, 2);
  for (int step = 0; step < 3; ++step) {
    const double t0 = 2000 * step;
    trace.step(step, t0, 2000);
    trace.range("## forward ##", t0 + 10, 280);
    trace.kernel("ampere_sgemm_128x64_tn", t0 + 100, 200, t0 + 90);
    trace.range("## backward ##", t0 + 290, 390);
    trace.kernel("ampere_sgemm_128x64_nn", t0 + 300, 400, t0 + 295);
    trace.collective("allreduce", t0 + 400, 100, 1000, t0 + 320);
    trace.collective("allreduce", t0 + 700, 200 + slower, 9000, t0 + 330);
    trace.range("Optimizer.step#Adam.step", t0 + 1690, 60);
    trace.kernel("multi_tensor_apply_kernel<FusedAdam>", t0 + 1700, 100, t0 + 1695);
  }
  testing::import_texts(folder, "rank.json", {trace.text()});
}

double seconds_of(const std::vector<FamilyDifference>& families, WorkFamily family, std::optional<Phase> phase,
                  double FamilyDifference::*seconds) {
  for (const FamilyDifference& f : families)
    if (f.family == family && f.phase == phase) return f.*seconds;
  return -1;
}

TEST(RunDifference, OfTwoImportedRunsIsWhereItWasMade) {
  const testing::TempFolder folder;
  import_job(folder, 0);
  std::filesystem::rename(folder.file("run.db"), folder.file("a.db"));
  import_job(folder, 300);
  const Profile a(folder.file("a.db")), b(folder.file("run.db"));
  const RunDifference d = run_difference(a, 1, b, 1);
  EXPECT_NEAR(d.a_step_s, 2e-3, 1e-12);
  double sum = 0;
  for (const PartDifference& p : d.parts) sum += p.b_s - p.a_s;
  EXPECT_NEAR(sum, 0, 1e-12);  // idle time hides it: the steps are as long
  ASSERT_EQ(d.collectives.size(), 2U);
  EXPECT_EQ(d.collectives[0].place, 1);  // the second of a step
  EXPECT_NEAR(d.collectives[0].b_s - d.collectives[0].a_s, 300e-6, 1e-12);
  EXPECT_EQ(d.collectives[0].a_bytes, 36'000);
  EXPECT_NEAR(d.collectives[1].b_s, 100e-6, 1e-12);
  EXPECT_EQ(d.families[0].kind, "all_reduce");
  EXPECT_NEAR(seconds_of(d.families, WorkFamily::kMatmul, Phase::kForward, &FamilyDifference::a_s), 200e-6, 1e-12);
  EXPECT_NEAR(seconds_of(d.families, WorkFamily::kMatmul, Phase::kBackward, &FamilyDifference::b_s), 400e-6, 1e-12);
  EXPECT_NEAR(seconds_of(d.families, WorkFamily::kOptimizer, Phase::kOptimizer, &FamilyDifference::b_s), 100e-6, 1e-12);
}

TEST(RunDifference, OfAnImportedRunAgainstAPredictionOfAnotherProgram) {
  const testing::TempFolder folder;
  import_job(folder, 0);
  testing::record_tiny_profile(folder.file("predicted.db"), "tiny", 4, /*predicted=*/true);
  const Profile a(folder.file("run.db")), b(folder.file("predicted.db"));
  const RunDifference d = run_difference(a, 1, b, 1);
  EXPECT_NEAR(seconds_of(d.families, WorkFamily::kMatmul, Phase::kForward, &FamilyDifference::a_s), 200e-6, 1e-12);
  EXPECT_NEAR(seconds_of(d.families, WorkFamily::kMatmul, Phase::kForward, &FamilyDifference::b_s), 450e-6, 1e-12);
  double a_sum = 0, b_sum = 0;
  for (const PartDifference& p : d.parts) a_sum += p.a_s, b_sum += p.b_s;
  EXPECT_NEAR(a_sum, d.a_step_s, 1e-12);
  EXPECT_NEAR(b_sum, d.b_step_s, 1e-12);
  for (const CollectiveDifference& c : d.collectives) EXPECT_FALSE(c.place && c.a_count == 0) << c.kind;
}

TEST(RunDifference, OfARunWithItselfIsNothing) {
  const testing::TempFolder folder;
  import_job(folder, 0);
  const Profile a(folder.file("run.db"));
  const RunDifference d = run_difference(a, 1, a, 1);
  for (const PartDifference& p : d.parts) EXPECT_EQ(p.a_s, p.b_s);
  for (const FamilyDifference& f : d.families) EXPECT_EQ(f.a_s, f.b_s);
  for (const CollectiveDifference& c : d.collectives) EXPECT_TRUE(c.place && c.a_s == c.b_s);
}

/// Ranks of other programs use whatever streams they like.
TEST(Timeline, CollectivesOfImportedRanksAreTied) {
  const testing::TempFolder folder;
  std::vector<std::string> texts;
  for (int rank = 0; rank < 2; ++rank) {
    TraceText trace(rank, 2, 20 + rank);
    trace.step(0, 0, 1000);
    trace.collective("allreduce", 100, 200, 1000);
    texts.push_back(trace.text());
  }
  testing::import_texts(folder, "rank.json", texts);
  const Profile profile(folder.file("run.db"));
  const Timeline timeline(profile, 1);
  for (std::size_t i = 0; i < timeline.tracks().size(); ++i) {
    const TimelineTrack& track = timeline.tracks()[i];
    if (track.lane != "gpu0 stream 20") continue;
    const std::vector<Span> spans = timeline.spans(track, track.extent);
    ASSERT_EQ(spans.size(), 1U);
    const std::vector<TiedSpan> tied = timeline.tied(i, spans[0]);
    ASSERT_EQ(tied.size(), 1U);
    EXPECT_EQ(timeline.tracks()[tied[0].track].lane, "gpu0 stream 21");
    return;
  }
  FAIL() << "no track of the stream";
}

TEST(WorkFamily, OfKernelsByTheirNames) {
  const auto of = [](const char* name) { return work_family("kernel", name); };
  EXPECT_EQ(of("sm80_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x32"), WorkFamily::kMatmul);
  EXPECT_EQ(of("void cutlass::Kernel<cutlass_80_tensorop_s1688gemm_256x64_16x4_nn_align4>"), WorkFamily::kMatmul);
  EXPECT_EQ(of("void pytorch_flash::flash_fwd_kernel<cutlass...>"), WorkFamily::kAttention);
  EXPECT_EQ(of("void cudnn::ops::nchwToNhwcKernel<float>"), WorkFamily::kLayout);
  EXPECT_EQ(of("void cudnn::bn_bw_1C11_kernel_new<float>"), WorkFamily::kNorm);
  EXPECT_EQ(of("multi_tensor_apply_kernel<AdamFunctor>"), WorkFamily::kOptimizer);
  EXPECT_EQ(of("multi_tensor_apply_kernel<ScaleFunctor>"), WorkFamily::kElementwise);
  EXPECT_EQ(of("vectorized_elementwise_kernel<4, AddFunctor>"), WorkFamily::kElementwise);
  EXPECT_EQ(of("void at::native::vectorized_elementwise_kernel<4, launch_clamp_scalar(...)::{lambda()#1}, Array>"),
            WorkFamily::kElementwise);
  EXPECT_EQ(of("void lamb_cuda_kernel_part1<float, float, 512>"), WorkFamily::kOptimizer);
  EXPECT_EQ(work_family("matmul", "h.0.gelu"), WorkFamily::kMatmul);
  EXPECT_EQ(work_family("attention_backward", ""), WorkFamily::kAttention);
  EXPECT_EQ(work_family("layer_norm", ""), WorkFamily::kNorm);
  EXPECT_EQ(work_family("cross_entropy", ""), WorkFamily::kLoss);
  EXPECT_EQ(work_family("copy", "flash"), WorkFamily::kCopy);
}

}  // namespace
}  // namespace shardscope
