#include "simulator/validate/row_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/error.h"
#include "core/spec/model_catalog.h"
#include "simulator/validate/row_text.h"

namespace shardscope {
namespace {

constexpr std::string_view kLlamaLike[] = {"llama", "mistral", "mixtral", "qwen", "deepseek",
                                           "gemma", "yi-",     "smollm",  "olmo", "internlm"};
constexpr std::int64_t kUsualVocab = 50257;
constexpr double kNearCount = 0.03;  // published parameter counts are rounded

[[noreturn]] void refuse(const std::string& why) { throw Error(ErrorKind::kUnsupported, why); }

std::optional<ModelSpec> catalog_model(const std::string& name) {
  try {
    return find_model(name);
  } catch (const Error&) {
    return std::nullopt;
  }
}

/// The family that the most shapes can be written in: grouped heads, a gate.
void be_like_llama(ModelSpec& model) {
  model.family = ModelFamily::kLlama;
  model.positions = PositionKind::kRope;
}

/// What models of that name are like, apart from their sizes.
ModelSpec habits_of(const std::string& name) {
  ModelSpec model{.name = name, .max_positions = 1};
  const bool llama = std::any_of(std::begin(kLlamaLike), std::end(kLlamaLike),
                                 [&](std::string_view word) { return holds_word(name, word); });
  if (!llama) return model;
  be_like_llama(model);
  model.norm = NormKind::kRmsNorm;
  model.mlp = MlpKind::kSwiGlu;
  model.tied_embeddings = model.qkv_bias = model.attention_out_bias = model.mlp_bias = false;
  return model;
}

void use(const std::optional<std::int64_t>& column, std::int64_t& field) {
  if (column) field = *column;
}

void use_columns(const PublishedRun& run, ModelSpec& model) {
  const bool other_heads = (run.hidden && *run.hidden != model.hidden) || (run.n_heads && *run.n_heads != model.heads);
  use(run.n_layers, model.layers);
  use(run.hidden, model.hidden);
  use(run.n_heads, model.heads);
  use(run.n_kv_heads, model.kv_heads);
  use(run.vocab, model.vocab_size);
  if (model.experts == 0) use(run.ffn_hidden, model.intermediate);  // of mixtures the column holds a dense block's size
  if (model.layers < 1 || model.hidden < 1 || model.heads < 1) {
    refuse(fmt::format("model {} is not in the catalog, and n_layers, hidden or n_heads is blank", run.model_name));
  }
  if (other_heads || model.head_dim == 0) {
    if (model.hidden % model.heads != 0) {
      refuse(fmt::format("{} heads do not divide hidden size {}", model.heads, model.hidden));
    }
    model.head_dim = model.hidden / model.heads;
    model.embedding_dim = model.hidden;
  }
}

/// What neither the columns nor the catalog say.
void fill_sizes(const PublishedRun& run, RowModel& row) {
  ModelSpec& model = row.model;
  const auto assume = [&](std::int64_t& field, std::int64_t value, const char* column) {
    if (field > 0) return;
    field = value;
    row.assumed.push_back(fmt::format("{}: {}", column, value));
  };
  assume(model.kv_heads, model.heads, "n_kv_heads");
  assume(model.vocab_size, kUsualVocab, "vocab");
  if (model.intermediate == 0 && model.mlp == MlpKind::kSwiGlu) {
    assume(model.intermediate, (model.hidden * 8 / 3 + 255) / 256 * 256, "ffn_hidden");
  }
  assume(model.intermediate, model.hidden * 4, "ffn_hidden");
  if (model.heads % model.kv_heads != 0) {
    refuse(fmt::format("n_kv_heads {} does not divide n_heads {}", model.kv_heads, model.heads));
  }
  if (model.kv_heads != model.heads && model.family == ModelFamily::kGpt2) be_like_llama(model);
  if (model.positions == PositionKind::kLearned) model.max_positions = run.seq_len.value_or(model.max_positions);
}

double miss(const ModelSpec& model, double params_billion) {
  return std::abs(static_cast<double>(parameter_count(model)) / (params_billion * 1e9) - 1);
}

/// Ties embeddings or not, gates the MLP or not, if that explains a parameter count that the habit is far from. The
/// least change that explains it is taken.
void fit_parameters(const PublishedRun& run, RowModel& row) {
  if (!run.params_billion) return;
  const ModelSpec habit = row.model;
  const MlpKind other_mlp = habit.mlp == MlpKind::kSwiGlu ? MlpKind::kGeluTanh : MlpKind::kSwiGlu;
  for (const auto& [mlp, tied] : {std::pair(habit.mlp, habit.tied_embeddings),
                                  {habit.mlp, !habit.tied_embeddings},
                                  {other_mlp, habit.tied_embeddings},
                                  {other_mlp, !habit.tied_embeddings}}) {
    ModelSpec other = habit;
    other.tied_embeddings = tied, other.mlp = mlp;
    if (mlp == MlpKind::kSwiGlu) be_like_llama(other);
    if (miss(other, *run.params_billion) < miss(row.model, *run.params_billion) / 2) row.model = other;
  }
  if (miss(habit, *run.params_billion) < kNearCount) row.model = habit;
  if (row.model.mlp == habit.mlp && row.model.tied_embeddings == habit.tied_embeddings) return;
  row.assumed.push_back(fmt::format("{} MLP, {} embeddings: from params_billion",
                                    row.model.mlp == MlpKind::kSwiGlu ? "gated" : "plain",
                                    row.model.tied_embeddings ? "tied" : "untied"));
}

void use_notes(const PublishedRun& run, RowModel& row) {
  ModelSpec& model = row.model;
  if (model.experts == 0) return;
  if (const auto dense = number_before(run.notes, " dense layer")) model.dense_layers = static_cast<int>(*dense);
  if (const auto factor = number_after(run.notes, "capacity factor ")) row.capacity_factor = *factor;
  if (holds_word(run.notes, "(tokendrop)")) row.capacity_factor = 1;
  if (model.predicted_tokens > 0 && !holds_word(run.notes, "w/ MTP")) {
    model.predicted_tokens = 0;
    if (!holds_word(run.notes, "w/o MTP")) row.assumed.emplace_back("multi-token prediction: off");
  }
}

}  // namespace

RowModel model_of(const PublishedRun& run) {
  if (holds_word(run.notes, "mamba") || holds_word(run.model_name, "mamba")) {
    refuse(fmt::format("model {} is a hybrid with Mamba blocks, not a plain transformer", run.model_name));
  }
  RowModel row;
  const auto known = catalog_model(run.model_name);
  row.model = known ? *known : habits_of(run.model_name);
  use_columns(run, row.model);
  fill_sizes(run, row);
  parameter_count(row.model);  // throws if it is beyond all counting
  if (!known) fit_parameters(run, row);
  use_notes(run, row);
  return row;
}

}  // namespace shardscope
