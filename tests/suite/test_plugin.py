"""The plugin under a pytest of its own, on cells whose guests cost nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

SHARED = """
import pytest
def test_one(system): pass
@pytest.mark.disturbs
def test_spoils(system): pass
@pytest.mark.disturbs
def test_spoils_too(system): pass
def test_two(shell): pass
def test_three(image): pass
"""


@pytest.mark.slow
def test_without_its_options_it_loads_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(
        "import sys\n"
        "def test_x(): assert sorted(n for n in sys.modules if n.startswith('harness.')) == "
        "['harness.options', 'harness.options.row', 'harness.plugin', 'harness.suite', 'harness.suite.fixtures']\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    argv = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir=.", "test_x.py"]
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_one_boot_serves_the_harmless_cases_and_disturbing_ones_come_last(inner) -> None:
    ran = inner(SHARED, cells=["a"], args=("-v",))
    assert ran.code == 0, ran.text
    order = [line.split("::")[1].split("[")[0] for line in ran.text.splitlines() if " PASSED" in line]
    assert order[-2:] == ["test_spoils", "test_spoils_too"]
    # the first disturbing case may have the shared system, the second needs a fresh one
    assert ran.count("up") == ran.count("down") == 2


@pytest.mark.parametrize(("workers", "cells"), [("1", "abc"), ("2", "abc"), ("5", "a")])  # fewer, and more than groups
def test_a_cell_is_one_workers(inner, workers: str, cells: str) -> None:
    text = SHARED + "def test_exact(exact): pass\ndef test_exact_too(exact): pass\ndef test_own(boot): boot()\n"
    ran = inner(text, cells=list(cells), args=(f"-n{workers}",))
    assert ran.code == 0, ran.text
    pids = defaultdict(set)
    for words in ran.log:
        if words[0] == "exact":
            pids[words[1]].add(words[2])
    assert {name: len(found) for name, found in pids.items()} == dict.fromkeys(cells, 1)
    assert ran.count("exact") == len(cells)
    assert ran.count("up") == len(cells) * (
        2 + 1
    )  # two for the shared cases and the disturbing ones, one of a case's own
    assert {row["status"] for row in ran.results["cells"]} == {"passed"}
    assert ran.cells["a"]["cases"] == {"passed": 8, "failed": 0, "skipped": 0, "known": 0}
    figures = {"ready": 700123, "total": 705123, "firmware": 5000}
    key = {"mode": "exact"}
    assert ran.cells["a"]["boot"] == {
        "exact": {"ready": 700.123, "power_on": 5.0, "figures": figures, "key": key, "moved": ""},
        "wall": {"ready": 1500.0, "key": key},
    }
    assert ran.cells["a"]["exact_repeats"] is True
    assert ran.cells["a"]["host"]["accelerator"] == "tcg"
    assert ran.cells["a"]["size"] == sum(ran.cells["a"]["sizes"].values()) == 7


def test_no_more_guests_than_slots(inner) -> None:
    text = "import time\ndef test_own(boot): boot(); time.sleep(0.2)\n"
    ran = inner(text, cells=["a", "b", "c", "d"], slots=1, args=("-n4",))
    assert ran.code == 0, ran.text
    up = most = 0
    for word, *_ in sorted((words for words in ran.log if words[0] in ("up", "down")), key=lambda row: float(row[1])):
        up += 1 if word == "up" else -1
        most = max(most, up)
    assert most == 1


def test_longest_groups_begin_first(inner) -> None:
    text = "def test_image(image): pass\ndef test_own(boot): boot()\ndef test_exact(exact): pass\n"
    ran = inner(text, cells=["a"], args=("-v",))
    order = [line.split("::")[1].split("[")[0] for line in ran.text.splitlines() if " PASSED" in line]
    assert order == ["test_exact", "test_own", "test_image"]


def test_a_failed_boot_is_told_once_without_a_traceback(inner) -> None:
    text = "def test_one(system): pass\ndef test_two(shell): pass\ndef test_three(image): pass\n"
    ran = inner(text, cells=["a", "b"], broken=["a"], args=("-n2",))
    assert ran.code == 1
    assert ran.cells["b"]["status"] == "passed"
    assert ran.cells["a"]["cases"] == {"passed": 1, "failed": 2, "skipped": 0, "known": 0}
    first, second = (row["message"] for row in ran.cells["a"]["failures"])
    assert first == "a: the kernel panicked\nits last words"
    assert second.startswith("the wall boot failed, see the first failed case of a")
    assert "Traceback" not in ran.text
    assert "guests.py" not in ran.text
    assert ran.count("boot") == 2


def test_a_crashed_worker_loses_one_case_only(inner) -> None:
    text = """
import os
def test_a(system): pass
def test_dies(system, cell):
    if cell.id == "a": os._exit(9)
