"""Two images compared by exact boots in pairs: 0.1 ms is found and named, a file that nobody reads is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.boots, pytest.mark.builds]
HARNESS = Path(sys.executable).with_name("harness")
MORE = """services:
  - name: hello
    image: busybox
    command: ["/bin/sh", "-c", "{work}echo hello; exec sleep 100000"]
    annotations: {{harness.health: "log:hello"}}
"""
LOOP = "i=0; while [ $i -lt {turns} ]; do i=$((i+1)); done; "
BASE = """kernel: {image: kernel, cmdline: "quiet cryptomgr.notests"}
init: [init]
"""


def compared(folder: Path, before: str, after: str, code: int) -> dict[str, Any]:
    for name, text in (("old", before), ("new", after)):
        (folder / f"{name}.yml").write_text(text)
    argv = [str(HARNESS), "compare", "old.yml", "new.yml", "-m", "qemu-arm64", "--json"]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    return dict(cell)


def image(turns: int = 0, more: str = "") -> str:
    return BASE + MORE.format(work=LOOP.format(turns=turns)) + more


def test_equal_boots_are_the_same_at_once(tmp_path: Path) -> None:
    found = compared(tmp_path, image(), image(), 0)
    assert (found["answer"], found["paired"], found["causes"]) == ("same", None, [])
    assert found["sentence"] == "new.yml boots as old.yml does, to the microsecond."


def test_a_tenth_of_a_millisecond_in_one_service_is_found_and_named(tmp_path: Path) -> None:
    found = compared(tmp_path, image(200), image(207), 1)
    cost = found["paired"]["mean_us"]
    assert found["culprit"] == "services/hello"
    (cause,) = [one for one in found["causes"] if one["owner"] == "services/hello"]
    assert 50 < cost < 500 and abs(cause["us"] - cost) < 0.2 * cost
    assert found["answer"] == "worse" and found["paired"]["certain"]


def test_what_a_service_does_after_it_is_healthy_makes_nothing_slower(tmp_path: Path) -> None:
    later = image().replace("echo hello; ", "echo hello; " + LOOP.format(turns=3000))
    found = compared(tmp_path, image(), later, 0)
    assert (found["answer"], found["culprit"]) == ("same", None)


@pytest.mark.parametrize(
    "more",
    ["files: [{path: etc/notes, contents: " + "abcdefghijkl" * 1000 + "}]\n", "files: [{path: etc/x, contents: y}]\n"],
)
def test_a_file_that_nobody_reads_makes_nothing_slower(tmp_path: Path, more: str) -> None:
    found = compared(tmp_path, image(), image(more=more), 0)
    assert (found["answer"], found["culprit"]) == ("same", None)


def test_a_word_on_the_command_line_is_named_before_any_figure(tmp_path: Path) -> None:
    slow = image().replace("cryptomgr.notests", "cryptomgr.notests slub_debug=FZP")
    found = compared(tmp_path, image(), slow, 1)
    assert found["differ"].startswith("cmdline: ") and "slub_debug=FZP" in found["differ"]
    assert found["paired"]["mean_us"] > 50_000
