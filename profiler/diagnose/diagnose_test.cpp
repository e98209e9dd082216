#include "profiler/diagnose/diagnose.h"

#include <gmock/gmock.h>

#include "profiler/import/test_import.h"
#include "profiler/query/trace_for_test.h"
#include "profiler/store/test_profile.h"

namespace shardscope {
namespace {

using ::testing::HasSubstr;
using testing::RealTrace;
using testing::TraceText;

const Trouble* find(const std::vector<Trouble>& findings, const std::string& rule) {
  for (const Trouble& f : findings)
    if (f.rule == rule) return &f;
  return nullptr;
}

/// A profile of steps that f writes: f(trace, rank, start of the step in us).
template <class F>
std::vector<Trouble> diagnose_trace(const testing::TempFolder& folder, int ranks, F&& f) {
  std::vector<std::string> texts;
  for (int rank = 0; rank < ranks; ++rank) {
    TraceText trace(rank, ranks);
    for (int step = 0; step < 4; ++step) {
      trace.step(step, 1000 * step, 1000);
      f(trace, rank, 1000.0 * step);
    }
    texts.push_back(trace.text());
  }
  testing::import_texts(folder, "rank.json", texts);
  const Profile profile(folder.file("run.db"));
  std::vector<Trouble> findings = diagnose(gather_facts(profile, 1));
  const StepGraphSource source(profile, 1);
  try_replays(source.graph(2), findings);
  return findings;
}

double replayed(const Trouble& f) { return f.results.empty() ? 1 : f.results.front().change; }

TEST(Diagnose, OfARunOnTheProcessorAloneSaysThatNothingIsKnown) {
  const testing::TempFolder folder;
  const auto findings = diagnose_trace(folder, 1, [](TraceText& t, int, double t0) { t.range("forward", t0, 500); });
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].rule, "not_known");
  EXPECT_EQ(findings[0].share, 1);
  EXPECT_THAT(findings[0].advice, HasSubstr("ProfilerActivity.CUDA"));
  const Profile profile(folder.file("run.db"));
  EXPECT_THAT(time_breakdown(profile, 1).remarks, ::testing::ElementsAre(HasSubstr("No work of a device")));
}

TEST(Diagnose, NamesTheRankThatOthersWaitFor) {
  const testing::TempFolder folder;
  const auto findings = diagnose_trace(folder, 2, [](TraceText& t, int rank, double t0) {
    const double late = rank * 200;
    t.kernel("gemm", t0, 500 + late, t0 - 20);
    t.collective("allreduce", t0 + 500 + late, 400 - late, 250'000, t0 - 10);
    t.kernel("gemm", t0 + 900, 100, t0 - 8);
  });
  ASSERT_FALSE(findings.empty());
  const Trouble* f = find(findings, "stragglers");
  ASSERT_NE(f, nullptr);
  EXPECT_NEAR(f->cost_s, 100e-6, 1e-9);  // 200 us on one of two ranks
  EXPECT_NEAR(f->share, 0.1, 1e-3);
  ASSERT_EQ(f->evidence.size(), 2U);
  EXPECT_THAT(f->evidence[0], HasSubstr("rank 1 came last 4 times in 4 collectives"));
  EXPECT_THAT(f->evidence[1], HasSubstr("rank 1 has 0.200 ms more of \"compute\""));
  // 800 us of compute on rank 1 become the mean, 700: its first product of 700 then takes 612.5.
  EXPECT_NEAR(replayed(*f), -0.1, 0.02);
  EXPECT_NE(find(findings, "exposed_communication"), nullptr);
  EXPECT_EQ(find(findings, "host_bound"), nullptr);
}

TEST(Diagnose, KnowsAHostThatIsTooSlow) {
  const testing::TempFolder folder;
  const auto findings = diagnose_trace(folder, 1, [](TraceText& t, int, double t0) {
    for (int i = 0; i < 10; ++i) t.kernel("elementwise", t0 + 100 * i + 10, 20, t0 + 100 * i);
  });
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].rule, "host_bound");
  EXPECT_NEAR(findings[0].cost_s, 800e-6 - 70e-6 / 3, 1e-9);  // after the last kernel of all nothing is known
  EXPECT_THAT(findings[0].evidence[0],
              HasSubstr("10 kernels and copies a step of 20.0 us each; the host takes 100.0 us"));
  EXPECT_NEAR(replayed(findings[0]), -0.73, 0.01);  // 200 us of kernels, and 70 after the last
}

