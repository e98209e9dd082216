#pragma once
// The engine's hand-made training program with checkpoints, for the tests of this folder.

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/engine/bigram_for_test.h"
#include "core/engine/checkpoint/checkpoint_source.h"
#include "core/engine/checkpoint/checkpointer.h"
#include "core/engine/plain_backend_for_test.h"
#include "core/engine/trainer.h"
#include "core/error.h"
#include "core/temp_folder_for_test.h"

namespace shardscope::testing {

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

class CountingTokens : public SequenceSource {
 public:
  std::int64_t seq_len() const override { return 8; }
  std::int64_t sequences_per_epoch() const override { return 0; }
  std::string describe() const override { return "counting"; }
  void read(std::int64_t index, std::span<std::int32_t> tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = static_cast<std::int32_t>((index * index + static_cast<std::int64_t>(i)) % 11);
  }
};

inline Manifest bigram_record(const Job& job) {
  Manifest record;
  record.seed = job.seed;
  record.model_json = record.training_json = "{}";
  record.tensors = {{"table", {11, 11}}};
  return record;
}

/// Trains with checkpoints in options.folder, from `resume` (a checkpoint) if it is not empty.
inline TrainResult train_bigram(
    const Job& job, CheckpointOptions options, const std::string& resume = "",
    Say say = [](const std::string& line) { ADD_FAILURE() << line; }) {
  const std::vector<Program> programs = bigram_programs(job);
  const CountingTokens data;
  std::vector<int> local;
  for (const Program& program : programs) local.push_back(program.rank);
  Checkpointer checkpoints(std::move(options), bigram_record(job), deal_state(programs), local, std::move(say));
  TrainOptions train_options{.data = &data, .programs = &programs};
  train_options.at_boundary = [&](int rank, const Memory& memory, const RunPosition& position) {
    checkpoints.at_boundary(rank, memory, position);
  };
  train_options.at_end = [&](int rank, const Program&, const Memory& memory) { checkpoints.finish(rank, memory); };
  if (!resume.empty()) {
    train_options.start = CheckpointSource(resume).manifest().position;
    train_options.fill_state = [&](int, const Program& program, const Memory& memory) {
      CheckpointSource source(resume);
      restore_state(program, memory, source);
    };
  }
  return train(
      job, [](int, int) { return std::make_unique<PlainBackend>(); }, train_options);
}

}  // namespace shardscope::testing
