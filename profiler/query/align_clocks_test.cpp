// Clocks and waits on runs whose truth is known: ranks meet in collectives by a common time, and each writes down what
// its own clock shows.

#include <gmock/gmock.h>

#include <cmath>
#include <random>

#include "profiler/import/import_writer.h"
#include "profiler/import/write_clocks.h"
#include "profiler/query/align_clocks.h"
#include "profiler/query/collective_waits.h"
#include "profiler/store/test_profile.h"

namespace shardscope {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TempFolder;

constexpr double kMs = 1e6, kUs = 1e3;

/// Common time = own time * (1 + drift) + offset.
struct TrueClock {
  double offset_ns = 0, drift_ppm = 0;
  std::int64_t shows(double common) const { return std::llround((common - offset_ns) / (1 + drift_ppm * 1e-6)); }
  double adds(double own) const { return offset_ns + drift_ppm * 1e-6 * own; }
};

/// Ranks of a job that meet in collectives, and go into a profile as if imported.
class Job {
 public:
  /// world: of the job, of which there may be more ranks than these; names_ranks: files say which ranks a group has.
  Job(const std::string& path, std::vector<TrueClock> clocks, int world = 0, bool names_ranks = true)
      : writer_(path, "job"), clocks_(std::move(clocks)), names_ranks_(names_ranks) {
    for (std::size_t rank = 0; rank < clocks_.size(); ++rank) {
      SourceFacts facts{.file = "t" + std::to_string(rank) + ".json", .format = "kineto"};
      facts.rank = static_cast<std::int64_t>(rank);
      if (world > 0) facts.world = world;
      facts.base_ns = 1'700'000'000'000'000'000;
      handles_.push_back(writer_.add_rank(facts));
      tracks_.push_back(writer_.track(handles_.back(), "gpu0 stream 7", TrackKind::kDevice));
    }
    // The run begins at 0 of rank 0's clock; ranks without anything would not share a wall clock.
    for (std::size_t rank = 0; rank < clocks_.size(); ++rank) {
      const ForeignOp op{.kind = "kernel", .name = "first"};
      writer_.slice(handles_[rank], tracks_[rank], {writer_.op(handles_[rank], op), rank == 0 ? 0 : 1000, 1});
    }
  }

  /// By the common time: when each of `ranks` comes and leaves. sequence < 0: the file does not number it.
  void meet(const std::string& group, const std::vector<int>& ranks, std::int64_t sequence,
            const std::vector<double>& comes, const std::vector<double>& leaves,
            const std::string& kind = "all_reduce") {
    const std::string members = "[" + group + "]";  // only compared
    for (std::size_t i = 0; i < ranks.size(); ++i) {
      const auto at = static_cast<std::size_t>(ranks[i]);
      ForeignCollective c{.group = group};
      c.ranks = static_cast<std::int64_t>(ranks.size());
      c.bytes = 1'000'000;
      if (names_ranks_) c.group_ranks = members;
      const ForeignOp op{.kind = kind, .name = "nccl", .lane = "reduce", .bytes = c.bytes, .collective = &c};
      const std::int32_t index = writer_.op(handles_[at], op);
      const std::int64_t start = clocks_[at].shows(comes[i]), end = clocks_[at].shows(leaves[i]);
      writer_.slice(handles_[at], tracks_[at], {index, start, end - start});
      ForeignCall call{.op = index};
      if (sequence >= 0) call.sequence = sequence;
      call.start_ns = start, call.end_ns = end, call.track = tracks_[at];
      writer_.call(handles_[at], call);
    }
  }

  std::int64_t finish() {
    writer_.finish(ImportStatus::kComplete);
    return writer_.run();
  }

