#include "tests/cudasim/core/capture.h"

#include <algorithm>

#include "tests/cudasim/core/memory.h"

namespace cudasim {

namespace {

void add(std::vector<u32>& nodes, const std::vector<u32>& more) {
  for (const u32 node : more) {
    if (std::find(nodes.begin(), nodes.end(), node) == nodes.end()) nodes.push_back(node);
  }
}

/// Whether the last of the stream where it began come after all that was captured.
bool is_joined(const Capture& capture) {
  const std::vector<GraphNode>& nodes = capture.graph.nodes;
  std::vector<bool> seen(nodes.size());
  std::vector<u32> next = capture.streams.at(capture.origin);
  while (!next.empty()) {
    const u32 node = next.back();
    next.pop_back();
    if (seen[node]) continue;
    seen[node] = true;
    next.insert(next.end(), nodes[node].after.begin(), nodes[node].after.end());
  }
  return std::all_of(seen.begin(), seen.end(), [](bool one) { return one; });
}

}  // namespace

std::shared_ptr<Capture> Captures::of(const Stream& stream) const {
  for (const auto& capture : all_) {
    if (capture->streams.contains(const_cast<Stream*>(&stream))) return capture;
  }
  return nullptr;
}

void Captures::refuse(Capture& capture, cudaError_t code) {
  capture.invalid = true;
  throw Refused{code};
}

/// The default stream waits for blocking streams, and what is captured is not there to be waited for.
void Captures::refuse_default_stream(const Stream& stream) const {
  if (!stream.is_default) return;
  for (const auto& capture : all_) {
    for (const auto& [one, last] : capture->streams) {
      if (one->blocking && one->device == stream.device) refuse(*capture, cudaErrorStreamCaptureImplicit);
    }
  }
}

void Captures::begin(Stream& stream, cudaStreamCaptureMode mode) {
  std::lock_guard lock(mutex_);
  if (stream.is_default) throw Refused{cudaErrorStreamCaptureUnsupported};
  if (of(stream)) throw Refused{cudaErrorIllegalState};
  auto capture = std::make_shared<Capture>();
  capture->origin = &stream;
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->streams[&stream] = {};
  all_.push_back(std::move(capture));
  ++under_way_;
}

std::shared_ptr<Graph> Captures::end(Stream& stream) {
  std::lock_guard lock(mutex_);
  const auto capture = of(stream);
  if (!capture) throw Refused{cudaErrorIllegalState};
  if (capture->origin != &stream) refuse(*capture, cudaErrorStreamCaptureUnmatched);
  if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id())
    refuse(*capture, cudaErrorStreamCaptureWrongThread);
  std::erase(all_, capture);
  --under_way_;
  capture->ended = true;
  if (capture->invalid) throw Refused{cudaErrorStreamCaptureInvalidated};
  if (!is_joined(*capture)) throw Refused{cudaErrorStreamCaptureUnjoined};
  return std::make_shared<Graph>(std::move(capture->graph));
}

cudaStreamCaptureStatus Captures::status(const Stream& stream) {
  if (under_way_ == 0) return cudaStreamCaptureStatusNone;
  std::lock_guard lock(mutex_);
  const auto capture = of(stream);
  return !capture           ? cudaStreamCaptureStatusNone
         : capture->invalid ? cudaStreamCaptureStatusInvalidated
                            : cudaStreamCaptureStatusActive;
}

bool Captures::take(Stream& stream, const OperationPtr& made) {
  if (under_way_ == 0) return false;
  std::lock_guard lock(mutex_);
  refuse_default_stream(stream);
  const auto capture = of(stream);
  if (!capture) return false;
  if (capture->invalid) throw Refused{cudaErrorStreamCaptureInvalidated};
  if (made->kind == OperationKind::kCollective || made->kind == OperationKind::kFree) {
    capture->invalid = true;
    throw Fault{cudaErrorNotSupported, "'" + made->name + "' in a graph is not implemented"};
  }
  std::vector<u32>& last = capture->streams.at(&stream);
  capture->graph.nodes.push_back({made, last});
  last = {static_cast<u32>(capture->graph.nodes.size() - 1)};
  return true;
}

CapturedPointPtr Captures::record(Stream& stream) {
  if (under_way_ == 0) return nullptr;
  std::lock_guard lock(mutex_);
  const auto capture = of(stream);
  if (!capture) return nullptr;
  if (capture->invalid) throw Refused{cudaErrorStreamCaptureInvalidated};
  return std::make_shared<CapturedPoint>(CapturedPoint{capture, capture->streams.at(&stream)});
}

bool Captures::wait(Stream& stream, const CapturedPointPtr& point, bool recorded) {
  if (under_way_ == 0 && !point) return false;
  std::lock_guard lock(mutex_);
  const auto capture = of(stream);
  if (!point) {
    if (capture && recorded) refuse(*capture, cudaErrorStreamCaptureIsolation);
    return capture != nullptr;
  }
  if (point->capture->ended) {
    if (capture) capture->invalid = true;
    throw Refused{cudaErrorCapturedEvent};
  }
  if (point->capture->invalid) throw Refused{cudaErrorStreamCaptureInvalidated};
  if (stream.is_default) refuse(*point->capture, cudaErrorStreamCaptureImplicit);
  if (capture && capture != point->capture) {
    capture->invalid = true;
    refuse(*point->capture, cudaErrorStreamCaptureMerge);
  }
  add(point->capture->streams[&stream], point->nodes);
  return true;
}

void Captures::refuse_wait_for(const Stream& stream) {
  if (under_way_ == 0) return;
  std::lock_guard lock(mutex_);
  refuse_default_stream(stream);
  if (const auto capture = of(stream)) refuse(*capture, cudaErrorStreamCaptureUnsupported);
}

void Captures::refuse_wait_for_device(int device) {
  if (under_way_ == 0) return;
  std::lock_guard lock(mutex_);
  for (const auto& capture : all_) {
    if (capture->origin->device == device) refuse(*capture, cudaErrorStreamCaptureUnsupported);
  }
}

void Captures::refuse_wait_for(const CapturedPointPtr& point) {
  if (!point) return;
  std::lock_guard lock(mutex_);
  refuse(*point->capture, cudaErrorCapturedEvent);
}

/// Every thread has the mode that it starts with, cudaStreamCaptureModeGlobal.
void Captures::refuse_unsafe() {
  if (under_way_ == 0) return;
  std::lock_guard lock(mutex_);
  for (const auto& capture : all_) {
    const bool ours = capture->thread == std::this_thread::get_id();
    if (capture->mode == cudaStreamCaptureModeGlobal || (ours && capture->mode == cudaStreamCaptureModeThreadLocal))
      refuse(*capture, cudaErrorStreamCaptureUnsupported);
  }
}

}  // namespace cudasim
