# For scripts that test in a folder of their own: source it, then check NAME CONDITION... and, at the end, exit by $failures.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
failures=0

check() {  # check NAME CONDITION...
  local name=$1
  shift
  "$@" && return
  failures=$((failures + 1))
  echo "FAILED: $name"
}
equals() { [[ "$1" == "$2" ]] || { echo "  '$1' is not '$2'"; return 1; }; }
