"""An image that switches itself off when its work is done, and what its containers say on the console."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.image import Image

END = Path(__file__).with_name("end.yml")
HARNESS = str(Path(sys.executable).with_name("harness"))


@pytest.fixture(scope="module")
def lines(built: Callable[[Path], Image], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The console's lines, of a boot that `harness boot` has found to be good."""
    folder = tmp_path_factory.mktemp("end")
    out, data = folder / "out", folder / "data"
    data.write_text('{"folder": {"entries": {"file": {"content": "of a file"}}}}\n')
    argv = [HARNESS, "boot", str(built(END).folder), "-m", "qemu-arm64", "-o", str(out), "--data", str(data)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "it switched itself off, as its YAML expects"
    text = (out / "transcript.txt").read_text()
    return [line.partition(" | ")[2] for line in text.splitlines() if " | " in line]


def test_what_containers_say_is_on_the_console(lines: list[str]) -> None:
    said = [line for line in lines if line.startswith(("onboot/", "onshutdown/"))]
    assert said == [
        "onboot/metadata: from CDROM /dev/vda",
        'onboot/given: {"folder": {"entries": {"file": {"content": "of a file"}}}}',
        "onboot/given: of a file",
        "onboot/work: work is done",
        "onboot/work: a[2Jb -n \\n",
        "onboot/work:   no line end",
        "onshutdown/last: so long",
    ]


def test_nothing_comes_after_who_switches_off(lines: list[str]) -> None:
    marks = [line.partition("harness: ")[2] for line in lines if "harness: " in line]
    after = marks[marks.index("onboot/poweroff start") + 1 :]
    assert after == ["shutdown", "onshutdown/last start", "onshutdown/last done", "off"]
