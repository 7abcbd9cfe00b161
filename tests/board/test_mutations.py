"""Whatever the source is, it loads or it raises ``BoardError``, never anything else."""

from __future__ import annotations

import random

import pytest

import hyplink.board
from hyplink.errors import BoardError

TEXT = """/* board */
#include <hyplink/vdt.h>
#define SIZE(x) <0 x 0x4000>
#ifdef SIZE
&invalid_region { reg = <0 0xd0000000 0x4000000>; };
#endif
&vm2_vdevs {
    be: vogl@be { compatible = "vogl"; info = "vrpq-pmem=2M", ",vrpq-reqs=4K"; server; };
    p: vbpipe@be { compatible = "vbpipe"; info = "a;8K;3;name=x"; };
};
&vm3_vdevs { fe { peer-phandle = <&be>; client; }; /delete-node/ gone; };
&vm4_vdevs { pe { peer-phandle = <&p>; }; };
/delete-node/ &{/vlm/vms/vm@9};
&vm2_vplatform {
    vl,io-memory@d { compatible = "vl,io-memory"; reg = SIZE((0xd0000000 + (1 << 14)));
        ipa-base = <0x800000000>; vl,attributes = <VDT_S2PTE_UPPER_MEM VDT_S2PTE_LOWER_MEM>; };
    m { compatible = "vl,vm-memory"; vl,vm-id = <3>; x = [00 ff], <'a'>; };
};
"""
SCRAPS = [
    *"{}<>;:=&/\\\"'#()[],@-~ \n\t\0é",
    *["/*", "//", "&be", "<&", "};", "/ {", "/dts-v1/;", "/plugin/;", "/bits/ 64", "/incbin/"],
    *[
        "\n#if (1 << 99999999999)\n",
        "#if",
        "#endif\n",
        "\n#define ",
        "\n#include ",
        "\n#if 1/0\n",
        "\n#else\n",
        '\n# 7 "x"\n',
    ],
    *["0xffffffffffffffffff", "9" * 5000, "(1 << 99999999999)", "- 1", "SIZE(", "&{/}"],
    *["/delete-node/ &{/};", "/delete-property/ x;", "/memreserve/", "/omit-if-no-ref/ ", "lbl:"],
    *["phandle = <1>;", 'status = "off";', "server;", "reg = <0 1 2>;", "#address-cells = <9>;"],
]


def mutated(seed: int) -> str:
    rng = random.Random(seed)
    text = TEXT
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(text))
        end = min(len(text), at + rng.choice([0, 0, 1, 1, 5, 40]))
        kind = rng.randrange(3)
        if kind == 0:
            text = text[:at] + text[end:]
        elif kind == 1:
            text = text[:at] + rng.choice(SCRAPS) + text[end:]
        else:
            other = rng.randrange(len(text))
            text = text[:at] + text[other : other + 30] + text[end:]
    return text


def load_or_refuse(source: str | bytes) -> None:
    board, findings = hyplink.board.check(source)
    if board is None:
        with pytest.raises(BoardError, match="error"):
            hyplink.board.load(source)
        assert findings.errors
    else:
        board.to_spec()
        hyplink.board.draw_svg(board)


def test_the_text_itself_is_a_board() -> None:
    assert len(hyplink.board.load(TEXT).links) == 3


@pytest.mark.parametrize("block", range(10))
def test_a_mutated_text_loads_or_is_refused(block: int) -> None:
    for seed in range(block * 40, block * 40 + 40):
        load_or_refuse(mutated(seed))


@pytest.mark.parametrize("block", range(5))
def test_a_mutated_compiled_tree_loads_or_is_refused(block: int) -> None:
    data = hyplink.board.to_dtb(TEXT)
    rng = random.Random(block)
    for _ in range(60):
        broken = bytearray(data)
        for _ in range(rng.randint(1, 6)):
            broken[rng.randrange(len(broken))] = rng.choice([0, 1, 3, 0x7F, 0xFF])
        load_or_refuse(bytes(broken[: rng.choice([len(broken), rng.randrange(4, len(broken))])]))


@pytest.mark.parametrize(
    "text",
    [
        "&vm2 { x = <(" + "(" * 3000 + ">; };",
        "&vm2 { x = <" + "1" * 6000 + ">; };",
        "#define A(x) A2(x)\n#define A2(x) A(x)\n&vm2 { x = A(1); };",
        "/delete-node/ &{/};",
        "/ { };" * 3,
        "#include\n&vm2 { };",
        '#include "/"\n&vm2 { };',
        "#if (\n#endif\n&vm2 { };",
        "#if (1 << 99999999999)\n#endif\n&vm2 { };",
        "#define N 99999999999\n#if 1 << N\n#endif\n&vm2 { };",
        "#if 1 <\\\n< 99999999999\n#endif\n&vm2 { };",
        "&vm2 { x = <(1 << 99999999999)>; };",
        "&{vm} { };",
        "/ { aliases { A_B = &vm2; }; };",
        "&vm2 { phandle = <&vm3>; };",
        "&vm2 { phandle = <1>; }; &vm3 { phandle = <1>; };",
        "&vm2 { phandle = <0>; };",
        "\ud800{",
    ],
)
def test_known_traps_are_refused_or_loaded(text: str) -> None:
    load_or_refuse(text)