TEST(Diagnose, KnowsSynchronizationsDataAndAllocations) {
  const testing::TempFolder folder;
  const auto findings = diagnose_trace(folder, 1, [](TraceText& t, int, double t0) {
    t.range("enumerate(DataLoader)#_next", t0 + 5, 195);
    t.kernel("gemm", t0 + 208, 292, t0 + 203);
    t.call("cudaStreamSynchronize", t0 + 215, 290);
    t.call("cudaMalloc", t0 + 560, 40);
    t.kernel("gemm", t0 + 608, 392, t0 + 603);
  });
  const Trouble *data = find(findings, "data_loading"), *sync = find(findings, "synchronization"),
                *allocation = find(findings, "allocation");
  ASSERT_TRUE(data != nullptr && sync != nullptr && allocation != nullptr);
  EXPECT_NEAR(data->cost_s, 195e-6, 1e-9);
  EXPECT_NEAR(allocation->cost_s, 40e-6, 1e-9);
  EXPECT_NEAR(sync->cost_s, 68e-6, 1e-9);
  EXPECT_THAT(sync->evidence[0], HasSubstr("cudaStreamSynchronize 1 times a step"));
  EXPECT_EQ(findings.front().rule, "data_loading");  // the most costly
  EXPECT_NEAR(replayed(*data), -0.195, 0.02);
  EXPECT_LT(replayed(*sync), -0.02);
}

TEST(Diagnose, KnowsWhatTheDeviceWastes) {
  const testing::TempFolder folder;
  const auto findings = diagnose_trace(folder, 1, [](TraceText& t, int, double t0) {
    t.kernel("cudnn::ops::nchwToNhwcKernel", t0, 200, t0 - 20);
    t.kernel("gemm", t0 + 200, 500, t0 - 19);
    t.copy("Memcpy HtoD (Pageable -> Device)", t0 + 700, 300, 3'000'000, t0 - 18);
  });
  const Trouble *layout = find(findings, "layout_changes"), *copies = find(findings, "exposed_copies");
  ASSERT_TRUE(layout != nullptr && copies != nullptr);
  EXPECT_NEAR(layout->cost_s, 200e-6, 1e-9);
  EXPECT_NEAR(replayed(*layout), -0.2, 0.02);
  EXPECT_NEAR(copies->cost_s, 300e-6, 1e-9);
  EXPECT_THAT(copies->advice, HasSubstr("pinned memory"));
}

TEST(Diagnose, SaysNothingOfARunThatIsBusy) {
  const testing::TempFolder folder;
  const auto findings =
      diagnose_trace(folder, 1, [](TraceText& t, int, double t0) { t.kernel("gemm", t0, 1000, t0 - 20); });
  EXPECT_TRUE(findings.empty()) << findings.front().what;
}

/// Facts by hand: what is proposed follows from the job.
TEST(Diagnose, ProposesSettingsOfTheJob) {
  RunFacts facts;
  facts.job =
      parse_json(R"({"deepspeed": {"zero_optimization": {"stage": 3, "stage3_prefetch_bucket_size": 1e6}}})", "");
  facts.step_s = 0.1;
  facts.sums.steps = 1, facts.sums.total_ns = 100'000'000, facts.sums.communication_ns = 40'000'000;
  facts.sums.ns[TimePart::kCommunication] = 20'000'000;
  facts.communication.push_back({"all_gather", "forward", "dp", 4, 16, 5e6, 0.04, 0, 0.02});
  const std::vector<Trouble> findings = diagnose(facts);
  const Trouble* f = find(findings, "exposed_communication");
  ASSERT_NE(f, nullptr);
  EXPECT_NEAR(f->share, 0.2, 1e-9);
  EXPECT_EQ(f->trials[0].settings,
            std::vector<std::string>{"deepspeed.zero_optimization.stage3_prefetch_bucket_size=2e+06"});
  EXPECT_THAT(f->what, HasSubstr("20.0 ms of a step (20.0 %); 50.0 % of all communication is hidden"));
  EXPECT_THAT(f->evidence[0], HasSubstr("16 all_gather of 4.77 MiB in forward a step, 20.0 ms of them exposed"));
  EXPECT_EQ(facts.setting("deepspeed.zero_optimization.stage"), 3);
  EXPECT_FALSE(facts.setting("deepspeed.zero_optimization.nothing"));
}

