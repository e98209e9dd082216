#include "cli/train_dumps.h"

#include <algorithm>
#include <vector>

#include "core/engine/initialize.h"
#include "core/engine/safetensors.h"
#include "core/program/program.h"

namespace shardscope::cli {

void dump_weights(const Job& job, const std::string& path) {
  std::vector<Parameter> parameters;
  std::vector<TensorEntry> entries;
  for (const TensorSpec& t : list_tensors(job.model)) {
    parameters.push_back({t.name, t.shape, t.layer, t.init_std, t.init_value});
    entries.push_back({t.name, DType::kF32, t.shape});
  }
  SafetensorsWriter file(path, entries);
  std::vector<float> block(1 << 16);
  for (const Parameter& p : parameters) {
    for (std::int64_t done = 0; done < p.elements();) {
      const std::int64_t n = std::min(static_cast<std::int64_t>(block.size()), p.elements() - done);
      const std::span<float> values(block.data(), static_cast<std::size_t>(n));
      initial_values(p, job.seed, done, values);
      file.append(std::span<const float>(values));
      done += n;
    }
  }
  file.finish();
}

void dump_batches(const SequenceSource& data, const Job& job, const std::string& path) {
  const std::int64_t batch = job.training.train_batch_size, width = data.seq_len() + 1;
  SafetensorsWriter file(path, {{"tokens", DType::kI32, {job.steps, batch, width}}});
  std::vector<std::int32_t> row(static_cast<std::size_t>(width));
  for (std::int64_t i = 0; i < job.steps * batch; ++i) {
    data.read(i, row);
    file.append(std::span<const std::int32_t>(row));
  }
  file.finish();
}

}  // namespace shardscope::cli
