#!/bin/sh
# Makes a checkout runnable, from whatever state it is in:
#     sh .config/setup.sh run      what notebooks/demo.sh needs
#     sh .config/setup.sh test     also the development tools and the check programs
# Nothing on standard output; progress on standard error. Each step looks first and does nothing when there is
# nothing to do, so the second time takes about a second and needs no network.
#
# Environment:
#     HYPLINK_PYTHON      the Python to make .venv with (default: the first good one)
#     HYPLINK_SANITIZE    address,undefined or thread: builds into its own directory beside the normal one
#     HYPLINK_JOBS        compilations at a time (default: processors)
set -eu
exec 1>&2 # whatever a tool prints, standard output stays the caller's

profile=${1:-run}
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cd "$root"
venv="$root/.venv"
jobs=${HYPLINK_JOBS:-$(nproc)}
sanitize=${HYPLINK_SANITIZE:-}

say() { printf 'hyplink setup: %s\n' "$*"; }
fail() { say "$*"; exit 3; }

# --- Debian packages: only those whose purpose is not already served --------------------------------------------------

# Can this Python make a virtual environment and compile an extension module?
python_is_good() {
    "$1" -c 'import sys, sysconfig, os, venv, ensurepip
include = sysconfig.get_path("include")
sys.exit(sys.version_info < (3, 11) or not os.path.exists(os.path.join(include, "Python.h")))' 2>/dev/null
}
find_python() {
    for python in ${HYPLINK_PYTHON:+"$HYPLINK_PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if python_is_good "$python"; then return 0; fi
    done
    python=''
    return 1
}
boost_is_there() {
    printf '#include <boost/interprocess/mapped_region.hpp>\n' | ${CXX:-c++} -x c++ -E - >/dev/null 2>&1
}

packages=''
command -v "${CXX:-c++}" >/dev/null 2>&1 || packages="$packages g++"
command -v cmake >/dev/null 2>&1 || packages="$packages cmake"
command -v ninja >/dev/null 2>&1 || packages="$packages ninja-build"
[ -e /usr/include/boost/interprocess/mapped_region.hpp ] || boost_is_there || packages="$packages libboost-dev"
# An existing .venv settles the question of Python; it is judged below.
[ -x "$venv/bin/python" ] || find_python || packages="$packages python3 python3-venv python3-dev"

# vOGL is built where the headers are, and tested where Mesa can draw without a screen.
if [ "$profile" = test ]; then
    [ -e /usr/include/GLES2/gl2.h ] || packages="$packages libgles-dev"
    [ -e /usr/include/EGL/egl.h ] || packages="$packages libegl-dev"
    # `hyplink dev mount` is built where libfuse is; what it is tested with. Without it, it says so.
    [ -e /usr/include/fuse3/fuse_lowlevel.h ] || packages="$packages libfuse3-dev"
    command -v fusermount3 >/dev/null 2>&1 || packages="$packages fuse3"
    command -v socat >/dev/null 2>&1 || packages="$packages socat"
    ldconfig -p 2>/dev/null | grep -q libEGL_mesa || packages="$packages libegl1 libgles2 libegl-mesa0 libgl1-mesa-dri"
fi

if [ -n "$packages" ]; then
    say "installing Debian packages:$packages"
    if [ "$(id -u)" = 0 ]; then as_root=''
    elif command -v sudo >/dev/null 2>&1; then as_root='sudo'
    else fail "not root and no sudo. As root, run: apt-get install$packages"
    fi
    command -v apt-get >/dev/null 2>&1 || fail "no apt-get here. Install the equivalents of:$packages"
    # shellcheck disable=SC2086  # both are lists
    { $as_root apt-get update -q && $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends $packages; } || fail "apt-get failed; needed:$packages"
fi

# One setup at a time; a second one waits and then finds everything done.
mkdir -p .build
exec 9>.build/setup.lock
flock -n 9 || { say "waiting for another setup in this checkout"; flock 9; }

# --- The virtual environment -------------------------------------------------------------------------------------------

# Scripts in a virtual environment and a build tree hold absolute paths: a checkout that was moved or copied starts over.
if [ "$(cat .build/root 2>/dev/null || true)" != "$root" ] || ! "$venv/bin/python" -c '' 2>/dev/null; then
    find_python || fail "no Python 3.11 or later with venv and headers (Debian: python3-venv python3-dev)"
    say "creating .venv with $("$python" --version)"
    find .build -mindepth 1 -maxdepth 1 ! -name setup.lock -exec rm -rf {} +
    rm -rf "$venv"
    "$python" -m venv "$venv"
    printf '%s\n' "$root" >.build/root
fi
python="$venv/bin/python"
pip_install() { "$python" -m pip --disable-pip-version-check install "$@" || fail "pip could not install: $*"; }

# A stamp file remembers what a step was done for: done "name" "inputs" is true when nothing changed since.
done_for() { [ "$(cat ".build/$1.stamp" 2>/dev/null || true)" = "$2" ]; }
remember() { printf '%s\n' "$2" >".build/$1.stamp"; }

extras=''
[ "$profile" = test ] && extras='dev notebook'
wanted=$(cksum <pyproject.toml)
# The test set contains the run set.
if ! done_for requirements-test "$wanted" && { [ "$profile" = test ] || ! done_for requirements-run "$wanted"; }; then
    say "installing Python packages ($profile)"
    # shellcheck disable=SC2086  # a list
    "$python" - $extras >.build/requirements.txt <<'PYTHON'
import sys, tomllib
with open("pyproject.toml", "rb") as file:
    config = tomllib.load(file)
project = config["project"]
print(*config["build-system"]["requires"], *project["dependencies"], sep="\n")
for extra in sys.argv[1:]:
    print(*project["optional-dependencies"][extra], sep="\n")
PYTHON
    pip_install -q -r .build/requirements.txt
    remember "requirements-$profile" "$wanted"
fi

# --- The build ---------------------------------------------------------------------------------------------------------

# Warnings are errors with the compiler this is developed with; a newer one's new warnings shall not stop a demo.
# (One setting for both profiles: changing it would compile everything again.)
werror=OFF
case "$(${CXX:-c++} -dumpfullversion -dumpversion 2>/dev/null || true)" in 12.*) werror=ON ;; esac
[ "$profile" = test ] && werror=ON

