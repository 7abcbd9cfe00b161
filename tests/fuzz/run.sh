#!/bin/sh
# Fuzzes one target with libFuzzer, under AddressSanitizer and UndefinedBehaviorSanitizer:
#     sh tests/fuzz/run.sh idl_generated             600 seconds, 64 bits
#     sh tests/fuzz/run.sh vogl_gles2 60 32          60 seconds, in a program of 32 bits
# What it tries starts from tests/fuzz/corpus/TARGET and is kept in .build/fuzz-BITS/corpus/TARGET; a finding is a
# file in .build/fuzz-BITS/found/TARGET (fuzz_TARGET FILE runs it again). Exit status: 0 nothing found, 2 no such
# target, 3 no clang that can, else libFuzzer's. For 32 bits the guest kernels and the hypervisor of a target have 32
# bits, too, which they never have otherwise: it is the applications beside them that are of interest.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
target=${1:?usage: sh tests/fuzz/run.sh TARGET [SECONDS [BITS]]}
seconds=${2:-600}
bits=${3:-64}
build="$root/.build/fuzz-$bits"
python="$root/.venv/bin/python"
[ -x "$python" ] || python=$(command -v python3)

there=''
for source in "$root"/tests/fuzz/*.cpp; do
    name=$(basename "$source" .cpp)
    there="$there $name"
done
case "$there " in
    *" $target "*) ;;
    *) echo "no target $target; there are:$there"; exit 2 ;;
esac
mkdir -p "$build/corpus/$target" "$build/found/$target"
printf '#include <cstddef>\n#include <vector>\nextern "C" int LLVMFuzzerTestOneInput(const unsigned char*, std::size_t) { return 0; }\n' \
    >"$build/probe.cpp"
if ! clang++ "-m$bits" -fsanitize=fuzzer,address,undefined "$build/probe.cpp" -o "$build/probe" >/dev/null 2>&1; then
    echo "no clang++ with libFuzzer for $bits bits (Debian: clang libclang-rt-14-dev, for 32 bits g++-multilib)"
    exit 3
fi

# An older tree for 32 bits had no guest kernels in it.
if [ ! -f "$build/build.ninja" ] || grep -qs '^HYPLINK_APP_SIDE:BOOL=ON$' "$build/CMakeCache.txt"; then
    cmake -S "$root" -B "$build" -G Ninja -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ \
        "-DCMAKE_C_FLAGS=-m$bits" "-DCMAKE_CXX_FLAGS=-m$bits" "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -g1" \
        -DHYPLINK_FUZZ=ON -DHYPLINK_SANITIZE=address,undefined -DHYPLINK_PYTHON=OFF \
        "-DPython_EXECUTABLE=$python" "-DPython3_EXECUTABLE=$python" -DHYPLINK_APP_SIDE=OFF ||
        { rm -f "$build/build.ninja"; exit 1; }
fi
cmake --build "$build" --target "fuzz_$target"
exec "$build/tests/fuzz/fuzz_$target" "-max_total_time=$seconds" -max_len=4096 -timeout=30 -rss_limit_mb=3000 \
    -print_final_stats=1 "-artifact_prefix=$build/found/$target/" "$build/corpus/$target" \
    "$root/tests/fuzz/corpus/$target"
