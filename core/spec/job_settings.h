#pragma once
// "This job, but with ...": changes of a job's text by the keys of `whatif --set`, as far as a job has them, or by the
// path of any key of the job file.
//
//   std::string changed = apply_job_settings(job.text, {"zero.stage=3", "parallel.dp=4", "micro_batch=2"});
//   Job other = parse_job(changed, "run.db", {});

#include <string>
#include <string_view>
#include <vector>

namespace shardscope {

/// `job_text`: as Job::text. "KEY=VALUE" each. Sizes of the layout keep the number of ranks (dp follows) but where
/// ranks or dp is set itself. A stated train_batch_size stays when dp changes, and goes when micro_batch or
/// accumulation is set. Throws Error{kConfig}: unknown keys with the nearest. Whether the values go together says
/// parse_job().
std::string apply_job_settings(std::string_view job_text, const std::vector<std::string>& assignments);

struct JobSettingKey {
  std::string_view name, meaning;
};
std::vector<JobSettingKey> job_setting_keys();  ///< for --help

}  // namespace shardscope