site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')

if [ -z "$sanitize" ]; then
    build=.build/dev
    # The editable install writes the metadata, the command and the redirection to src/python; it also configures and
    # builds for the first time. It is repeated when what it read changed, which is not the C++ text.
    wanted="$(cksum pyproject.toml .config/setup.sh) $werror $(find src/python -name __init__.py | LC_ALL=C sort)"
    if ! done_for project "$wanted" || [ ! -f "$build/build.ninja" ]; then
        say "building hyplink (the first time takes minutes)"
        CMAKE_BUILD_PARALLEL_LEVEL=$jobs pip_install -v --no-deps --no-build-isolation --force-reinstall \
            --config-settings=build-dir="$build" \
            --config-settings=cmake.define.HYPLINK_WERROR="$werror" \
            --config-settings=cmake.define.HYPLINK_CHECKS=ON \
            --config-settings=cmake.define.HYPLINK_PERF=ON \
            --editable .
        remember project "$wanted"
    fi
else
    build=.build/$(printf %s "$sanitize" | tr ',' '-')
    if [ ! -f "$build/build.ninja" ]; then
        say "configuring $build"
        cmake -S . -B "$build" -G Ninja -DHYPLINK_SANITIZE="$sanitize" -DCMAKE_CXX_FLAGS_RELEASE=-O1 \
            -DHYPLINK_WERROR="$werror" -DHYPLINK_CHECKS=ON -DHYPLINK_PERF=ON \
            -DPython_EXECUTABLE="$python" -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" ||
            { rm -f "$build/build.ninja"; fail "cmake could not configure"; }
    fi
fi

# What a 32-bit application links, and the checks of it, where the compiler can or apt teaches it to; the tests of it
# are skipped elsewhere.
runs_32() {
    printf '#include <string>\nint main() { return 0; }\n' | ${CXX:-c++} -m32 -x c++ - -o .build/runs-32 2>/dev/null &&
        .build/runs-32
}
build_32() {
    if ! done_for multilib "$(uname -m)"; then
        case "$(uname -m)" in x86_64) runs_32 || install_multilib ;; esac
        remember multilib "$(uname -m)"
    fi
    runs_32 || { say "no 32-bit compiler (Debian: g++-multilib); its tests are skipped"; return 0; }
    if ! grep -qs '^CMAKE_C_FLAGS:[A-Z]*=-m32$' .build/m32/CMakeCache.txt || [ ! -f .build/m32/build.ninja ]; then
        say "configuring .build/m32"
        rm -rf .build/m32
        cmake -S . -B .build/m32 -G Ninja -DCMAKE_C_FLAGS=-m32 -DCMAKE_CXX_FLAGS=-m32 -DHYPLINK_APP_SIDE=ON -DHYPLINK_PYTHON=OFF \
            -DHYPLINK_WERROR="$werror" -DHYPLINK_CHECKS=ON ||
            { rm -f .build/m32/build.ninja; fail "cmake could not configure for 32 bits"; }
    fi
    cmake --build .build/m32 --parallel "$jobs" --target app_side || fail "the build for 32 bits failed"
}
install_multilib() {
    command -v apt-get >/dev/null 2>&1 || return 0
    if [ "$(id -u)" = 0 ]; then as_root=''
    elif sudo -n true 2>/dev/null; then as_root='sudo -n'
    else return 0
    fi
    say "installing a Debian package: g++-multilib"
    { $as_root apt-get update -q && $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends g++-multilib; } || say "apt-get failed"
}

targets=all
[ "$profile" = test ] && targets='all checks perfs'
# shellcheck disable=SC2086  # a list
cmake --build "$build" --parallel "$jobs" --target $targets || fail "the build failed"

if [ -z "$sanitize" ]; then
    if [ "$profile" = test ]; then build_32; fi
    # What pip did, without pip: an old pip may keep the previous compiled module, and any pip takes seconds.
    cmake --install "$build" --prefix "$site" >.build/install.log || fail "could not install into .venv"
else
    # A package directory of its own: the compiled parts were built into it, the Python parts are links.
    # sitecustomize takes out the redirection of the editable install, so that PYTHONPATH decides. It also brings the
    # sanitizer's runtime into every Python, which has to be there first, by starting that Python once more; every
    # other program is spared (a shell with ThreadSanitizer's runtime in it crashes).
    mkdir -p "$build/site/hyplink"
    find "$build/site/hyplink" -maxdepth 1 -type l -exec rm -f {} +
    find "$root/src/python/hyplink" -mindepth 1 -maxdepth 1 ! -name __pycache__ -exec ln -s {} "$build/site/hyplink/" \;
    ln -s "$root/src/cpp" "$build/site/hyplink/include" # for the tests that compile C programs
    cat >"$build/site/sitecustomize.py" <<'PYTHON'
import os, sys
runtimes = os.environ.get("HYPLINK_PRELOAD")
if runtimes and os.environ.pop("LD_PRELOAD", None) != runtimes:
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "LD_PRELOAD": runtimes})
sys.meta_path[:] = [f for f in sys.meta_path if type(f).__name__ != "ScikitBuildRedirectingFinder"]
PYTHON
fi
