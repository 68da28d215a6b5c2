"""`harness history` and `harness baseline` as a person or a program meets them."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runs import cell, plain, results

from harness.cli import app
from harness.history import History
from harness.measure.floor import Floors

Run = Callable[..., subprocess.CompletedProcess[str]]
MAIN = [sys.executable, "-c", "from harness.cli import main; main()"]


@pytest.fixture
def harness(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in this process: a start costs as much as all that is tested here."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        with pytest.raises(SystemExit) as ended:
            app(list(words))
        said = capsys.readouterr()
        return subprocess.CompletedProcess(words, int(ended.value.code or 0), said.out, said.err)

    return run


@pytest.fixture(scope="module")
def twelve_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history of twelve runs of two cells; one got 6 ms slower with the tenth."""
    file = tmp_path_factory.mktemp("twelve") / "history.db"
    with History.open(str(file)) as history:
        for number in range(1, 13):
            slow = 6000 * (number >= 10)
            arm = cell(exact={"ready": 300_000 + slow, "services/web cpu": 9_000 + slow}, wall=5000.0 + (number == 12))
            history.add(results(number, arm, cell("qemu-s390x")))
    return file


@pytest.fixture
def where(twelve_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A copy of it, which the command uses."""
    file = str(shutil.copy(twelve_runs, tmp_path / "history.db"))
    monkeypatch.setenv("HARNESS_HISTORY", file)
    return file


def test_all_cells_at_a_glance(harness: Run, where: str) -> None:
    done = harness("history", "--last", "8")
    assert (done.returncode, done.stderr) == (0, "")
    changed, first, second = done.stdout.split("\n\n")
    assert changed.splitlines() == [
        "changes, newest first",
        "  2026-01-12 00000000 → 2026-01-13 00000000",
        "    images/minimal.yml on qemu-arm64: wall ready +1 ms +0.02 %",
        "      the image's YAML is the same; its packages are not recorded",
        "      commits 00000000..00000000: what lies between is not known here",
        "  2026-01-10 00000000 → 2026-01-11 00000000",
        "    images/minimal.yml on qemu-arm64: exact ready +6.000 ms +2.00 %; exact services/web cpu +6.000 …",
        "      the image's YAML is the same; its packages are not recorded",
        "      commits 00000000..00000000: what lies between is not known here",
    ]
    assert first.splitlines() == [
        "images/minimal.yml on qemu-arm64",
        "  exact ready             306.000 ms      =           ▁▁▁▁▁███  +6.000 ms +2.00 % 2026-01-10 000000…",
        "  exact total             400.000 ms      =           ▁▁▁▁▁▁▁▁",
        "  exact services/web cpu   15.000 ms      =           ▁▁▁▁▁███  +6.000 ms +66.67 % 2026-01-10 00000…",
        "  wall ready                 5001 ms  +1 ms  +0.02 %  ▁▁▁▁▁▁▁█  +1 ms +0.02 % 2026-01-12 00000000 →…",
        "  size total               10.000 MB      =           ▁▁▁▁▁▁▁▁",
    ]
    assert second.startswith("images/minimal.yml on qemu-s390x\n  exact ready")
    assert "\x1b" not in done.stdout


def test_one_cell_shows_every_figure_and_one_figure_its_runs(harness: Run, where: str) -> None:
    done = harness("history", "minimal", "-m", "qemu-arm64")
    assert [line.split()[:3] for line in done.stdout.partition("\n\n")[2].splitlines() if "cpu" in line] == [
        ["exact", "services/web", "cpu"]
    ]
    done = harness("history", "minimal", "-m", "qemu-arm64", "-f", "services/web cpu", "--last", "4")
    text = done.stdout
    assert "  9.000 ms  →  15.000 ms  +6.000 ms  +66.67 %  2026-01-10 00000000 → 2026-01-11 00000000" in text
    assert f"floor: {Floors(arch='arm64').of('services/web cpu', 15_000) / 1000:.3f} ms, not calibrated" in text
    assert [line.split()[-1] for line in text.partition("the last 4 runs\n")[2].splitlines()] == ["12", "11", "10", "9"]


@pytest.mark.slow
def test_what_the_encoding_lacks_is_written_otherwise(where: str) -> None:
    for words in ((), ("minimal", "-m", "qemu-arm64", "-f", "ready")):
        env = {**os.environ, "PYTHONIOENCODING": "ascii"}
        done = subprocess.run([*MAIN, "history", *words], env=env, capture_output=True, check=True)
        assert done.stderr == b"" and b"#" in done.stdout and done.stdout.isascii()


@pytest.mark.slow
def test_reading_loads_nothing_that_writes_or_boots(where: str) -> None:
    code = (
        "import sys; from harness.commands.runs import history as h; h.history([], h.HistoryRequest(), None); "
        "heavy = ('alembic', 'harness.launch', 'harness.spec', 'pydantic', 'rich'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_bug(where: str) -> None:
    with subprocess.Popen([*MAIN, "history"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert (process.wait(), process.stderr.read()) == (141, b"")


def test_programs_get_json(harness: Run, where: str) -> None:
    found = json.loads(harness("history", "-f", "ready", "--mode", "exact", "--last", "2", "--json").stdout)
    assert found["history"] == where
    arm, s390x = found["series"]
    assert (arm["runs"], len(arm["points"]), arm["unit"]) == (12, 2, "us")
    assert (arm["floor"], arm["calibrated"]) == (Floors(arch="arm64").of("ready", 306_000), False)
    assert s390x["changes"] == []
    found = json.loads(harness("history", "-f", "services/web cpu", "--json").stdout)
    (change,) = found["series"][0]["changes"]
    assert (change["before"], change["after"], change["subject"]) == (9000, 15000, "Change 10")
    assert (change["last_good"]["subject"], change["small_steps"]) == ("Change 9", False)
    runs = json.loads(harness("history", "--runs", "--last", "2", "--json").stdout)
    assert [run["subject"] for run in runs] == ["Change 11", "Change 12"]
    assert harness("history", "--runs", "--last", "1").stdout == "00000000  2026-01-13T00:00:00Z  00000000  Change 12\n"


def test_figures_with_another_key_are_said(harness: Run, where: str) -> None:
    with History.open(where) as history:
        history.add(results(20, key={"qemu": "8.2"}))
    text = harness("history", "-m", "qemu-arm64", "-f", "ready", "--mode", "exact").stdout
    assert "not here: 12 with another key, qemu: 7.2.22 → 8.2" in text
    text = harness("history", "-m", "qemu-arm64", "-f", "ready", "--mode", "exact", "--all-keys").stdout
    assert text.count("exact ready of images/minimal.yml") == 2
    assert "another key: qemu: 7.2.22 → 8.2" in harness("history", "-m", "qemu-arm64").stdout


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["nosuch"], "has no image nosuch\nwhat to do: it has: images/minimal.yml"),
        (["-m", "nosuch"], "has no machine nosuch\nwhat to do: it has: qemu-arm64, qemu-s390x"),
        (["-f", "raedy"], "has no figure raedy\nwhat to do: did you mean ready?"),
        (["-f", "kernel", "--mode", "wall"], "has nothing like that"),
        (["--mode", "fast"], "there is no mode fast\nwhat to do: one of: exact, wall, size"),
        (["minimal", "default"], "too many words: minimal default"),
        (["--history", "nosuch.db"], "there is no history yet: "),
        (["import"], "nothing to import"),
        (["import", "nosuch"], "cannot read nosuch: No such file or directory"),
        (["export", "no/such/file"], "cannot write no/such/file: No such file or directory"),
    ],
)
def test_what_is_not_there_is_said(harness: Run, where: str, words: list[str], why: str) -> None:
    done = harness("history", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr


def test_results_and_exports_are_taken_in(harness: Run, where: str, tmp_path: Path) -> None:
    file, other = tmp_path / "all.jsonl", str(tmp_path / "other.db")
    assert harness("history", "export", str(file)).stderr == f"12 lines in {file}\n"
    exported = harness("history", "export").stdout
    assert exported == file.read_text()
    for number in (20, 21):
        folder = tmp_path / "results" / str(number)
        folder.mkdir(parents=True)
        (folder / "results.json").write_text(json.dumps(plain(number), indent=1))
    single = tmp_path / "results/20/results.json"
    done = harness("history", "import", str(file), str(single), str(tmp_path / "results/20"), str(tmp_path / "results"),
                   "--history", other)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        f"{file}: 12 new, 0 known or empty",
        f"{single}: 1 new, 0 known or empty",
        f"{single}: 0 new, 1 known or empty",
        f"{single}: 0 new, 1 known or empty",
        f"{tmp_path}/results/21/results.json: 1 new, 0 known or empty",
    ]
    assert (
        harness("history", "import", "-", "--history", other, text=exported).stderr == "-: 0 new, 12 known or empty\n"
    )
    assert len(harness("history", "--runs", "--history", other).stdout.splitlines()) == 14


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("x.json", "{\n", "x.json: not JSON: "),
        ("x.json", "[" * 100_000, "x.json: not JSON that can be read: "),
        ("x.json", "[]\n", "x.json is not a results.json"),
        ("x.json", '{"cells": [{}]}', "x.json: not a run's results: cells.0.id: Field required"),
        ("x.jsonl", "{}\n", "x.jsonl:1: "),
        ("x", '{"kind": "run"}\n', "x:1: "),
        ("x", b"\xff\n", "x: not JSON: "),
    ],
)
def test_a_wrong_file_is_explained(harness: Run, where: str, tmp_path: Path, name: str, text: Any, why: str) -> None:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    done = harness("history", "import", str(tmp_path / name))
    assert done.returncode == 2, done.stderr
    assert why in done.stderr


def test_a_folder_without_results_is_explained(harness: Run, where: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "has no results.json" in harness("history", "import", str(tmp_path / "empty")).stderr


def test_a_run_is_accepted_with_a_reason(harness: Run, where: str) -> None:
    assert harness("baseline", "list").stdout == "no baselines yet\n"
    done = harness("baseline", "accept", "latest", "--reason", "release 1", "--machine", "qemu-arm64")
    assert done.stdout.splitlines()[1:] == ["  images/minimal.yml on qemu-arm64: 5 exact figures, 3 sizes"]
    harness("baseline", "accept", f"{9:032x}", "--reason", "as it was\x1b[2J", "--image", "minimal")
    newest, oldest = harness("baseline", "list").stdout.splitlines()
    assert newest.startswith("2  ") and newest.endswith("images/minimal.yml  as it was\\x1b[2J")
    assert oldest.startswith("1  ") and oldest.endswith("qemu-arm64          release 1")
    rows = json.loads(harness("baseline", "list", "--json").stdout)
    assert [(row["number"], row["run"]["subject"]) for row in rows] == [(2, "Change 9"), (1, "Change 12")]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["accept", "latest"], "a baseline needs a reason"),
        (["accept"], "baseline accept takes a run"),
        (["forget", "latest"], "'forget' is not one of 'accept', 'list'"),
        (["accept", "ffff", "--reason", "x"], "has no run ffff"),
        (["accept", "latest", "--reason", "x", "--image", "nosuch"], "it has images/minimal.yml on qemu-arm64, "),
    ],
)
def test_what_cannot_be_accepted_is_said(harness: Run, where: str, words: list[str], why: str) -> None:
    done = harness("baseline", *words)
    assert done.returncode == 2
    assert why in done.stderr
