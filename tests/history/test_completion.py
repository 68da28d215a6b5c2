"""What the shell completes: names of all kinds, and the runs of the history without loading what opens it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from runs import cell, results

from harness import options, paths
from harness.build import outputs
from harness.cli import completion
from harness.commands.images.schema import SCHEMAS
from harness.history import History
from harness.spec.rules.images import shipped

HEAVY = ("sqlalchemy", "pydantic", "yaml", "rich", "pytest", "asyncio")


def offered(text: str, folder: Path | None = None) -> list[str]:
    """Return what the shell is told for the last word of a line."""
    env = {**os.environ, "_HARNESS_COMPLETE": "bash_complete", "COMP_WORDS": text, "COMP_CWORD": str(text.count(" "))}
    code = "from harness.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=folder, capture_output=True, text=True, check=False
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("harness boot def", ["default"]),
        ("harness boot minimal -m qemu-s", ["qemu-s390x"]),
        ("harness build --arch aar", ["aarch64"]),
        ("harness library sh", ["show"]),
        ("harness machine l", ["list"]),
        ("harness certify minimal -p har", ["hardened"]),
        ("harness add ngin", ["nginx"]),
        ("harness build mine.yml+def", ["mine.yml+default"]),
        ("harness matrix ni", ["nightly.yml"]),
        ("harness help cert", ["certify"]),
        ("harness ver", ["verify", "version"]),
        ("harness baseline accept late", ["latest"]),
        ("harness compare late", ["latest", "latest-baseline"]),
        ("harness schema wai", ["waivers"]),
        ("harness boot minimal --format is", ["iso"]),
        ("harness init --ci git", ["github", "gitlab"]),
    ],
)
def test_words_are_offered(line: str, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "nightly.yml").touch()
    (tmp_path / "mine.yml").touch()
    assert sorted(offered(line, tmp_path)) == words


def test_every_kind_of_word_is_known() -> None:
    kinds = {row.completes for row in options.OPTIONS} - {"", "files", "plans", "commands"}
    assert kinds == set(completion._NAMES)
    assert completion._NAMES["images"]() == list(shipped())
    assert completion._NAMES["formats"]() == outputs.names()
    assert set(completion._NAMES["kinds"]()) == set(SCHEMAS)
    assert {path.stem for path in paths.MACHINES.glob("*.yml")} == set(completion._NAMES["machines"]())


def test_runs_are_those_of_the_history_newest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "a b.db"
    monkeypatch.setenv("HARNESS_HISTORY", str(place))
    assert completion._runs() == []
    assert not place.exists()
    with History.open(str(place)) as opened:
        for number in (1, 2, 3):
            opened.add(results(number, cell()))
        known = [head.run for head in reversed(opened.runs(20))]
    assert completion._runs() == known and len(known) == 3
    monkeypatch.setenv("HARNESS_HISTORY", "postgresql://nobody@nowhere/x")
    assert completion._runs() == []


def test_completion_loads_nothing_heavy() -> None:
    code = (
        "import sys; from harness import options; from harness.cli import completion\n"
        "for row in options.OPTIONS: completion.complete(row, 'a')\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell: str) -> None:
    code = "from harness.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "completion", shell], capture_output=True, text=True, check=True)
    assert "_HARNESS_COMPLETE" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("harness boot minimal -m qemu-s", "qemu-s390x"),
        ("harness machine ch", "check"),
        ("harness history images/m", "images/minimal.yml"),
    ],
)
def test_a_real_bash_completes(typed: str, words: str, tmp_path: Path) -> None:
    place = tmp_path / "history.db"
    with History.open(str(place)) as history:
        history.add(results(1, cell()))
    program = tmp_path / "harness"
    program.write_text(f"#!{sys.executable}\nfrom harness.cli import main\nmain()\n")
    program.chmod(0o755)
    script = f"""eval "$(harness completion bash)"
        COMP_WORDS=({typed}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _harness_completion harness
        printf '%s\\n' "${{COMPREPLY[@]}}" """
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "HARNESS_HISTORY": str(place)}
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"{words}\n", "")