def test_z(system): pass
"""
    ran = inner(text, cells=["a", "b"], args=("-n2",))
    assert ran.code == 1
    assert ran.cells["a"]["cases"] == {"passed": 2, "failed": 1, "skipped": 0, "known": 0}
    (failure,) = ran.cells["a"]["failures"]
    assert failure["message"].startswith("the worker that ran it ended with exit code 9, twice")
    assert (failure["whose"], ran.cells["a"]["status"]) == ("this host", "lab failed")
    assert ran.cells["b"]["status"] == "passed"


def test_cells_this_host_cannot_run_are_named_and_the_rest_runs(inner) -> None:
    why = "qemu-system-s390x is not installed\nwhat to do: apt-get install qemu-system-misc"
    ran = inner("def test_one(system): pass\n", cells=["a", ["b", why]])
    assert ran.code == 3
    assert ran.cells["a"]["status"] == "passed"
    assert ran.cells["b"]["status"] == "not run"
    assert ran.cells["b"]["reason"] == why
    assert "not run: b: " in ran.text
    assert "qemu-system-misc" in ran.text


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_what_a_cell_cannot_satisfy_is_skipped_before_it_boots(inner, workers: tuple[str, ...]) -> None:
    text = """
import pytest
@pytest.mark.arch("s390x")
def test_arch(system): pass
@pytest.mark.needs("services/db")
def test_service(system): pass
@pytest.mark.needs("onboot")
def test_section(system): pass
"""
    ran = inner(text, cells=["a"], args=("-rs", *workers))
    assert ran.cells["a"]["cases"] == {"passed": 0, "failed": 0, "skipped": 3, "known": 0}
    events = [json.loads(line) for line in (ran.folder / "results/events.jsonl").read_text().splitlines()]
    reasons = {one["message"] for one in events if one.get("event") == "case"}
    assert reasons == {"only on s390x", "the image has no services/db", "the image has no onboot"}
    assert all(reason in ran.text for reason in reasons)
    assert ran.count("boot") == 0


def test_a_verdict_is_false_when_one_of_its_cases_fails(inner) -> None:
    text = """
import pytest
pytestmark = pytest.mark.verdict("root_readonly")
def test_holds(image): pass
def test_breaks(cell): assert cell.id != "a"
def test_holds_too(image): pass
"""
    ran = inner(text, cells=["a", "b"])
    assert {name: row["root_readonly"] for name, row in ran.cells.items()} == {"a": False, "b": True}


def test_a_failing_teardown_fails_the_case(inner) -> None:
    text = """
import pytest
@pytest.fixture
def bad():
    yield
    raise RuntimeError("left behind")
def test_one(image, bad): pass
"""
    ran = inner(text, cells=["a"])
    assert ran.cells["a"]["cases"] == {"passed": 0, "failed": 1, "skipped": 0, "known": 0}


def test_a_case_that_skips_itself_and_fails_in_its_teardown_is_one_failed_case(inner) -> None:
    text = """
import pytest
@pytest.fixture
def bad():
    yield
    raise RuntimeError("left behind")
