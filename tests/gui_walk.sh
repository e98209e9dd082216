#!/usr/bin/env bash
# Walks through the real window under Xvfb with a window manager, as a user would with keys and mouse, and keeps a
# screenshot of each stop. It fails if the window ends, or if two stops that must differ look the same.
#
#   tests/gui_walk.sh build/release/gui/shardscope-gui run.db [FOLDER]     # screenshots into FOLDER (build/walk)
set -euo pipefail

window="$(realpath "$1")" profile="$(realpath "$2")"
out="$(mkdir -p "${3:-build/walk}" && realpath "${3:-build/walk}")"
for tool in Xvfb openbox xdotool import; do
  command -v "$tool" >/dev/null || { echo "gui_walk: SKIPPED: no $tool (packages xvfb openbox xdotool imagemagick)"; exit 77; }
done

export XDG_CONFIG_HOME="$out/config" XDG_DATA_HOME="$out/data" QT_QPA_PLATFORM=xcb LC_ALL=C.UTF-8
rm -rf "$out"/*.png "$XDG_CONFIG_HOME" "$XDG_DATA_HOME"
display_file="$(mktemp)"
Xvfb -displayfd 3 -screen 0 1400x900x24 3>"$display_file" 2>/dev/null &
server=$!
for _ in $(seq 50); do [[ -s $display_file ]] && break; sleep 0.1; done
DISPLAY=":$(cat "$display_file")" && export DISPLAY
openbox 2>/dev/null &
manager=$!
sleep 1  # until windows can be activated
program=""
cleanup() { kill ${program:+"$program"} "$manager" "$server" 2>/dev/null || true; rm -f "$display_file"; }
trap cleanup EXIT

start() { "$window" --size 1360x840 --theme "${theme:-light}" "$@" 2>"$out/stderr" & program=$!
  id="$(timeout 20 xdotool search --sync --onlyvisible --pid "$program" --name Shardscope | head -n 1)"
  xdotool windowactivate --sync "$id"; sleep 1.2; }
stop() { kill "$program"; wait "$program" 2>/dev/null || true; program=""; }
shot() {
  sleep 0.6
  kill -0 "$program" 2>/dev/null || { echo "gui_walk: the window ended before $1"; cat "$out/stderr"; exit 1; }
  import -window "$id" "$out/$1.png"
  echo "gui_walk: $1"
}
keys() { local key; for key in "$@"; do xdotool key --window "$id" "$key"; sleep 0.12; done; }
# A dialog takes the keys that are pressed, not those sent to the window; and what was held down for its shortcut is let
# go first, or letters become shortcuts.
let_go() { xdotool keyup ctrl keyup shift keyup p; sleep 0.2; }
# dialog KEY NAME: a picture of the whole screen with what the key opens, which Escape closes again.
dialog() {
  xdotool key --window "$id" "$1"; sleep 1; import -window root "$out/$2.png"; echo "gui_walk: $2"
  let_go; xdotool key Escape; sleep 0.5
  [[ $(xdotool getactivewindow) == "$id" ]] || { echo "gui_walk: Escape leaves $2 open"; exit 1; }
}
palette() {
  xdotool key ctrl+shift+p; sleep 0.8
  let_go
  xdotool type --delay 60 "$1"; sleep 0.5
}
click() { xdotool mousemove --window "$id" "$1" "$2" click "${3:-1}"; }
drag() { xdotool mousemove --window "$id" "$1" "$2" mousedown 1; sleep 0.1
  xdotool mousemove --window "$id" "$(((${1} + ${3}) / 2))" "$2" mousemove --window "$id" "$3" "$4"; sleep 0.1; xdotool mouseup 1; }
differ() { if cmp -s "$out/$1.png" "$out/$2.png"; then echo "gui_walk: $1 and $2 look the same"; exit 1; fi; }

start
shot 01-start
stop
start "$profile"
shot 02-overview
keys 2
shot 03-timeline
differ 02-overview 03-timeline
xdotool mousemove --window "$id" 700 300
keys w w w
shot 04-zoomed
differ 03-timeline 04-zoomed
keys d d
shot 05-panned
differ 04-zoomed 05-panned
for _ in 1 2 3 4 5 6; do xdotool mousemove --window "$id" 700 300 keydown ctrl click 4 keyup ctrl; done
shot 06-wheel
click 700 300
shot 07-selected
keys period period
shot 08-next
drag 500 270 900 380
shot 09-area
differ 08-next 09-area
keys Escape Escape 0
shot 10-whole
keys slash
xdotool type --window "$id" 'adam rank:0'
keys Return
shot 11-search
keys Return Return
shot 12-hit
keys Escape Escape Escape
dialog ctrl+shift+p 13-palette
palette dark
import -window root "$out/13-palette-typed.png"
xdotool key Return; sleep 0.6
shot 13-palette-ran
differ 10-whole 13-palette-ran
palette dark
xdotool key Return; sleep 0.6
keys shift+Right shift+Right
shot 14-step
differ 10-whole 14-step
dialog question 15-keys
keys b b b
shot 16-undone
for view in 3-memory 4-compare 5-waterfall 6-scatter 7-plan; do
  keys "${view%%-*}"; sleep 0.8
  shot "2$view"
done
differ 23-memory 24-compare
keys 4 m; sleep 1
shot 28-stages
differ 24-compare 28-stages
keys m; sleep 4
shot 29-stages-predicted
differ 28-stages 29-stages-predicted
keys m 3
click 500 180
shot 30-memory-cursor
differ 23-memory 30-memory-cursor
keys 2 shift+Right
click 700 238  # an op of the middle of the step
for tab in op:126 rank:190 collectives:270 memory:352 flame:419 details:482 notes:612; do  # where the tables' tabs are
  click "${tab#*:}" 636
  shot "31-table-${tab%:*}"
done
differ 31-table-op 31-table-rank
differ 24-compare 25-waterfall
stop
theme=dark start --view timeline "$profile"
xdotool mousemove --window "$id" 700 300
keys w w w w w w w w
shot 17-dark
xdotool mousemove --window "$id" 700 300
shot 18-hover
stop
printf 'not a profile\n' >"$out/bad.db"
start "$out/bad.db"
shot 19-bad-file
stop
echo "gui_walk: every stop is in $out"
