#include "profiler/export/perfetto/arrows.h"

#include <optional>

namespace shardscope {

void Arrows::each(const std::function<void(const Arrow&)>& f) {
  spool_.flush();
  const std::size_t all[] = {ends_};
  std::optional<Arrow::End> launch;
  std::int64_t correlation = 0;
  SliceEvent e;
  for (SliceMerge merge(spool_, all); merge.next(e);) {
    if (e.start_ns != correlation) launch.reset();
    correlation = e.start_ns;
    const Arrow::End end{e.op.index, e.wait_ns};
    if (e.duration_ns == 0) {
      if (launch) f({*launch, end});
    } else if (!launch || end.time_ns >= launch->time_ns) {
      launch = end;
    }
  }
}

}  // namespace shardscope
