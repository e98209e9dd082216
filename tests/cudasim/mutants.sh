#!/usr/bin/env bash
# Mutants of our own kernels: one statement of one kernel's PTX is changed while it is decoded, and the conformance suite on
# the emulated device must notice, by a wrong number or a report. mutants.txt lists them, and those that change nothing.
#   mutants.sh CONFORMANCE_CHECK CUDASIM_LIB [LIST]
set -uo pipefail
program=$1
export LD_LIBRARY_PATH=$2
list=${3:-$(dirname "${BASH_SOURCE[0]}")/mutants.txt}
found=0 same=0 failures=0

while IFS='|' read -r kernel kind which cases why; do
  [[ -z $kernel || $kernel == \#* ]] && continue
  said=$(CUDASIM_MUTATE="$kernel:$kind:$which" timeout 100 "$program" "$cases" 2>&1)
  status=$?
  if ! grep -q '^\[cudasim\] mutated: ' <<<"$said"; then
    failures=$((failures + 1))
    echo "FAILED: $kernel $kind $which: there is no such statement any more"
  elif [[ -n $why && $status -eq 0 ]]; then
    same=$((same + 1))
  elif [[ -z $why && $status -ne 0 ]]; then
    found=$((found + 1))
  else
    failures=$((failures + 1))
    echo "FAILED: $kernel $kind $which: exit status $status, but ${why:-it must be found}"
  fi
done < "$list"
echo "$found mutants found, $same that change nothing"
exit $((failures > 0))