/// Waiting for another stage is the bubble, not a straggler.
TEST(Diagnose, KnowsABubble) {
  RunFacts facts;
  facts.job = parse_json(R"({"deepspeed": {"gradient_accumulation_steps": 4}, "parallel": {"pp": 2}})", "");
  facts.step_s = 0.1;
  facts.sums.steps = 1, facts.sums.total_ns = 100'000'000;
  facts.sums.ns[TimePart::kWaiting] = 30'000'000;
  facts.communication.push_back({"recv", "forward", "pp", 2, 4, 1e6, 0.04, 0.03, 0.04});
  const std::vector<Trouble> findings = diagnose(facts);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].rule, "pipeline_bubble");
  EXPECT_NEAR(findings[0].share, 0.3, 1e-9);
  EXPECT_THAT(findings[0].evidence[0], HasSubstr("2 stages and 4 micro-batches: a bubble of 20.0 %"));
  EXPECT_EQ(findings[0].trials[0].settings, std::vector<std::string>{"parallel.schedule=zb-h1"});
}

TEST(Diagnose, SeesADeviceThatItsPowerHoldsDown) {
  const testing::TempFolder folder;
  diagnose_trace(folder, 1, [](TraceText& t, int, double t0) { t.kernel("gemm", t0, 900, t0 - 20); });
  {
    Connection db(folder.file("run.db"), Connection::Mode::kReadWrite);
    for (int i = 0; i < 10; ++i) {  // half of the time at 1000 MHz, else at 2000; and idle once
      const std::string at = ", " + std::to_string(i * 100'000) + ", ";
      db.execute("INSERT INTO device_sample VALUES (1, 0, 0, 'sm_clock_mhz'" + at + (i % 2 == 0 ? "1000" : "2000") +
                 ")");
      db.execute("INSERT INTO device_sample VALUES (1, 0, 0, 'throttle_reasons'" + at + (i % 2 == 0 ? "4" : "0") + ")");
    }
    db.execute("INSERT INTO device_sample VALUES (1, 0, 0, 'sm_clock_mhz', 2000000, 200)");
    db.execute("INSERT INTO device_sample VALUES (1, 0, 0, 'throttle_reasons', 2000000, 1)");
  }
  const std::vector<Trouble> findings = diagnose(gather_facts(Profile(folder.file("run.db")), 1));
  const Trouble* f = find(findings, "slowed_device");
  ASSERT_NE(f, nullptr);
  EXPECT_NEAR(f->cost_s, 0.25 * 900e-6, 1e-9);
  EXPECT_THAT(f->what, HasSubstr("1500 MHz in the mean, 2000 at best"));
  EXPECT_EQ(f->evidence.front(), "device 0 of rank 0: held down 50 % of the time by its power limit");
}

TEST(Diagnose, OfOurOwnRunGoesThrough) {
  const testing::TempFolder folder;
  testing::record_tiny_profile(folder.file("run.db"), "tiny", 4);
  const RunFacts facts = gather_facts(Profile(folder.file("run.db")), 1);
  EXPECT_FALSE(facts.has_job());
  const std::vector<Trouble> findings = diagnose(facts);
  EXPECT_NE(find(findings, "exposed_communication"), nullptr);
  EXPECT_NE(find(findings, "exposed_copies"), nullptr);
  for (std::size_t i = 1; i < findings.size(); ++i) EXPECT_GE(findings[i - 1].cost_s, findings[i].cost_s);
}

TEST_F(RealTrace, IsBoundByItsHost) {
  const Profile profile(path());
  std::vector<Trouble> findings = diagnose(gather_facts(profile, 1));
  ASSERT_GE(findings.size(), 3U);
  EXPECT_EQ(findings[0].rule, "host_bound");
  const StepGraphSource source(profile, 1);
  try_replays(source.graph(5), findings);
  EXPECT_NEAR(replayed(findings[0]), -0.75, 0.1);  // what the device does takes a quarter of the step
  EXPECT_NE(find(findings, "layout_changes"), nullptr);
  EXPECT_NE(find(findings, "exposed_communication"), nullptr);
}

}  // namespace
}  // namespace shardscope
