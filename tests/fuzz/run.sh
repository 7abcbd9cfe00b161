#!/bin/sh
# Fuzzes one target with libFuzzer, under AddressSanitizer and UndefinedBehaviorSanitizer:
#     sh tests/fuzz/run.sh idl_generated             600 seconds, 64 bits
#     sh tests/fuzz/run.sh vogl_gles2 60 32          60 seconds, in a program of 32 bits
# What it tries starts from tests/fuzz/corpus/TARGET and is kept in .build/fuzz-BITS/corpus/TARGET; a finding is a
# file in .build/fuzz-BITS/found/TARGET (fuzz_TARGET FILE runs it again). Exit status: 0 nothing found, 2 no such
# target (those of a guest kernel and a hypervisor are there for 64 bits only, as these are), 3 no clang that can, else
# libFuzzer's.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
target=${1:?usage: sh tests/fuzz/run.sh TARGET [SECONDS [BITS]]}
seconds=${2:-600}
bits=${3:-64}
build="$root/.build/fuzz-$bits"
python="$root/.venv/bin/python"
[ -x "$python" ] || python=$(command -v python3)

# What a process of a VM can be is built for both widths; the same list is in fuzz.cmake.
only_64=' app_messages descriptors events hypercalls info journal pipes ports rpq_admin '
there=''
for source in "$root"/tests/fuzz/*.cpp; do
    name=$(basename "$source" .cpp)
    case "$bits$only_64" in 32*" $name "*) ;; *) there="$there $name" ;; esac
done
case "$there " in
    *" $target "*) ;;
    *) echo "no target $target for $bits bits; there are:$there"; exit 2 ;;
esac
mkdir -p "$build/corpus/$target" "$build/found/$target"
printf '#include <cstddef>\n#include <vector>\nextern "C" int LLVMFuzzerTestOneInput(const unsigned char*, std::size_t) { return 0; }\n' \
    >"$build/probe.cpp"
if ! clang++ "-m$bits" -fsanitize=fuzzer,address,undefined "$build/probe.cpp" -o "$build/probe" >/dev/null 2>&1; then
    echo "no clang++ with libFuzzer for $bits bits (Debian: clang libclang-rt-14-dev, for 32 bits g++-multilib)"
    exit 3
fi

if [ ! -f "$build/build.ninja" ]; then
    flags=''
    [ "$bits" = 32 ] && flags=-DHYPLINK_APP_SIDE=ON
    # shellcheck disable=SC2086  # none or one
    cmake -S "$root" -B "$build" -G Ninja -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ \
        "-DCMAKE_C_FLAGS=-m$bits" "-DCMAKE_CXX_FLAGS=-m$bits" "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -g1" \
        -DHYPLINK_FUZZ=ON -DHYPLINK_SANITIZE=address,undefined -DHYPLINK_PYTHON=OFF \
        "-DPython_EXECUTABLE=$python" "-DPython3_EXECUTABLE=$python" $flags ||
        { rm -f "$build/build.ninja"; exit 1; }
fi
cmake --build "$build" --target "fuzz_$target"
exec "$build/tests/fuzz/fuzz_$target" "-max_total_time=$seconds" -max_len=4096 -timeout=30 -rss_limit_mb=3000 \
    -print_final_stats=1 "-artifact_prefix=$build/found/$target/" "$build/corpus/$target" \
    "$root/tests/fuzz/corpus/$target"
