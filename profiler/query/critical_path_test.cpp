#include "profiler/query/critical_path.h"

#include <gtest/gtest.h>

#include <rapidcheck.h>

#include "core/error.h"
#include "profiler/import/test_import.h"
#include "profiler/query/replay.h"
#include "profiler/query/trace_for_test.h"
#include "profiler/store/test_profile.h"

namespace shardscope {
namespace {

using testing::RealTrace;

/// Nodes by hand: of one queue for each (rank, queue); calls of a host have queue -1.
class GraphText {
 public:
  std::int32_t work(int rank, int queue, std::int64_t begin, std::int64_t end, TimePart part = TimePart::kCompute) {
    StepNode n;
    n.rank = rank, n.on_device = queue >= 0, n.time = {begin, end};
    n.part = queue < 0 && part == TimePart::kCompute ? TimePart::kIdleLaunch : part;
    nodes_.push_back(n);
    queues_.emplace_back(rank, queue);
    return static_cast<std::int32_t>(nodes_.size()) - 1;
  }
  void set_end(std::int32_t work, std::int64_t end) { nodes_[static_cast<std::size_t>(work)].time.end_ns = end; }
  void launch(std::int32_t call, std::int32_t work) { launches_.emplace_back(call, work); }
  void collective(const std::vector<std::int32_t>& parts) { collectives_.push_back(parts); }

  /// Ends on `last_rank`.
  StepGraph graph(TimeWindow time, int last_rank) {
    std::vector<std::size_t> order(nodes_.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return nodes_[a].time.begin_ns < nodes_[b].time.begin_ns; });
    std::vector<std::int32_t> now(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) now[order[i]] = static_cast<std::int32_t>(i);
    StepGraph graph;
    graph.time = time;
    std::vector<std::pair<int, int>> queues;
    for (std::size_t i : order) {
      graph.nodes.push_back(nodes_[i]);
      queues.push_back(queues_[i]);
      graph.has_host = graph.has_host || !nodes_[i].on_device;
      graph.ops[nodes_[i].rank] = {{.kind = "work", .name = "w"}};
    }
    for (const auto& [call, work] : launches_) graph.nodes[at(now, work)].launch = now[static_cast<std::size_t>(call)];
    for (const auto& parts : collectives_) {
      GraphCall call;
      for (std::int32_t p : parts) call.nodes.push_back(now[static_cast<std::size_t>(p)]);
      std::sort(call.nodes.begin(), call.nodes.end());
      call.last = call.nodes.back();
      for (std::int32_t p : call.nodes) {
        StepNode& n = graph.nodes[static_cast<std::size_t>(p)];
        n.call = static_cast<std::int32_t>(graph.calls.size());
        n.wait_ns = graph.nodes[static_cast<std::size_t>(call.last)].time.begin_ns - n.time.begin_ns;
      }
      graph.calls.push_back(call);
    }
    tie_nodes(graph, queues, {last_rank});
    return graph;
  }

