"""What is read from a run's folder: all that is there, bounded, and whatever state it is in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made import MANIFEST, boot, cell, image, record, results, run

from harness.errors import UserError
from harness.report import page, read
from harness.report import run as views
from harness.run.folder import RunFolder


def test_a_run_s_folder_gives_every_boot_its_record_and_transcript(tmp_path: Path) -> None:
    found = read.folder(RunFolder(run(tmp_path / "out")))
    boots = found.boots["minimal-qemu-arm64"]
    assert [one.name for one in boots] == ["exact/1", "exact/2", "wall"]
    assert boots[0].record == record() and boots[2].record == record("wall")
    said = "[    0.318718] harness: ready\n"
    assert boots[0].transcript == read.TranscriptExcerpt(
        "cells/minimal-qemu-arm64/exact/1/transcript.txt", len(said), said
    )
    (view,) = views.page(found).cells
    assert view.drawn == "exact/1" and view.exact and view.waterfall and view.waterfall.us == 412_132
    # the second exact boot said the same: once is enough
    assert [bool(one.instead) for one in view.said] == [False, True, False]


def test_two_exact_boots_that_differ_are_both_shown(tmp_path: Path) -> None:
    row = cell(exact_repeats=False)
    row["boot"]["exact"]["moved"] = "drivers"
    (view,) = views.page(read.folder(RunFolder(run(tmp_path / "out", results(row))))).cells
    assert [one.instead for one in view.said] == ["", "", ""]
    assert "did not agree, first in drivers" in view.figures[1].note


def test_the_waterfall_is_of_the_boot_that_the_figures_are_of(tmp_path: Path) -> None:
    folder = run(tmp_path / "out")
    boot(folder / "cells/minimal-qemu-arm64/before/1", made=record(ready_us=5))  # sorts first, of another pair
    (view,) = views.page(read.folder(RunFolder(folder))).cells
    assert view.drawn == "exact/1"


def test_without_an_exact_boot_the_guest_s_own_clock_is_drawn(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    row = cell(exact_repeats=None)
    row["boot"]["exact"] = {"ready": None, "power_on": None, "figures": {}, "key": {}, "moved": ""}
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(results(row)))
    boot(folder / "cells" / row["id"] / "wall", made=record("wall"))
    (view,) = views.page(read.folder(RunFolder(folder))).cells
    assert view.drawn == "wall" and not view.exact and view.waterfall and view.total_us is None


def test_a_long_transcript_is_shown_in_part_and_the_page_says_how_much(tmp_path: Path) -> None:
    folder = run(tmp_path / "out")
    lines = b"".join(b"%08d a line of some length, as guests write them\n" % number for number in range(20_000))
    (folder / "cells/minimal-qemu-arm64/wall/transcript.txt").write_bytes(lines)
    shown = read.folder(RunFolder(folder)).boots["minimal-qemu-arm64"][2].transcript
    assert shown and shown.size == len(lines)
    assert shown.cut == len(lines) - len(shown.head) - len(shown.tail)
    assert lines.startswith(shown.head.encode()) and lines.endswith(shown.tail.encode())
    assert shown.head.endswith("\n") and shown.tail.startswith("000")
    assert read.HEAD - 60 < len(shown.head) <= read.HEAD and read.TAIL - 60 < len(shown.tail) <= read.TAIL


def test_all_transcripts_together_have_a_limit_and_failed_cells_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = {"case": "test_x", "message": "no", "transcript": ""}
    folder = run(tmp_path / "out", results(cell("a"), cell("b", failures=[failure])))
    monkeypatch.setattr(read, "ROOM", 100)
    monkeypatch.setattr(read.Room, "__init__", lambda self: setattr(self, "left", read.ROOM))
    for path in folder.glob("cells/*/*/transcript.txt"):
        path.write_text("line\n" * 30)
    for path in folder.glob("cells/*/exact/*/transcript.txt"):
        path.write_text("")
    found = read.folder(RunFolder(folder)).boots
    a, b = (found[name][2].transcript for name in "ab")
    assert b and b.head == "line\n" * 20 and b.cut == 50
    assert a and a.head == "" and a.cut == 150


def test_invalid_utf_8_is_told_byte_by_byte(tmp_path: Path) -> None:
    folder = run(tmp_path / "out")
    (folder / "cells/minimal-qemu-arm64/wall/transcript.txt").write_bytes(b"a \xff\xfe b\n")
    shown = read.folder(RunFolder(folder)).boots["minimal-qemu-arm64"][2].transcript
    assert shown and shown.head == "a \\xff\\xfe b\n"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', '{"milestones": [{"name": 5}]}', "[" * 100_000])
def test_a_broken_record_is_told_and_ends_nothing(tmp_path: Path, text: str) -> None:
    folder = run(tmp_path / "out")
    for number in "12":
        (folder / f"cells/minimal-qemu-arm64/exact/{number}/record.json").write_text(text)
    (view,) = views.page(read.folder(RunFolder(folder))).cells
    assert view.drawn == "wall" and len(view.notes) == 2 and "record.json cannot be read" in view.notes[0]


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"cells": 5}', '{"cells": [{"size": 1}]}', "[" * 100_000])
def test_what_is_no_run_is_the_user_s_error(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "results.json").write_text(text)
    with pytest.raises(UserError, match=r"results\.json"):
        read.folder(RunFolder(tmp_path))


def test_older_results_have_a_page_too(tmp_path: Path) -> None:
    row = cell()
    for name in ("sizes", "spec", "files"):
        del row[name]
    row["boot"] = {"exact": {"ready": 318.718, "power_on": 93.414}, "wall": {"ready": 3162.638}}
    old = results(row)
    for name in ("source", "other", "error"):
        del old[name]
    (view,) = views.page(read.folder(RunFolder(run(tmp_path / "out", old)))).cells
    assert view.size is None and view.total_us == 412_132 and view.waterfall


def test_a_cell_s_name_leads_nowhere_else(tmp_path: Path) -> None:
    boot(tmp_path / "secret" / "exact" / "1", "the secret\n")
    folder = tmp_path / "out"
    folder.mkdir()
    names = ("../secret", str(tmp_path / "secret"), "..")
    (folder / "results.json").write_text(json.dumps(results(*(cell(name) for name in names))))
    (folder / "cells").mkdir()
    found = read.folder(RunFolder(folder))
    assert [found.boots[name] for name in names] == [(), (), ()]


def test_the_manifest_is_shown_only_of_the_image_that_was_booted(tmp_path: Path) -> None:
    made = image(tmp_path / "image")
    folder = run(tmp_path / "out")
    (folder / "cells/minimal-qemu-arm64/exact/1/record.json").write_text(made.dumps())
    (view,) = views.page(read.folder(RunFolder(folder))).cells
    assert [one.name for one in view.packages] == ["nginx"]  # adduser has no file in it
    assert view.size and view.size.with_files
    assert ("kernel", "6.1.0-9-arm64") in [(fact.name, fact.value) for fact in view.facts]
    other = {**MANIFEST, "files": [{**MANIFEST["files"][0], "sha256": "0" * 64}]}
    for text in (json.dumps(other), "[]", "", "{}"):
        (tmp_path / "image/manifest.json").write_text(text)
        (view,) = views.page(read.folder(RunFolder(folder))).cells
        assert view.packages == () and view.size and not view.size.with_files
        assert "has gone since" in view.facts[-1].value


def test_the_judgement_against_a_baseline_is_told(tmp_path: Path) -> None:
    folder = run(tmp_path / "out")
    moved = {"figure": "kernel", "old": 100_000, "new": 120_000, "floor": 500}
    better = {"figure": "drivers", "old": 90_000, "new": 100_000, "floor": 500}  # as gate.json has what became less
    judged = {"image": "images/minimal.yml", "machine": "qemu-arm64", "compared": 9, "slower": [moved], "larger": [],
              "better": [better], "notes": ["services/new: not in the baseline"]}  # fmt: skip
    gate = {"schema": 1, "against": "latest-baseline", "passed": False, "cells": [judged]}
    (folder / "gate.json").write_text(json.dumps(gate))
    shown = views.page(read.folder(RunFolder(folder)))
    ((against,),) = (shown.against,)
    assert [(one.worse, one.moved.old, one.moved.new) for one in against.changes] == [
        (True, 100_000, 120_000), (False, 100_000, 90_000)]  # fmt: skip
    (folder / "gate.json").write_text("[]")
    assert views.page(read.folder(RunFolder(folder))).gate is None


SLOW = {"judgement": {"answer": "worse", "mean_us": 1_300.0}, "sentence": "it takes more"}
SAME = {"judgement": {"answer": "same", "mean_us": 0.0}, "sentence": "as before"}
SLACK = {**SAME, "slack": ["in slack, job takes more"]}


@pytest.mark.parametrize(
    ("cell", "word", "said", "unsaid"),
    [
        (
            {"unjudged": "no exact times: none"},
            "not judged",
            "no exact times: none",
            "nothing changed",
        ),
        ({"pairs": SLOW}, "worse", "it takes more", "not judged"),
        ({"pairs": SAME, "unjudged": "the rest"}, "not judged", "as before", "▲"),
        ({"pairs": SLACK}, "worse", "in slack, job takes more", "not judged"),
        ({"pairs": SLOW, "unjudged": "half of it"}, "worse", "half of it", "nothing changed"),
    ],
)
def test_the_page_s_word_for_the_gate_is_the_gate_s(
    tmp_path: Path, cell: dict[str, Any], word: str, said: str, unsaid: str
) -> None:
    folder = run(tmp_path / "out")
    judged = {"image": "images/minimal.yml", "machine": "qemu-arm64", "compared": 9, **cell}
    gate = {"schema": 1, "against": "latest-baseline", "passed": False, "cells": [judged]}
    (folder / "gate.json").write_text(json.dumps(gate))
    found = views.page(read.folder(RunFolder(folder)))
    assert found.gate is not None and found.gate.word == word
    text = page.render("run.html", page=found)
    assert said in text and unsaid not in text and "nothing worse" not in text


def test_a_budget_that_is_used_up_says_so() -> None:
    assert views.meter(8.0, 16.0, "MB") == views.Meter(50.0, False, "50% of 16 MB allowed")
    assert views.meter(17.0, 16.0, "MB") == views.Meter(100.0, True, "over the 16 MB allowed")
    assert views.meter(None, 16.0, "MB") is views.meter(8.0, None, "MB") is views.meter(8.0, 0.0, "MB") is None


def test_a_traced_boot_says_in_the_waterfall_who_had_the_processor(tmp_path: Path) -> None:
    folder = run(tmp_path / "out")
    steps = folder / "cells/minimal-qemu-arm64/steps"
    boot(steps, made=record(ready_us=400_000))
    switch = b"sched_switch: prev_comm=a prev_pid=0 prev_prio=1 prev_state=R ==> next_comm=init next_pid=1 next_prio=1"
    rows = (b"  <idle>-0     [000] .....     0.001200: " + switch,
            b"  init-1       [000] .....     0.001247: initcall_start: func=slow<init+0x0/0x2c",
            b"  init-1       [000] .....     0.051247: initcall_finish: func=slow<init+0x0/0x2c ret=0",
            b"  boot-9       [000] .....     0.400000: console: harness: ready counter=1f")  # fmt: skip
    trace = b"# entries-in-buffer/entries-written: 4/4   #P:1\n" + b"\n".join(rows) + b"\n"
    (steps / "console.raw").write_bytes(trace.replace(b"slow<init", b"slow_init"))
    (view,) = views.page(read.folder(RunFolder(folder))).cells
    assert view.waterfall
    (bar,) = [bar for bar in view.waterfall.bars if bar.name == "initcall/slow_init"]
    assert (bar.depth, bar.us, bar.start_us) == (1, 50_000, 93_414 + 1_247)
    # what a guest has mangled is told of nobody, and the page is there without
    (steps / "console.raw").write_bytes(trace.replace(b"harness: ready", b"harness: never"))
    assert read.folder(RunFolder(folder)).boots["minimal-qemu-arm64"][2].steps == ()
    assert "initcall" not in str(views.page(read.folder(RunFolder(folder))).cells[0].waterfall)
