#!/bin/sh
# Builds the peers that this machine has, into .build/peers; says which are absent and how to get them. Opt-in: nothing
# else needs them. Then: .venv/bin/python tests/perf/peers/perf_peers.py
set -u
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
root=$(CDPATH='' cd -- "$here/../../.." && pwd -P)
out=$root/.build/peers
mkdir -p "$out/gen"
cxx="${CXX:-c++} -std=c++20 -O2 -I$here -I$out/gen -I$root/src/cpp"

absent() { printf '%s: absent (%s)\n' "$1" "$2"; rm -f "$out/peer_$1"; }
built() { printf '%s: built\n' "$1"; }

if command -v grpc_cpp_plugin >/dev/null && command -v protoc >/dev/null; then
    protoc -I"$here" --cpp_out="$out/gen" --grpc_out="$out/gen" --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)" \
        "$here/peer.proto" &&
        $cxx "$here/peer_grpc.cpp" "$out/gen/peer.pb.cc" "$out/gen/peer.grpc.pb.cc" -o "$out/peer_grpc" \
            -Wl,--copy-dt-needed-entries -lgrpc++ -lprotobuf -lpthread && built grpc || absent grpc 'it does not build'
else
    absent grpc 'Debian: libgrpc++-dev protobuf-compiler-grpc'
fi
if command -v capnp >/dev/null; then
    capnp compile -I"$here" --src-prefix="$here" -oc++:"$out/gen" "$here/peer.capnp" &&
        $cxx "$here/peer_capnp.cpp" "$out/gen/peer.capnp.c++" -o "$out/peer_capnp" \
            -lcapnp-rpc -lcapnp -lkj-async -lkj -lpthread && built capnp || absent capnp 'it does not build'
else
    absent capnp 'Debian: capnproto libcapnp-dev'
fi
if command -v iox-roudi >/dev/null; then
    $cxx -I"$(ls -d /usr/include/iceoryx/v* | tail -n 1)" "$here/peer_iceoryx.cpp" -o "$out/peer_iceoryx" \
        -liceoryx_posh -liceoryx_hoofs -liceoryx_platform -lpthread && built iceoryx || absent iceoryx 'it does not build'
else
    absent iceoryx 'Debian: iceoryx libiceoryx-posh-dev'
fi
if command -v cargo >/dev/null; then
    cargo build --release --quiet --manifest-path "$here/iceoryx2/Cargo.toml" --target-dir "$out/cargo" &&
        cp "$out/cargo/release/peer_iceoryx2" "$out/" && built iceoryx2 || absent iceoryx2 'it does not build'
else
    absent iceoryx2 'cargo'
fi