 private:
  static std::size_t at(const std::vector<std::int32_t>& now, std::int32_t i) {
    return static_cast<std::size_t>(now[static_cast<std::size_t>(i)]);
  }
  std::vector<StepNode> nodes_;
  std::vector<std::pair<int, int>> queues_;
  std::vector<std::pair<std::int32_t, std::int32_t>> launches_;
  std::vector<std::vector<std::int32_t>> collectives_;
};

constexpr std::int64_t kUs = 1000;

std::int64_t sum_of(const PartTimes& parts) {
  std::int64_t sum = 0;
  for (std::int64_t ns : parts) sum += ns;
  return sum;
}

TEST(CriticalPath, LeadsThroughTheRankThatCameLast) {
  // Rank 1 computes 100 us longer; both then gather for 50 us and compute for 50.
  GraphText text;
  for (int rank = 0; rank < 2; ++rank) {
    const std::int64_t late = rank * 100 * kUs;
    text.work(rank, 0, 0, 200 * kUs + late);
    const auto gather = text.work(rank, 1, 200 * kUs + late, 350 * kUs, TimePart::kCommunication);
    text.work(rank, 0, 350 * kUs, 400 * kUs);
    if (rank == 1) text.collective({gather - 3, gather});
  }
  const StepGraph graph = text.graph({0, 400 * kUs}, 0);
  const CriticalPath path = critical_path(graph);
  EXPECT_EQ(path.part(TimePart::kCompute), 350 * kUs);
  EXPECT_EQ(path.part(TimePart::kCommunication), 50 * kUs);
  EXPECT_EQ(path.part(TimePart::kWaiting), 0);
  EXPECT_EQ(path.by_rank.at(0), 100 * kUs);
  EXPECT_EQ(path.by_rank.at(1), 300 * kUs);
  EXPECT_EQ(path.rank_changes, 1);
  ASSERT_EQ(path.segments.size(), 3U);
  EXPECT_EQ(path.segments[0].time, (TimeWindow{0, 300 * kUs}));
}

TEST(CriticalPath, LeadsThroughTheHostWhereItLaunchesLate) {
  GraphText text;
  const auto first = text.work(0, -1, 0, 5 * kUs), a = text.work(0, 0, 10 * kUs, 50 * kUs);
  const auto second = text.work(0, -1, 200 * kUs, 205 * kUs), b = text.work(0, 0, 210 * kUs, 300 * kUs);
  text.launch(first, a);
  text.launch(second, b);
  const CriticalPath path = critical_path(text.graph({0, 300 * kUs}, 0));
  EXPECT_EQ(path.part(TimePart::kCompute), 90 * kUs);
  EXPECT_EQ(path.part(TimePart::kIdleLaunch), 210 * kUs);  // both calls, what lies between, and the way of the second
}

TEST(CriticalPath, ASynchronizationLeadsBackToTheDevice) {
  GraphText text;
  const auto first = text.work(0, -1, 0, 5 * kUs), a = text.work(0, 0, 10 * kUs, 150 * kUs);
  text.work(0, -1, 20 * kUs, 153 * kUs, TimePart::kIdleSync);
  const auto second = text.work(0, -1, 200 * kUs, 205 * kUs), b = text.work(0, 0, 210 * kUs, 300 * kUs);
  text.launch(first, a);
  text.launch(second, b);
  const CriticalPath path = critical_path(text.graph({0, 300 * kUs}, 0));
  EXPECT_EQ(path.part(TimePart::kCompute), (90 + 140) * kUs);
  EXPECT_EQ(path.part(TimePart::kIdleSync), 3 * kUs);
  EXPECT_EQ(path.part(TimePart::kIdleLaunch), (5 + 5 + 47 + 5 + 5) * kUs);
}

TEST(CriticalPath, AnotherQueueMayHoldWorkUp) {
  GraphText text;
  text.work(0, 0, 0, 50 * kUs);
  text.work(0, 1, 0, 120 * kUs, TimePart::kCopies);
  text.work(0, 0, 125 * kUs, 200 * kUs);
  const CriticalPath path = critical_path(text.graph({0, 200 * kUs}, 0));
  EXPECT_EQ(path.part(TimePart::kCopies), 120 * kUs);
  EXPECT_EQ(path.part(TimePart::kCompute), 75 * kUs);
  EXPECT_EQ(path.part(TimePart::kIdleUnknown), 5 * kUs);
}

TEST(Replay, WhatIsNotOnThePathDoesNotShortenTheStep) {
  GraphText text;
  text.work(0, 0, 0, 100 * kUs);
  text.work(0, 1, 0, 60 * kUs, TimePart::kCopies);
  text.work(0, 0, 100 * kUs, 200 * kUs);
  const StepGraph graph = text.graph({0, 200 * kUs}, 0);
  EXPECT_EQ(replay(graph, ReplayChange().with(TimePart::kCopies, 0)).step_ns, 200 * kUs);
  EXPECT_EQ(replay(graph, ReplayChange().with(TimePart::kCompute, 0.5)).step_ns, 100 * kUs);
  EXPECT_EQ(replay(graph, ReplayChange().with(TimePart::kCopies, 4)).step_ns, 240 * kUs);
}

TEST(Replay, WithoutAStragglerAllEndEarlier) {
  GraphText text;
  for (int rank = 0; rank < 2; ++rank) {
    const std::int64_t late = rank * 100 * kUs;
    text.work(rank, 0, 0, 200 * kUs + late);
    const auto gather = text.work(rank, 0, 200 * kUs + late, 350 * kUs, TimePart::kCommunication);
    if (rank == 1) text.collective({gather - 2, gather});
  }
  const StepGraph graph = text.graph({0, 350 * kUs}, 0);
  ReplayChange equal;
  equal.compute_of_rank[1] = 2.0 / 3;
  EXPECT_EQ(replay(graph, equal).step_ns, 250 * kUs);
  EXPECT_EQ(replay(graph, ReplayChange().with(TimePart::kCommunication, 0)).step_ns, 300 * kUs);
}

TEST(Replay, WithGraphsNothingWaitsForTheHost) {
  GraphText text;
  for (int i = 0; i < 4; ++i) {
    const auto call = text.work(0, -1, 100 * i * kUs, (100 * i + 5) * kUs);
    text.launch(call, text.work(0, 0, (100 * i + 10) * kUs, (100 * i + 40) * kUs));
  }
  const StepGraph graph = text.graph({0, 340 * kUs}, 0);
  EXPECT_EQ(replay(graph, {}).step_ns, 340 * kUs);
  ReplayChange graphs;
  graphs.launches_wait = false;
  EXPECT_EQ(replay(graph, graphs).step_ns, 4 * 30 * kUs);
  EXPECT_EQ(replay(graph, ReplayChange().with(TimePart::kIdleLaunch, 0)).step_ns, 4 * 30 * kUs);
}

/// Whatever ran: the path is as long as the step, and a replay of nothing changed as well.
TEST(CriticalPath, IsAsLongAsTheStep) {
  EXPECT_TRUE(rc::check("path and replay", [] {
    const auto number = [](int low, int high) { return *rc::gen::inRange(low, high); };
    GraphText text;
    const int ranks = number(1, 4);
    std::vector<std::int64_t> device(static_cast<std::size_t>(ranks)), host(static_cast<std::size_t>(ranks));
    for (int i = number(1, 25); i > 0; --i) {
      const bool meets = ranks > 1 && number(0, 3) == 0;
      std::vector<std::int32_t> parts;
      std::int64_t latest = 0;
      for (int r = 0; r < ranks; ++r) {
        const auto k = static_cast<std::size_t>(r);
        const int queue = number(0, 2);
        const std::int64_t called = host[k] + number(0, 40) * kUs;
        const bool launched = number(0, 2) > 0;
        if (launched) host[k] = called + number(1, 9) * kUs;
        if (!meets && number(0, 4) == 0) {
          host[k] = std::max(host[k], device[k]) + number(0, 3) * kUs;
          text.work(r, -1, host[k] - kUs, host[k], TimePart::kIdleSync);
        }
        const std::int64_t begin = std::max(device[k], launched ? called + kUs : 0) + number(0, 30) * kUs;
        latest = std::max(latest, begin);
        device[k] = begin + number(0, 100) * kUs;
        std::int32_t call = -1;
        if (launched) call = text.work(r, -1, called, host[k]);
        parts.push_back(
            text.work(r, meets ? 2 : queue, begin, device[k], meets ? TimePart::kCommunication : TimePart::kCompute));
        if (launched) text.launch(call, parts.back());
      }
      if (!meets) continue;
      const std::int64_t end = latest + number(0, 50) * kUs;
      for (int r = 0; r < ranks; ++r) {
        device[static_cast<std::size_t>(r)] = end;
        text.set_end(parts[static_cast<std::size_t>(r)], end);
      }
      text.collective(parts);
    }
    const std::int64_t last = *std::max_element(device.begin(), device.end());
    const auto rank = static_cast<int>(std::max_element(device.begin(), device.end()) - device.begin());
    const StepGraph graph = text.graph({-number(0, 50) * kUs, last + number(0, 20) * kUs}, rank);
    const CriticalPath path = critical_path(graph);
    RC_ASSERT(sum_of(path.ns) == graph.time.length());
    std::int64_t at = graph.time.begin_ns, of_ranks = 0;
    for (const PathSegment& s : path.segments) {
      RC_ASSERT(s.time.begin_ns == at);
      RC_ASSERT(s.time.length() > 0);
      at = s.time.end_ns;
    }
    RC_ASSERT(at == graph.time.end_ns);
    for (const auto& [r, ns] : path.by_rank) of_ranks += ns;
    RC_ASSERT(of_ranks == graph.time.length());
    const Replay same = replay(graph, {});
    RC_ASSERT(same.step_ns == graph.time.length());
    RC_ASSERT(replay(graph, ReplayChange().with(TimePart::kCompute, 0.5)).step_ns <= same.step_ns);
  }));
}

/// A pipeline of two stages as our own engine records it: rank 1 receives what rank 0 sends.
TEST(CriticalPath, LeadsThroughASendToTheStageBefore) {
  const testing::TempFolder folder;
  ProfileWriter writer(folder.file("run.db"), testing::tiny_run("pipeline"));
  for (int rank = 0; rank < 2; ++rank) {
    Program p = testing::tiny_program(rank, 2);
    const Region a = p.whole(BufferId{1});
    const OpId transfer{static_cast<std::int32_t>(p.instructions.size())};
    const Lane lane = rank == 0 ? Lane::kSendNext : Lane::kRecvPrevious;
    const Label label{Phase::kForward, 0, 0, p.intern("h.0")};
    if (rank == 0) p.instructions.push_back({Send{GroupId{0}, a, 1}, lane, label, {}});
    if (rank == 1) p.instructions.push_back({Recv{GroupId{0}, a, 0}, lane, label, {}});
    RankTrace* trace = writer.open_rank(rank, p);
    for (int step = 0; step < 2; ++step) {
      const std::int64_t t0 = step * 1000 * kUs;
      const auto slice = [&](OpId op, Lane on, std::int64_t begin, std::int64_t end, std::int64_t wait = 0) {
        trace->slice({op, step, on, t0 + begin * kUs, (end - begin) * kUs, wait * kUs});
      };
      if (rank == 0) slice(testing::kMatMulOp, Lane::kCompute, 0, 400);
      const bool cut = rank == 1 && step == 0;  // of the step before a part may be missing
      if (!cut) slice(transfer, lane, rank == 0 ? 400 : 0, 450, rank == 0 ? 0 : 400);
      if (rank == 1) slice(testing::kMatMulOp, Lane::kCompute, 450, 1000);
      trace->step({step, t0, 1000 * kUs, 1, 1, 1e-3});
    }
    trace->finish({}, 0);
  }
  writer.finish();
  const Profile profile(folder.file("run.db"));
  const CriticalPath path = critical_path(StepGraphSource(profile, 1).graph(1));
  EXPECT_EQ(path.part(TimePart::kWaiting), 0);
  EXPECT_EQ(path.part(TimePart::kCompute), 950 * kUs);
  EXPECT_EQ(path.part(TimePart::kCommunication), 50 * kUs);
  EXPECT_EQ(path.by_rank.at(0), 400 * kUs);
  EXPECT_EQ(path.rank_changes, 1);
  EXPECT_EQ(replay(StepGraphSource(profile, 1).graph(1), ReplayChange().with(TimePart::kCommunication, 0)).step_ns,
            950 * kUs);
}

/// Something else ends just before the work begins; what it waits for by its program ended earlier.
TEST(CriticalPath, FollowsWhatTheProgramSaysAndNotWhatEndedLast) {
  const testing::TempFolder folder;
  ProfileWriter writer(folder.file("run.db"), testing::tiny_run("ordered"));
  for (int rank = 0; rank < 2; ++rank) {
    Program p = testing::tiny_program(rank, 2);
    const Label label{Phase::kOptimizer, -1, 0, p.intern("grad")};
    p.instructions.push_back({Free{BufferId{2}}, Lane::kCompute, label, {testing::kGatherOp}});
    p.instructions.push_back({Fill{p.whole(BufferId{1})}, Lane::kCompute, label, {}});
    const OpId fill{static_cast<std::int32_t>(p.instructions.size()) - 1};
    RankTrace* trace = writer.open_rank(rank, p);
    for (int step = 0; step < 2; ++step) {
      const std::int64_t t0 = step * 1000 * kUs;
      const auto slice = [&](OpId op, Lane on, std::int64_t begin, std::int64_t end) {
        trace->slice({op, step, on, t0 + begin * kUs, (end - begin) * kUs, 0});
      };
      slice(testing::kMatMulOp, Lane::kCompute, 0, 200);
      slice(testing::kGatherOp, Lane::kGather, 0, 400);
      slice(testing::kCopyOp, Lane::kH2D, 0, 480);  // nobody waits for it
      slice(fill, Lane::kCompute, 500, 1000);
      trace->step({step, t0, 1000 * kUs, 1, 1, 1e-3});
    }
    trace->finish({}, 0);
  }
  writer.finish();
  const Profile profile(folder.file("run.db"));
  const StepGraph graph = StepGraphSource(profile, 1).graph(1);
  const CriticalPath path = critical_path(graph);
  EXPECT_EQ(path.part(TimePart::kOptimizer), 500 * kUs);
  EXPECT_EQ(path.part(TimePart::kCommunication), 400 * kUs) << "through the free, which takes no time";
  EXPECT_EQ(path.part(TimePart::kCopies), 0);
  EXPECT_EQ(path.part(TimePart::kIdleUnknown), 100 * kUs);
  EXPECT_EQ(replay(graph, ReplayChange().with(TimePart::kCommunication, 0.25)).step_ns, 700 * kUs)
      << "then the matrix product holds it up";
}

TEST(CriticalPath, OfAnImportedRunOfTwoRanks) {
  const testing::TempFolder folder;
  std::vector<std::string> texts;
  for (int rank = 0; rank < 2; ++rank) {  // rank 1 is 100 us late to every all-reduce
    testing::TraceText trace(rank, 2);
    for (int step = 0; step < 3; ++step) {
      const double t0 = 1000 * step, late = rank * 100;
      trace.step(step, t0, 1000);
      trace.kernel("gemm", t0 + 100, 300 + late, t0 + 90);
      trace.collective("allreduce", t0 + 400 + late, 300 - late, 250'000, t0 + 200);
      trace.kernel("adam", t0 + 700, 200, t0 + 210);
    }
    texts.push_back(trace.text());
  }
  testing::import_texts(folder, "rank.json", texts);
  const Profile profile(folder.file("run.db"));
  const StepGraphSource source(profile, 1);
  ASSERT_TRUE(source.usual_step());
  const CriticalPath path = critical_path(source.graph(1));
  EXPECT_EQ(path.time.length(), 1'000'000);
  EXPECT_EQ(path.part(TimePart::kCompute), 600'000);  // 400 on rank 1, then 200
  EXPECT_EQ(path.part(TimePart::kCommunication), 200'000);
  EXPECT_EQ(path.part(TimePart::kIdleLaunch), 200'000);  // before the first kernel, and the end of the step
  EXPECT_EQ(path.part(TimePart::kWaiting), 0);
  ASSERT_TRUE(path.by_rank.count(1));
  EXPECT_GE(path.by_rank.at(1), 400'000);
  EXPECT_EQ(path.work[0].name, "gemm");
  EXPECT_EQ(replay(source.graph(1), {}).step_ns, 1'000'000);
  EXPECT_THROW(source.graph(17), Error);
}

TEST_F(RealTrace, CriticalPathsAddUp) {
  const Profile profile(path());
  const StepGraphSource source(profile, 1);
  for (std::int64_t step : {4, 5, 6}) {
    const StepGraph graph = source.graph(step);
    const CriticalPath path = critical_path(graph);
    EXPECT_EQ(sum_of(path.ns), graph.time.length());
    EXPECT_GT(path.part(TimePart::kIdleLaunch), graph.time.length() / 2);  // bound by its host
    EXPECT_EQ(replay(graph, {}).step_ns, graph.time.length());
    ReplayChange graphs;
    graphs.launches_wait = false;
    EXPECT_LT(replay(graph, graphs).change(), -0.5);
  }
}

}  // namespace
}  // namespace shardscope