def test_one(image, bad): pytest.skip("not today")
"""
    ran = inner(text, cells=["a"])
    assert ran.code == 1
    assert ran.cells["a"]["cases"] == {"passed": 0, "failed": 1, "skipped": 0, "known": 0}


NO_CELL = "def test_alone(): assert 1 == 2, 'so it is'\ndef test_one(image): pass\ndef test_fine(): pass\n"


@pytest.mark.parametrize("args", [(), ("-n2",)])
def test_cases_without_a_cell_count(inner, args: tuple[str, ...]) -> None:
    ran = inner(NO_CELL, cells=["a"], args=args)
    assert ran.code == ran.results["exit"] == 1
    assert ran.cells["a"]["status"] == "passed"
    assert ran.results["other"]["cases"] == {"passed": 1, "failed": 1, "skipped": 0, "known": 0}
    assert "so it is" in ran.messages[0]


def test_a_parameter_that_reads_like_a_cell_is_none(inner) -> None:
    text = "import pytest\n@pytest.mark.parametrize('x', ['a@b'])\ndef test_x(x): assert 0\ndef test_y(image): pass\n"
    ran = inner(text, cells=["a"])
    assert ran.cells["a"]["status"] == "passed"
    assert ran.results["other"]["failures"][0]["case"].endswith("test_x[a@b]")


@pytest.mark.parametrize(
    ("text", "args"),
    [
        ("import nothing_of_this_name\n", ()),
        ("import nothing_of_this_name\n", ("-n2",)),
        ("nothing_of_this_name\n", ("-n2",)),
    ],
)
def test_a_file_that_cannot_be_collected_fails_the_run(inner, tmp_path: Path, text: str, args: tuple[str, ...]) -> None:
    (tmp_path / "test_broken.py").write_text(text)
    ran = inner("def test_one(image): pass\n", cells=["a"], args=("test_broken.py", *args))
    assert ran.code != 0
    assert ran.results["exit"] == 1
    assert ran.results["interrupted"] is False
    assert [one["case"] for one in ran.results["other"]["failures"]] == ["test_broken.py"]  # though each worker says so
    assert "nothing_of_this_name" in ran.messages[0]


def test_no_case_of_a_cell_selected_is_no_failure(inner) -> None:
    text = "def test_one(image): pass\ndef test_two(image): pass\n"
    ran = inner(text, cells=["web", "plain"], args=("-n2", "-k", "test_one and web"))
    assert ran.code == ran.results["exit"] == 0
    assert {name: row["status"] for name, row in ran.cells.items()} == {"web": "passed", "plain": "not selected"}


def test_no_cell_to_run_on_is_no_skipped_case(inner) -> None:
    ran = inner("def test_one(image): pass\ndef test_two(): pass\n", cells=[["a", "no qemu"]], args=("-n2",))
    assert ran.code == 3
    assert ran.results["other"]["cases"] == {"passed": 1, "failed": 0, "skipped": 0, "known": 0}


def test_a_run_that_stops_at_the_first_failure_was_not_interrupted(inner) -> None:
    ran = inner("def test_one(image): assert 0\ndef test_two(image): pass\n", cells=["a"], args=("-x", "-n1"))
    assert ran.results["interrupted"] is False
    assert ran.results["exit"] == 1


def test_two_guests_of_one_case_need_one_slot(inner) -> None:
    # with one slot for each it would wait for ever
    text = "def test_two(boot): boot(); boot()\n"
    ran = inner(text, cells=["a", "b"], slots=1, args=("-n2",))
    assert ran.code == 0, ran.text
    assert ran.count("up") == ran.count("down") == 4


def test_an_error_while_building_is_in_the_results(inner) -> None:
    ran = inner("def test_one(image): pass\n", cells=["a", "b"], unbuildable=["b"])
    assert ran.code == 4
    assert "ERROR: b cannot be built" in ran.text
    assert ran.results["exit"] == 2
    assert ran.results["error"] == "b cannot be built\nwhat to do: make it smaller"
    assert [(row["status"], row["size"]) for row in ran.results["cells"]] == [("incomplete", 7), ("incomplete", None)]


def test_options_of_the_build_reach_it_and_the_workers(inner, tmp_path: Path) -> None:
    text = "def test_one(request): print('HOW', request.config.stash[RUN].settings)\n"
    ran = inner("from harness.suite.fixtures import RUN\n" + text, cells=["a"],
                args=("--harness-lock=my.lock", "--harness-refresh", "--harness-cache=c", "-n1", "-rP"))  # fmt: skip
    assert ran.code == 0, ran.text
    lock = str(tmp_path / "my.lock")
    word, *rest = ran.log[0]
    told = json.loads(" ".join(rest[:-1]))
    assert (word, rest[-1]) == ("how", "True")
    assert (told["lock"], told["cache"], told["offline"]) == (lock, str(tmp_path / "c"), False)
    # what the controller has asked for anew, a worker takes from the cache
    assert f"lock=PosixPath('{lock}')" in ran.text and "refresh=False" in ran.text


def test_the_time_limits_are_stretched(inner) -> None:
    text = "def test_one(system): pass\ndef test_two(exact): pass\ndef test_three(boot): boot()\n"
    ran = inner(text, cells=["a"], args=("--harness-timeout-multiplier=3",))
    assert ran.code == 0, ran.text
    assert [words[1:] for words in ran.log if words[0] == "patience"] == [["3.0"]] * 3


def test_a_machine_without_a_network_card_skips_what_needs_one(inner, tmp_path: Path) -> None:
    (tmp_path / "lonely.yml").write_text(
        "description: no card\narch: x86_64\nconsole: ttyS0\n"
        "qemu: {machine: q35, cpu: qemu64, memory: 256, network: false}\n"
    )
    text = "import pytest\n@pytest.mark.network\ndef test_net(system): pass\ndef test_one(image): pass\n"
    ran = inner(text, cells=["a", "b"], machines={"b": str(tmp_path / "lonely.yml")}, args=("-rs",))
    assert ran.code == 0, ran.text
    assert ran.cells["a"]["cases"] == {"passed": 2, "failed": 0, "skipped": 0, "known": 0}
    assert ran.cells["b"]["cases"] == {"passed": 1, "failed": 0, "skipped": 1, "known": 0}
    assert "b has no network card that this host reaches" in ran.text


def test_shared_system_and_own_boots_do_not_mix(inner) -> None:
    ran = inner("def test_one(system, boot): pass\ndef test_two(image): pass\n", cells=["a"])
    assert ran.code == 1
    assert ran.cells["a"]["cases"] == {"passed": 1, "failed": 1, "skipped": 0, "known": 0}
    assert ran.cells["a"]["failures"][0]["message"].endswith("what to do: take one of them")
    assert ran.count("boot") == 0
