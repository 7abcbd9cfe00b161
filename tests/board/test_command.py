"""``hyplink board check`` and ``show``: output, exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hyplink.board.cli import main

BAD = Path(__file__).parent / "bad"


def test_check_says_ok_and_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "vogl", "vbpipe"]) == 0
    assert capsys.readouterr().out == "vogl: ok, 2 VMs, 1 links\nvbpipe: ok, 2 VMs, 2 links\n"


def test_check_reports_all_files_and_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(BAD / "two_servers.dts"), "vogl", str(BAD / "syntax_error.dts")]
    assert main(["check", *files]) == 1
    out = capsys.readouterr().out
    assert "BOARD0036" in out
    assert "vogl: ok" in out
    assert out.endswith("syntax_error.dts: 6 errors\n")


def test_check_gives_json_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json", str(BAD / "two_servers.dts"), "vogl"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False
    assert [board["ok"] for board in found["boards"]] == [False, True]
    finding = found["boards"][0]["diagnostics"][0]
    assert (finding["code"], finding["line"], finding["column"]) == ("BOARD0036", 5, 39)


def test_show_draws_text_json_and_svg(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["show", "vogl"]) == 0
    assert "vogl0  VM 2 server ──── client VM 3" in capsys.readouterr().out
    assert main(["show", "vogl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["links"][0][0] == "vogl"
    picture = tmp_path / "vogl.svg"
    assert main(["show", "vogl", "--svg", str(picture)]) == 0
    assert picture.read_text(encoding="utf-8").startswith("<svg")


def test_show_of_a_bad_board_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(BAD / "two_servers.dts")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "BOARD0036" in captured.err


def test_platform_trees_and_include_directories_are_options(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "three.h").write_text("#define THREE 3\n", encoding="utf-8")
    platform = tmp_path / "vm2.dts"
    platform.write_text(
        '#include <three.h>\n/ { m { compatible = "vl,vm-memory"; vl,vm-id = <THREE>; }; };\n',
        encoding="utf-8",
    )
    assert main(["show", "vogl", "-I", str(tmp_path), "--vplatform", f"2={platform}"]) == 0
    assert "VM 3 ───> VM 2" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [[], ["check"], ["check", "--vplatform", "x", "vogl"], ["draw"]])
def test_wrong_usage_ends_with_2(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(wrong)
    assert error.value.code == 2
    assert "usage: hyplink board" in capsys.readouterr().err


def test_the_module_can_be_run() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hyplink.board", "check", "vogl"], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
