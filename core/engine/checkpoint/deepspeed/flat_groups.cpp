// ZeRO 1, 2 and 3 as DeepSpeed 0.19 writes them. Source: its utils/zero_to_fp32.py, checkpoint/ds_to_universal.py and
// the optimizers' state_dict() in runtime/zero/stage_1_and_2.py, stage3.py and runtime/bf16_optimizer.py.

#include <fmt/format.h>

#include <algorithm>

#include "core/engine/checkpoint/deepspeed/deepspeed_files.h"
#include "core/error.h"

namespace shardscope::deepspeed {
namespace {

/// Of one rank and group: where the flat buffer of each role lies.
struct Flat {
  std::size_t file = 0;
  TorchTensor value, exp_avg, exp_avg_sq;
};

constexpr StateRole kRoles[] = {StateRole::kParameter, StateRole::kExpAvg, StateRole::kExpAvgSq};

const TorchTensor& of(const Flat& flat, StateRole role) {
  if (role == StateRole::kExpAvg) return flat.exp_avg;
  return role == StateRole::kExpAvgSq ? flat.exp_avg_sq : flat.value;
}

/// Elements [begin, begin + count) of the flat buffers are elements [whole, ...) of the tensor.
void add(RangeSource& source, std::size_t tensor, const Flat& flat, std::int64_t begin, std::int64_t whole,
         std::int64_t count, const TorchFile& file) {
  for (const StateRole role : kRoles) {
    const TorchTensor& held = of(flat, role);
    if (begin + count > held.elements()) {
      file.fail(fmt::format("has {} elements of {} in a group; parameter {} needs {}", held.elements(), to_string(role),
                            source.tensors()[tensor].name, begin + count));
    }
    source.add_range(tensor, role, {flat.file, held.dtype, held.offset + begin * size_of(held.dtype), whole, count});
  }
}

/// The state of optimizer parameter `i`: of a torch state_dict, or of DeepSpeed's elastic list.
PickleValue state_of(PickleValue optimizer, std::size_t i) {
  if (optimizer.is(PickleNode::Kind::kList)) return optimizer[i];
  return optimizer["state"].at(static_cast<std::int64_t>(i));
}

Flat read_flat(const TorchFile& file, std::size_t index, PickleValue value, PickleValue state, std::size_t group) {
  const auto name = [&](const char* what) { return fmt::format("{} of group {}", what, group); };
  if (!state) file.fail(fmt::format("has no optimizer state of group {}: it was written before the first step", group));
  return {index, file.tensor(value, name("fp32")), file.tensor(state["exp_avg"], name("exp_avg")),
          file.tensor(state["exp_avg_sq"], name("exp_avg_sq"))};
}

/// By rank, then group.
std::vector<std::vector<Flat>> read_flats(RangeSource& source, const std::vector<std::unique_ptr<TorchFile>>& files,
                                          const char* values, const char* optimizer) {
  std::vector<std::vector<Flat>> flats;
  for (const auto& file : files) {
    const std::size_t index = source.add_file(file->path());
    const PickleValue root = file->root()["optimizer_state_dict"], groups = root[values];
    if (!groups.is(PickleNode::Kind::kList)) file->fail(fmt::format("has no optimizer_state_dict.{}", values));
    flats.emplace_back();
    for (std::size_t g = 0; g < groups.size(); ++g) {
      flats.back().push_back(read_flat(*file, index, groups[g], state_of(root[optimizer], g), g));
    }
    if (flats.back().size() != flats.front().size()) file->fail("has another number of groups than rank 0's file");
  }
  return flats;
}

/// Padding behind each parameter of a group, where this version of DeepSpeed aligned them.
std::int64_t alignment_padding(const TorchFile& file, std::size_t group, std::size_t parameter) {
  const PickleValue paddings = file.root()["optimizer_state_dict"]["param_alignment_paddings"][group];
  return std::max<std::int64_t>(paddings[parameter].integer().value_or(0), 0);
}

}  // namespace

std::int64_t Shape::elements() const {
  std::int64_t n = 1;
  for (const std::int64_t extent : shape) n *= extent;
  return n;
}

std::vector<std::vector<Shape>> read_param_shapes(const TorchFile& file) {
  const PickleValue list = file.root()["param_shapes"];
  if (!list.is(PickleNode::Kind::kList)) file.fail("has no list param_shapes");
  if (file.root()["frozen_param_shapes"].size() > 0) {
    throw Error(ErrorKind::kUnsupported, file.path() + ": has frozen parameters, which are not read");
  }
  std::vector<std::vector<Shape>> groups(list.size());
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (std::size_t i = 0; i < list[g].size(); ++i) {
      Shape shape{list[g].key(i).text().value_or(""), torch_size(list[g].value(i))};
      std::int64_t n = 1;
      for (const std::int64_t extent : shape.shape) {
        if (extent < 1 || __builtin_mul_overflow(n, extent, &n) || n > (std::int64_t{1} << 48)) n = 0;
      }
      if (shape.name.empty() || n < 1) file.fail(fmt::format("has param_shapes[{}] with an impossible entry", g));
      groups[g].push_back(std::move(shape));
    }
  }
  return groups;
}

