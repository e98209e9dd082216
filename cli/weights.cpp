// shardscope weights: the weights of a checkpoint as files that transformers loads.

#include <fmt/format.h>

#include <memory>

#include "cli/command.h"
#include "core/engine/arena.h"
#include "core/engine/checkpoint/export_weights.h"
#include "core/engine/checkpoint/resume.h"

namespace shardscope::cli {
namespace {

struct Options {
  std::string checkpoint, output, model, dtype = "fp32";
  double file_gb = 5;
};

int run(const Options& options) {
  const Say say = [](const std::string& line) { fmt::print(stderr, "shardscope: {}\n", line); };
  const StoredState state = open_stored_state(options.checkpoint, options.model, say);
  const DType dtype = options.dtype == "bf16" ? DType::kBF16 : options.dtype == "fp16" ? DType::kF16 : DType::kF32;
  const auto file_bytes = static_cast<std::int64_t>(options.file_gb * 1e9);
  const ExportResult result =
      export_weights(*state.source, state.model, options.output, {.dtype = dtype, .file_bytes = file_bytes});
  fmt::print("{}: {} tensors, {} in {}, {} file{}, from {}\n", options.output, result.tensors,
             format_bytes(result.bytes), options.dtype, result.files, result.files == 1 ? "" : "s", state.path);
  return kDone;
}

}  // namespace

void add_weights(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "weights", "Write a checkpoint's weights as safetensors with a config.json, which transformers loads.");
  command
      ->add_option("checkpoint", options->checkpoint,
                   "A checkpoint or a folder of them: ours, DeepSpeed's (ZeRO 1-3, universal), or safetensors")
      ->required()
      ->type_name("CHECKPOINT");
  command->add_option("-o,--output", options->output, "Folder to write, without weights yet")
      ->required()
      ->type_name("DIR");
  command->add_option("--model", options->model, "The model's config.json or name, if the checkpoint has none")
      ->type_name("PATH");
  command->add_option("--dtype", options->dtype, "fp32 (default), bf16 or fp16")
      ->check(CLI::IsMember({"fp32", "bf16", "fp16"}));
  command->add_option("--file-gb", options->file_gb, "Largest file, in 1e9 bytes (default 5)")
      ->check(in_range(1e-6, 1e6));
  command->footer(
      "Examples:\n"
      "  shardscope weights ckpt -o out                    # the newest checkpoint in ckpt\n"
      "  shardscope weights ckpt/step-100 -o out --dtype bf16\n"
      "  shardscope weights runs/checkpoint-500 -o out     # DeepSpeed's, as Hugging Face's Trainer saves it\n"
      "  shardscope train job.json --weights out           # and back\n");
  command->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace shardscope::cli
