#pragma once
// The vocabulary of a program: element types, memory spaces, what bytes are for, lanes, labels, regions.
// Every enum has a fixed lower-case name (to_string / from_name) that the text form, the profile and JSON all use.

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace shardscope {

enum class DType : std::uint8_t { kF32, kBF16, kF16, kF64, kI32, kI8 };
inline constexpr int kDTypes = 6;

/// Where bytes live. On a CPU backend the "device" is an accounted arena, distinct from host memory.
enum class Space : std::uint8_t { kDevice, kPinned, kHost, kNvme };
inline constexpr int kSpaces = 4;

/// What bytes are for; every buffer has exactly one.
enum class Category : std::uint8_t {
  kParameter,   ///< weights that forward and backward read
  kMaster,      ///< fp32 copy of low-precision weights
  kGradient,    ///< gradients, accumulated or sharded
  kOptimizer,   ///< Adam's exp_avg and exp_avg_sq
  kActivation,  ///< kept from forward for backward, and gradients of activations
  kBucket,      ///< communication buckets and gathered parameters
  kWorkspace,   ///< scalars, temporaries of one op or of the optimizer step
  kBatch,       ///< tokens and targets
  kCache,       ///< keys and values of earlier tokens (inference)
  kOther,       ///< not known: of other programs' runs
};
inline constexpr int kCategories = 10;

/// An in-order queue of one rank. A CUDA stream on a GPU, a worker thread on a CPU, a server in the simulator.
enum class Lane : std::uint8_t {
  kCompute,
  kGather,        ///< data-parallel gathers of parameters
  kReduce,        ///< data-parallel reductions of gradients
  kTensor,        ///< tensor- and sequence-parallel collectives
  kSendNext,      ///< to the next rank of a pipeline ...
  kRecvPrevious,  ///< ... where they arrive
  kSendPrevious,  ///< to the previous rank ...
  kRecvNext,      ///< ... where they arrive
  kContext,       ///< context- and expert-parallel exchange
  kH2D,           ///< host to device copies
  kD2H,           ///< device to host copies
  kNvmeRead,      ///< NVMe drive to host ...
  kNvmeWrite,     ///< ... and back, so that both can be under way
  kHost,          ///< compute on the host processor (CPU Adam)
};
inline constexpr int kLanes = 14;

/// The lane in whose name a Send and its Recv meet: that of the Send. Other lanes meet under their own name.
constexpr Lane meeting_lane(Lane lane) {
  if (lane == Lane::kRecvPrevious) return Lane::kSendNext;
  return lane == Lane::kRecvNext ? Lane::kSendPrevious : lane;
}

/// Where in a training step an op belongs.
enum class Phase : std::uint8_t { kLoad, kForward, kRecompute, kBackward, kOptimizer };
inline constexpr int kPhases = 5;

enum class ReduceOp : std::uint8_t { kSum, kMax };
enum class ActivationKind : std::uint8_t { kGeluTanh, kGeluErf, kRelu, kSilu };
/// To which 8-bit float a product casts an operand, if at all: 4 bits of exponent and 3 of mantissa, or 5 and 2.
enum class Fp8 : std::uint8_t { kNone, kE4M3, kE5M2 };

std::int64_t size_of(DType dtype);  ///< bytes of one element

std::string_view to_string(DType);
std::string_view to_string(Space);
std::string_view to_string(Category);
std::string_view to_string(Lane);
std::string_view to_string(Phase);
std::string_view to_string(ReduceOp);
std::string_view to_string(ActivationKind);
std::string_view to_string(Fp8);

/// The enumerator of type E with this name, or nothing.
template <class E>
std::optional<E> from_name(std::string_view name);

/// A typed index; ids of different things do not convert into each other.
template <class Tag>
struct Id {
  std::int32_t index = -1;
  constexpr bool valid() const { return index >= 0; }
  friend constexpr auto operator<=>(Id, Id) = default;
};
using BufferId = Id<struct BufferTag>;  ///< index into Program::buffers
using GroupId = Id<struct GroupTag>;    ///< index into Program::groups
using OpId = Id<struct OpTag>;          ///< index into Program::instructions
using NameId = Id<struct NameTag>;      ///< index into Program::names

/// Elements [offset, offset + count) of a buffer, in the buffer's dtype. count 0 means "no operand".
struct Region {
  BufferId buffer;
  std::int64_t offset = 0;
  std::int64_t count = 0;

  constexpr bool empty() const { return count == 0; }
  constexpr std::int64_t end() const { return offset + count; }
  /// Part [first, first + n) of this region.
  constexpr Region part(std::int64_t first, std::int64_t n) const { return {buffer, offset + first, n}; }
  constexpr bool overlaps(const Region& other) const {
    return buffer == other.buffer && offset < other.end() && other.offset < end();
  }
  friend constexpr bool operator==(const Region&, const Region&) = default;
};

/// Where an op stands in the training step: what traces and views group by. -1 where it does not apply.
struct Label {
  Phase phase = Phase::kForward;
  std::int32_t layer = -1;        ///< transformer block, counted over the whole model; -1 outside blocks
  std::int32_t micro_batch = -1;  ///< index within the step
  NameId name;                    ///< module or parameter, e.g. "h.3.attn.c_attn"
  friend constexpr bool operator==(const Label&, const Label&) = default;
};

}  // namespace shardscope