std::optional<double> optimizer_steps(PickleValue optimizer, const TorchFile& file) {
  if (const PickleValue step = optimizer["state"].at(0)["step"]) return file.number(step, "step");
  const PickleValue step = optimizer["param_groups"][std::size_t{0}]["step"];
  if (!step || file.number(step, "step") <= 0) return std::nullopt;
  return file.number(step, "step");
}

std::string model_name(const TensorNames& names, const std::string& stored) {
  return names.find(stored).value_or(stored);
}

/// A group's parameters one after the other, cut into a partition per rank.
void add_flat_groups(RangeSource& source, const TensorNames& names, const TorchFile& model_states,
                     const std::vector<std::unique_ptr<TorchFile>>& files) {
  const std::vector<std::vector<Shape>> groups = read_param_shapes(model_states);
  const std::vector<std::vector<Flat>> flats =
      read_flats(source, files, "single_partition_of_fp32_groups", "base_optimizer_state");
  if (flats.front().size() != groups.size()) files.front()->fail("has another number of groups than param_shapes");
  for (std::size_t g = 0; g < groups.size(); ++g) {
    std::int64_t begin = 0;  // of the parameter, in the group
    for (std::size_t i = 0; i < groups[g].size(); ++i) {
      const Shape& shape = groups[g][i];
      const std::size_t tensor = source.add_tensor(model_name(names, shape.name), shape.shape);
      const std::int64_t end = begin + shape.elements();
      std::int64_t first = 0;  // of the rank's partition, in the group
      for (std::size_t r = 0; r < flats.size(); ++r) {
        const std::int64_t last = first + flats[r][g].value.elements();
        const std::int64_t from = std::max(begin, first), to = std::min(end, last);
        if (from < to) add(source, tensor, flats[r][g], from - first, from - begin, to - from, *files[r]);
        first = last;
      }
      begin = end + alignment_padding(*files.front(), g, i);
    }
  }
}

/// Each parameter cut into a partition of ceil(elements / ranks) per rank; a rank's partitions one after the other in
/// its sub-groups' buffers.
void add_partitions(RangeSource& source, const TensorNames& names, const TorchFile& model_states,
                    const std::vector<std::unique_ptr<TorchFile>>& files) {
  const std::vector<std::vector<Flat>> flats = read_flats(source, files, "fp32_flat_groups", "optimizer_state_dict");
  const auto ranks = static_cast<std::int64_t>(files.size());
  std::size_t group = 0;
  std::int64_t at = 0;  // in the group's buffer
  for (const std::vector<Shape>& shapes : read_param_shapes(model_states)) {
    for (const Shape& shape : shapes) {
      const std::size_t tensor = source.add_tensor(model_name(names, shape.name), shape.shape);
      const std::int64_t elements = shape.elements(), partition = (elements + ranks - 1) / ranks;
      while (group < flats.front().size() && at >= flats.front()[group].value.elements()) {
        ++group;
        at = 0;
      }
      if (group == flats.front().size()) files.front()->fail("has fewer elements than param_shapes");
      for (std::int64_t r = 0; r < ranks; ++r) {
        const std::int64_t whole = r * partition, count = std::clamp<std::int64_t>(elements - whole, 0, partition);
        if (count == 0) break;  // the rest is padding
        const auto rank = static_cast<std::size_t>(r);
        add(source, tensor, flats[rank][group], at, whole, count, *files[rank]);
      }
      at += partition;
    }
  }
}

void add_module(RangeSource& source, const TensorNames& names, const TorchFile& model_states) {
  const PickleValue module = model_states.root()["module"];
  if (module.size() == 0) model_states.fail("has no weights, and no optimizer states lie beside it");
  const std::size_t file = source.add_file(model_states.path());
  for (std::size_t i = 0; i < module.size(); ++i) {
    const std::string stored = module.key(i).text().value_or("");
    if (names.is_tied_head(stored) || (!names.find(stored) && TensorNames::is_constant(stored))) continue;
    const TorchTensor tensor = model_states.tensor(module.value(i), stored);
    const std::size_t index = source.add_tensor(model_name(names, stored), tensor.shape);
    source.add_range(index, StateRole::kParameter, {file, tensor.dtype, tensor.offset, 0, tensor.elements()});
  }
}

}  // namespace shardscope::deepspeed
