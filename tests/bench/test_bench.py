"""The pure parts of `./run bench`: verdicts, phases, the page; and that its busy loops surely end."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import paths
from harness.bench import __main__ as command
from harness.bench import builds, page, phases
from harness.bench.context import IMAGES, Context, FigureOrTable, Measurement
from harness.bench.figures import BenchFigure, Report, Table, best
from harness.bench.load import busy, on_cores
from harness.bench.wall import Trial, figures, unchanged
from harness.errors import UserError
from harness.spec import load_image
from harness.system.milestones import Milestone
from harness.system.record import BootRecord


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        (BenchFigure("a", "s", (1.0, 9.0, 2.0), goal=2.0), "reached"),
        (BenchFigure("a", "s", (1.0, 9.0, 2.1), goal=2.0), "missed"),
        (BenchFigure("a", "s", (1.0,), goal=2.0, broken="exit code 1"), "missed"),
        (BenchFigure("a", "s", (1.0,), broken="not the same twice"), "missed"),
        (BenchFigure("a", "s", (1.0,)), ""),
        (BenchFigure("a", "s", goal=2.0, skipped="offline"), "skipped"),
    ],
)
def test_the_median_decides_and_what_broke_is_missed(figure: BenchFigure, verdict: str) -> None:
    assert figure.verdict == verdict
    assert figure.to_json()["verdict"] == verdict


def test_the_best_machine_of_an_architecture_is_judged() -> None:
    found = best(
        [BenchFigure("q35", "ms", (900.0, 901.0)), BenchFigure("microvm", "ms", (700.0, 700.0))], "x86_64", 800.0
    )
    assert (found.subject, found.note, found.verdict) == ("x86_64", "microvm", "reached")


def report(name: str = "size", **more: object) -> Report:
    made = Report(name, f"./run bench {name}", {"cores": 2}, "2026-01-01", finished=True)
    made.figures.append(BenchFigure("mini|mal", "MB", (1.5,), 2.0, note="of a\nfew"))
    for key, value in more.items():
        setattr(made, key, value)
    return made


def test_a_page_keeps_its_prose_and_gets_each_part_once() -> None:
    first = page.put("# Measurements\nprose\n", report())
    both = page.put(first, report("exact")) + "\nmore prose\n"
    again = page.put(both, report(figures=[BenchFigure("other", "MB", (3.0,), 2.0)]))
    assert "prose" in again and again.endswith("\nmore prose\n")
    assert "mini" not in again.partition("## exact")[0] and "**missed**" in again.partition("## exact")[0]
    assert again.count("mini\\|mal") == 1  # the other bench's part stayed
    assert page.put(again, report(figures=[BenchFigure("other", "MB", (3.0,), 2.0)])) == again


def test_a_table_s_rows_have_as_many_cells_as_its_head() -> None:
    rows = [line for line in page.text(report()).splitlines() if line.startswith("|")]
    assert len(rows) == 3
    assert {line.replace("\\|", "").count("|") for line in rows} == {len(page.HEADER) + 1}


def test_an_unfinished_part_says_so() -> None:
    assert "Interrupted" in page.text(report(finished=False)) and "Interrupted" not in page.text(report())


def test_a_damaged_page_is_refused() -> None:
    good = page.put("", report())
    for bad in (good + good, good.replace(page.END.format("size"), "")):
        with pytest.raises(UserError, match="size"):
            page.put(bad, report())


def test_the_phase_table_ends_with_the_sums() -> None:
    marks = (Milestone("init", 100_000, 0.0), Milestone("services/web start", 220_000, 0.0),
             Milestone("services/web ready", 260_000, 0.0), Milestone("ready", 261_000, 0.0))  # fmt: skip
    record = BootRecord(image="default", arch="arm64", machine="m", mode="exact", probed=False, accel="tcg",
                        accel_reason="", argv=(), cmdline="", cpu="", machine_type="", qemu_version="",
                        milestones=marks, ready_us=261_000, power_on_us=90_000)  # fmt: skip
    table = phases.table("Phases", {"one": record, "two": record})
    assert table.header == ("ms", "one", "two")
    assert table.rows == (
        ("firmware", "90.0", "90.0"),
        ("kernel", "100.0", "100.0"),
        ("services", "161.0", "161.0"),
        ("… services/web", "40.0", "40.0"),
        ("clock zero to ready", "261.0", "261.0"),
        ("power-on to ready", "351.0", "351.0"),
    )


def test_one_service_s_environment_can_be_changed(tmp_path: Path) -> None:
    changed = tmp_path / "default.yml"
    changed.write_text(builds._changed(IMAGES["default"].read_text(), "BENCH=1"))
    services = {entry.name: entry.env for entry in load_image([changed]).services}
    assert services["getty"] == ("INSECURE=true", "BENCH=1")
    assert [name for name, env in services.items() if env] == ["getty"]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.proc
def test_busy_loops_end_with_the_block() -> None:
    with busy(2) as pids:
        assert len(pids) == 2 and all(alive(pid) for pid in pids)
    assert not any(alive(pid) for pid in pids)


def test_busy_loops_end_with_a_killed_bench() -> None:
    text = (
        "from harness.bench.load import busy\nimport time\nwith busy(1) as pids:\n print(*pids, flush=True)\n"
        " time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        descriptor = os.pidfd_open(pid)  # readable once the process has ended
        process.send_signal(signal.SIGKILL)
        assert select.select([descriptor], [], [], 30)[0]
        os.close(descriptor)


def test_cores_are_given_back() -> None:
    before = os.sched_getaffinity(0)
    with on_cores(1) as count:
        assert count == len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before


def benches(monkeypatch: pytest.MonkeyPatch) -> None:
    def good(_: Context) -> Iterator[FigureOrTable]:
        yield BenchFigure("good", "s", (1.0,), 2.0)
        yield Table("Why", ("a",), (("b",),))

    def bad(_: Context) -> Iterator[FigureOrTable]:
        yield BenchFigure("bad", "s", (3.0,), 2.0)

    def cut(_: Context) -> Iterator[FigureOrTable]:
        yield BenchFigure("half", "s", (1.0,), 2.0)
        raise KeyboardInterrupt

    made = {
        "good": Measurement("good", "x", good),
        "bad": Measurement("bad", "x", bad),
        "cut": Measurement("cut", "x", cut),
    }
    monkeypatch.setattr(command, "BENCHES", made)
    monkeypatch.setattr(command, "PAGE", Path("/nonexistent"))


def test_a_missed_goal_is_shown_and_fails_only_a_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    benches(monkeypatch)
    words = ["good", "bad", "--page", str(tmp_path / "page.md"), "--json", str(tmp_path / "all.json")]
    assert command.main(words) == 0
    assert "missed: bad" in capsys.readouterr().out
    assert command.main([*words, "--check"]) == command.EXIT_MISSED
    assert command.main(["good", "--check"]) == 0
    found = json.loads((tmp_path / "all.json").read_text())
    assert [row["figures"][0]["verdict"] for row in found["benches"]] == ["reached", "missed"]
    written = (tmp_path / "page.md").read_text()
    assert written.count("./run bench bad") == 1 and "Why:" in written


def test_an_interrupted_bench_keeps_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benches(monkeypatch)
    assert command.main(["good", "cut", "bad", "--json", str(tmp_path / "all.json")]) == 130
    found = json.loads((tmp_path / "all.json").read_text())
    assert found["interrupted"] and [row["name"] for row in found["benches"]] == ["good", "cut"]
    assert found["benches"][1]["figures"][0]["subject"] == "half" and not found["benches"][1]["finished"]


def test_a_bench_that_does_not_exist_is_the_user_s_error() -> None:
    with pytest.raises(UserError, match="there is no bench nosuch"):
        command.main(["nosuch"])


def test_every_bench_of_the_page_exists() -> None:
    text = (paths.TOP / "docs" / "measurements.md").read_text()
    for name in command.BENCHES:
        assert text.count(page.BEGIN.format(name)) == text.count(page.END.format(name)) == 1


@pytest.mark.slow
def test_trials_of_wall_time_are_counted_by_what_the_pairs_say() -> None:
    same = tuple(1 + 0.001 * (number % 7) for number in range(30))
    slower = tuple(1.1 * one for one in same)
    seen, missed = Trial(same, slower), Trial(same, tuple(reversed(same)))
    found, none, *_ = figures([seen] * 19 + [missed], 5)
    assert (found.values, found.verdict, none.values, none.verdict) == ((1.0,), "reached", (0.0,), "reached")
    assert next(figures([seen] * 18 + [missed] * 2, 5)).verdict == "missed"


@pytest.mark.slow
def test_pairs_of_nothing_changed_are_two_boots_of_one_image_that_followed_each_other() -> None:
    done = [Trial(tuple(range(at, at + 6)), tuple(range(10 * at + 500, 10 * at + 506))) for at in (100, 200)]
    assert list(unchanged(done)) == [
        [(101, 100), (102, 103), (105, 104), (201, 200), (202, 203), (205, 204)],
        [(1501, 1500), (1502, 1503), (1505, 1504), (2501, 2500), (2502, 2503), (2505, 2504)],
    ]
    # boots that become slower and slower are no change between two images
    drift = Trial(tuple(1 + 0.01 * at for at in range(30)), tuple(2 + 0.01 * at for at in range(30)))
    assert figures([drift] * 20, 1) and [one.values for one in figures([drift] * 20, 1)][1] == (0.0,)