 private:
  ImportWriter writer_;
  std::vector<TrueClock> clocks_;
  bool names_ranks_;
  std::vector<int> handles_, tracks_;
};

/// `calls` collectives, one each 10 ms: every rank comes up to 2 ms late, and leaves when all have come and 40 to 60 us
/// have passed.
void meet_often(Job& job, const std::string& group, const std::vector<int>& ranks, int calls, std::mt19937& random) {
  std::uniform_real_distribution<double> late(0, 2 * kMs), moves(40 * kUs, 60 * kUs);
  for (int i = 0; i < calls; ++i) {
    std::vector<double> comes, leaves;
    for (std::size_t r = 0; r < ranks.size(); ++r) comes.push_back(20 * kMs + i * 10 * kMs + late(random));
    for (std::size_t r = 0; r < ranks.size(); ++r)
      leaves.push_back(*std::max_element(comes.begin(), comes.end()) + moves(random));
    job.meet(group, ranks, i, comes, leaves);
  }
}

/// The largest error between two instants.
double error_of(const RankClock& clock, const TrueClock& truth, double first, double last) {
  const auto at = [&](double t) { return std::abs(clock.offset_ns + clock.drift_ppm * 1e-6 * t - truth.adds(t)); };
  return std::max(at(first), at(last));
}

class Clocks : public ::testing::Test {
 protected:
  MatchedCollectives matched(Job& job) {
    const std::int64_t run = job.finish();
    return match_collectives(Profile(path_), run);
  }
  TempFolder folder_;
  std::string path_ = folder_.file("run.db");
};

TEST_F(Clocks, OffsetAndDriftAreWithinTheBound) {
  for (unsigned seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> offset(-15 * kMs, 15 * kMs), drift(-50, 50);
    std::vector<TrueClock> truth(4);
    for (std::size_t rank = 1; rank < 4; ++rank) truth[rank] = {offset(random), drift(random)};
    path_ = folder_.file(std::to_string(seed) + ".db");
    Job job(path_, truth);
    meet_often(job, "dp", {0, 1, 2, 3}, 200, random);
    const MatchedCollectives all = matched(job);
    ASSERT_EQ(all.calls.size(), 200U);
    EXPECT_EQ(all.unmatched, 0);
    const ClockAlignment clocks = align_clocks(all);
    ASSERT_EQ(clocks.ranks.size(), 4U);
    EXPECT_EQ(clocks.ranks[0].error_ns, 0.0);
    for (std::size_t rank = 1; rank < 4; ++rank) {
      const RankClock& clock = clocks.ranks[rank];
      ASSERT_TRUE(clock.error_ns.has_value());
      EXPECT_LE(error_of(clock, truth[rank], 20 * kMs, 2000 * kMs), *clock.error_ns);
      EXPECT_LT(*clock.error_ns, 200 * kUs) << "a bound that says something: about the time that data moves";
      EXPECT_LE(clock.contradiction_ns, 2) << "but for whole nanoseconds";
      EXPECT_FALSE(clock.may_be_same);
      EXPECT_EQ(clock.collectives, 200);
    }
    EXPECT_THAT(alignment_remarks(all, clocks), IsEmpty());
  }
}

TEST_F(Clocks, EqualClocksMayBeTheSame) {
  std::mt19937 random(3);
  Job job(path_, std::vector<TrueClock>(2));
  meet_often(job, "dp", {0, 1}, 50, random);
  const ClockAlignment clocks = align_clocks(matched(job));
  EXPECT_TRUE(clocks.ranks[1].may_be_same);
  EXPECT_LE(error_of(clocks.ranks[1], {}, 20 * kMs, 500 * kMs), *clocks.ranks[1].error_ns);
  EXPECT_EQ(common_ns(clocks.ranks[1], 12345), 12345) << "what contradicts nothing stays as it is";
}

TEST_F(Clocks, AreWrittenIntoTheProfile) {
  std::mt19937 random(9);
  const std::vector<TrueClock> truth = {{}, {5 * kMs, 20}, {}};
  Job job(path_, truth);
  meet_often(job, "dp", {0, 1}, 100, random);
  const ClockAlignment clocks = align_clocks(matched(job));
  write_clocks(path_, 1);
  const Profile profile(path_);
  Rows rows = profile.rows("SELECT rank, offset_ns, drift_ppm, error_ns, method FROM clock ORDER BY rank");
  ASSERT_TRUE(rows.next());
  EXPECT_EQ(rows.real(1), 0);
  ASSERT_TRUE(rows.next());
  EXPECT_EQ(rows.real(1), clocks.ranks[1].offset_ns);
  EXPECT_LE(error_of({.offset_ns = rows.real(1), .drift_ppm = rows.real(2)}, truth[1], 20 * kMs, 1000 * kMs),
            rows.real(3));
  EXPECT_EQ(rows.text(4), "collectives");
  EXPECT_FALSE(rows.next()) << "of rank 2 nothing is known";
}

/// Two groups of tensor parallelism have one name, and one program.
TEST_F(Clocks, GroupsOfOneNameAreToldApartByTheirRanks) {
  {
    RunInfo info = testing::tiny_run("tp");
    info.world = 4;
    ProfileWriter writer(path_, info);
    for (int rank = 0; rank < 4; ++rank) {
      Program program = testing::tiny_program(rank % 2, 2);
      program.rank = rank;
      program.world = 4;
      program.groups[0] = {"tp", {rank / 2 * 2, rank / 2 * 2 + 1}, rank % 2};
      testing::trace_step(*writer.open_rank(rank, program), 0, 1000 + rank / 2);
    }
    writer.finish();
  }
  EXPECT_EQ(Connection(path_, Connection::Mode::kReadOnly).integer("SELECT count(*) FROM program"), 1);
  const MatchedCollectives all = match_collectives(Profile(path_), 1);
  EXPECT_EQ(all.executions, 8);
  EXPECT_EQ(all.unmatched, 0);
  ASSERT_EQ(all.calls.size(), 4U);
  for (const MatchedCollective& call : all.calls) {
    ASSERT_EQ(call.arrivals.size(), 2U);
    EXPECT_EQ(call.arrivals[0].rank / 2, call.arrivals[1].rank / 2);
    EXPECT_EQ(call.arrivals[0].start_ns, call.arrivals[1].start_ns);
  }
  testing::make_older(path_, 4);
  EXPECT_EQ(match_collectives(Profile(path_), 1).unmatched, 8) << "nobody names the ranks";
}

TEST_F(Clocks, GroupsChain) {
  std::mt19937 random(5);
  const std::vector<TrueClock> truth = {{}, {5 * kMs, 20}, {-9 * kMs, -30}, {}};
  Job job(path_, truth);
  meet_often(job, "0,1", {0, 1}, 100, random);
  meet_often(job, "1,2", {1, 2}, 100, random);
  const MatchedCollectives all = matched(job);
  const ClockAlignment clocks = align_clocks(all);
  const RankClock &near = clocks.ranks[1], &far = clocks.ranks[2];
  ASSERT_TRUE(near.error_ns && far.error_ns);
  EXPECT_LE(error_of(near, truth[1], 20 * kMs, 1000 * kMs), *near.error_ns);
  EXPECT_LE(error_of(far, truth[2], 20 * kMs, 1000 * kMs), *far.error_ns);
  EXPECT_GT(*far.error_ns, *near.error_ns) << "errors add up along the chain";
  EXPECT_FALSE(clocks.ranks[3].error_ns.has_value());
  EXPECT_THAT(alignment_remarks(all, clocks), ElementsAre(HasSubstr("clocks of 1 of 4 ranks are not known")));
}

TEST_F(Clocks, OneCollectiveBoundsToItsLength) {
  Job job(path_, {{}, {5 * kMs, 0}});
  job.meet("dp", {0, 1}, 0, {20 * kMs, 20.3 * kMs}, {20.4 * kMs, 20.4 * kMs});
  const RankClock clock = align_clocks(matched(job)).ranks[1];
  // Rank 1 from 15.3 to 15.4 ms: it adds at least 20.0 - 15.4 and at most 20.4 - 15.3.
  EXPECT_NEAR(clock.offset_ns, 4.85 * kMs, 1);
  EXPECT_NEAR(clock.drift_ppm, 0, 1e-6);
  EXPECT_NEAR(*clock.error_ns, 0.25 * kMs, 0.25 * kUs) << "and a little for a drift that nobody knows";
}

TEST_F(Clocks, ContradictionsAreSaidAndWidenTheBound) {
  Job job(path_, {{}, {5 * kMs, 0}});
  job.meet("dp", {0, 1}, 0, {20 * kMs, 20 * kMs}, {20.1 * kMs, 20.1 * kMs});
  job.meet("dp", {0, 1}, 1, {20.5 * kMs, 21 * kMs}, {20.6 * kMs, 21.1 * kMs});  // rank 0 left before rank 1 came
  const MatchedCollectives all = matched(job);
  const ClockAlignment clocks = align_clocks(all);
  EXPECT_GT(clocks.ranks[1].contradiction_ns, 100 * kUs);
  EXPECT_GE(*clocks.ranks[1].error_ns, clocks.ranks[1].contradiction_ns / 2);
  EXPECT_THAT(alignment_remarks(all, clocks), ElementsAre(HasSubstr("contradict each other")));
}

TEST_F(Clocks, ABroadcastBoundsNothing) {
  Job job(path_, {{}, {}});
  job.meet("dp", {0, 1}, 0, {20 * kMs, 25 * kMs}, {21 * kMs, 26 * kMs}, "broadcast");
  const MatchedCollectives all = matched(job);
  EXPECT_EQ(all.calls.size(), 1U);
  EXPECT_FALSE(align_clocks(all).ranks[1].error_ns.has_value()) << "its root may leave before the others come";
}

TEST_F(Clocks, TooFewToSayAnythingIsSaid) {
  Job job(path_, {{}, {}});
  const MatchedCollectives all = matched(job);
  const ClockAlignment clocks = align_clocks(all);
  EXPECT_THAT(alignment_remarks(all, clocks), ElementsAre(HasSubstr("no collectives")));
  EXPECT_THAT(collective_waits(all, clocks).stragglers, IsEmpty());

  path_ = folder_.file("one.db");
  Job alone(path_, {{}});
  const MatchedCollectives one = matched(alone);
  EXPECT_THAT(alignment_remarks(one, align_clocks(one)), ElementsAre(HasSubstr("one rank")));
  EXPECT_THAT(alignment_remarks({}, align_clocks({})), ElementsAre(HasSubstr("one rank"))) << "or none";
}

TEST_F(Clocks, WithoutNumbersOrStepsNothingIsMatched) {
  Job job(path_, {{}, {}});
  job.meet("dp", {0, 1}, -1, {20 * kMs, 20 * kMs}, {21 * kMs, 21 * kMs});
  const MatchedCollectives all = matched(job);
  EXPECT_THAT(all.calls, IsEmpty());
  EXPECT_THAT(alignment_remarks(all, align_clocks(all)), ElementsAre(HasSubstr("nothing joins")));
}

TEST_F(Clocks, RanksOfUnnamedGroupsAreNotGuessed) {
  for (const int world : {2, 4}) {
    path_ = folder_.file(std::to_string(world) + ".db");
    Job job(path_, {{}, {}}, world, false);
    job.meet("tp", {0, 1}, 0, {20 * kMs, 20 * kMs}, {21 * kMs, 21 * kMs});
    EXPECT_EQ(matched(job).calls.size(), world == 2 ? 1U : 0U) << "of four ranks these may be in different groups";
  }
}

/// Rank 2 comes 100 us after the others in four of five collectives, else rank 0 does; data moves for 50 us.
void meet_with_straggler(Job& job) {
  for (int i = 0; i < 50; ++i) {
    std::vector<double> comes(3, 20 * kMs + i * kMs);
    comes[i % 5 == 0 ? 0 : 2] += 100 * kUs;
    job.meet("dp", {0, 1, 2}, i, comes, std::vector<double>(3, 20.15 * kMs + i * kMs));
  }
}

TEST_F(Clocks, TheStragglerIsFound) {
  Job job(path_, std::vector<TrueClock>(3));
  meet_with_straggler(job);
  const MatchedCollectives all = matched(job);
  const CollectiveWaits waits = collective_waits(all, align_clocks(all));
  ASSERT_EQ(waits.stragglers.size(), 3U);
  const Straggler& worst = waits.stragglers[0];
  EXPECT_EQ(worst.rank, 2);
  EXPECT_EQ(worst.collectives, 50);
  EXPECT_EQ(worst.last, 40);
  EXPECT_EQ(worst.surely_last, 40);
  EXPECT_EQ(worst.behind_ns, 40 * 100'000);
  EXPECT_EQ(worst.made_wait_ns, 40 * 2 * 100'000);
  EXPECT_EQ(worst.waits_ns, 10 * 100'000);
  EXPECT_EQ(worst.moves_ns, 50 * 50'000);
  EXPECT_EQ(waits.stragglers[2].rank, 1);
  EXPECT_EQ(waits.stragglers[2].last, 0);
  ASSERT_EQ(waits.groups.size(), 1U);
  EXPECT_EQ(waits.groups[0].calls, 50);
  EXPECT_EQ(waits.groups[0].waits_ns, 50 * 2 * 100'000);
  EXPECT_EQ(waits.groups[0].moves_ns, 50 * 3 * 50'000);
  EXPECT_EQ(waits.groups[0].most_last, 2);
  EXPECT_NEAR(*waits.groups[0].algbw, 1e6 / 50e-6, 1);
  EXPECT_NEAR(*waits.groups[0].busbw, 1e6 / 50e-6 * 4 / 3, 1);
}

TEST_F(Clocks, TheStragglerIsFoundByClocksThatDiffer) {
  Job job(path_, {{}, {-7 * kMs, 10}, {4 * kMs, -20}});
  meet_with_straggler(job);
  const MatchedCollectives all = matched(job);
  const ClockAlignment clocks = align_clocks(all);
  const CollectiveWaits waits = collective_waits(all, clocks);
  EXPECT_EQ(waits.stragglers.at(0).rank, 2);
  EXPECT_GE(waits.stragglers.at(0).last, 40);
  const double wrong = 40 * 2 * (*clocks.ranks[1].error_ns + *clocks.ranks[2].error_ns);
  EXPECT_NEAR(static_cast<double>(waits.stragglers.at(0).made_wait_ns), 40 * 2 * 100 * kUs, wrong);
}

TEST_F(Clocks, OwnRunsAreMatchedByStep) {
  testing::record_tiny_profile(path_, "own", 3);
  const MatchedCollectives all = match_collectives(Profile(path_), 1);
  ASSERT_EQ(all.calls.size(), 6U) << "a gather and a reduce-scatter in each step";
  EXPECT_EQ(all.calls[0].kind, "all_gather");
  EXPECT_THAT(all.ranks, ElementsAre(0, 1));
  EXPECT_EQ(all.calls[0].arrivals[0].start_ns, 300'000);
  EXPECT_EQ(all.calls[0].arrivals[1].end_ns, 1'000'000);
  EXPECT_EQ(all.unmatched, 0);
}

}  // namespace
}  // namespace shardscope
