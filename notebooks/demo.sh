#!/bin/sh
# Sets everything up and runs the demo; arguments go to `hyplink demo`. Standard output is the demo's alone.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
sh "$root/.config/setup.sh" run
cd "$root"
exec .venv/bin/hyplink demo "$@"
