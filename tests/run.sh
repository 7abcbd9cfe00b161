#!/bin/sh
# Sets everything up and runs the tests; arguments go to pytest.
#     sh tests/run.sh -k pipe
#     HYPLINK_SANITIZE=address,undefined sh tests/run.sh        (or thread)
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
sh "$root/.config/setup.sh" test
cd "$root"

sanitize=${HYPLINK_SANITIZE:-}
if [ -z "$sanitize" ]; then
    export HYPLINK_BUILD_DIR="$root/.build/dev"
    exec "$root/.venv/bin/python" -m pytest "$@"
fi

HYPLINK_BUILD_DIR="$root/.build/$(printf %s "$sanitize" | tr ',' '-')"
export HYPLINK_BUILD_DIR
export PYTHONPATH="$HYPLINK_BUILD_DIR/site${PYTHONPATH:+:$PYTHONPATH}"
# The interpreter is not instrumented, so the runtimes have to be there before it; see .config/setup.sh.
runtimes=''
for name in asan:address ubsan:undefined tsan:thread; do
    case ",$sanitize," in
    *,"${name#*:}",*) runtimes="$runtimes $(${CXX:-c++} -print-file-name="lib${name%:*}.so")" ;;
    esac
done
# Leaks: the interpreter keeps memory until it exits; the tests' own leak guard watches what matters.
export ASAN_OPTIONS="detect_leaks=0:handle_segv=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
export UBSAN_OPTIONS="print_stacktrace=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
export TSAN_OPTIONS="halt_on_error=1:suppressions=$root/.config/tsan.supp${TSAN_OPTIONS:+:$TSAN_OPTIONS}"
# Without address randomisation: ThreadSanitizer's fixed layout collides with it on recent kernels.
export HYPLINK_PRELOAD="${runtimes# }"
exec setarch "$(uname -m)" -R "$root/.venv/bin/python" -m pytest "$@"
