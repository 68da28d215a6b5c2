"""A run's folder is one object: nobody else knows a name in it, and its definition makes the page and the schema."""

from __future__ import annotations

import ast
import functools
import json
import re
from pathlib import Path

import pytest
from judges import judged, refusals
from trees import of_harness, sources

from harness.errors import UserError
from harness.run import describe, folder, results
from harness.run.folder import RunFolder
from harness.system import folder as boots

NAMES = {
    "run/folder.py": (
        folder.PREVIOUS, folder.EVENTS, folder.GATE, folder.JUNIT, folder.SUMMARY, folder.PAGE,
        folder.LOG, folder.GROUPS, folder.INPUTS,
    ),
    "paths.py": (folder.RESULTS,),
    "system/folder.py": (boots.RECORD, boots.TRANSCRIPT, boots.CONSOLE),
}  # fmt: skip
# Folders, whose names are words as well: as a part of a path nobody else may spell them.
PARTS = re.compile(r"(?:^|/)(?:cells|slots)/")
END = {"event": "end", "interrupted": False, "code": 0}


@functools.cache
def spelt() -> dict[str, list[str]]:
    """Return the texts of each module that are no docstrings and hold one of the names."""
    one = re.compile("|".join([*(re.escape(name) for names in NAMES.values() for name in names), PARTS.pattern]))
    return {name: [text for text in texts(tree) if one.search(text)] for name, tree in of_harness()}


def texts(tree: ast.Module) -> list[str]:
    """Return the texts of a module that are no docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documented) and node.body
            and isinstance(node.body[0], ast.Expr)}  # fmt: skip
    return [node.value for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs]  # fmt: skip


@sources
@pytest.mark.parametrize("owner", NAMES)
def test_nobody_else_spells_a_name_in_a_results_folder(owner: str) -> None:
    found = [f"{name}: {text}" for name, spelled in spelt().items() if not name.endswith(f"/{owner}")
             for text in spelled if text in NAMES[owner] or PARTS.search(text)]  # fmt: skip
    assert found == []
    assert set(NAMES[owner]) <= set(spelt()[f"harness/{owner}"])


def test_the_page_about_results_is_made_of_their_definition() -> None:
    text = describe.PAGE.read_text()
    assert text == describe.page(text), "run: python -m harness.run.describe"
    for name in describe.TABLES:
        assert f"<!-- table {name} -->" in text


@judged
@pytest.mark.slow
def test_every_key_has_a_meaning_and_what_is_written_keeps_to_the_schema() -> None:
    cell = {"id": "a", "image": "a.yml", "machine": "m", "arch": "x86_64", "problem": "", "budget": {}}
    run = {"event": "run", "harness": "1", "when": "now", "run": "r", "plan": None, "source": None, "cells": [cell]}
    case = {"event": "case", "cell": "a", "case": "x", "outcome": "xfailed", "message": "m"}
    found = json.loads(results.dumped(results.fold([run, case, END])))
    assert refusals(describe.schema(), found) == []
    assert found["cells"][0]["cases"] == {"passed": 0, "failed": 0, "skipped": 0, "known": 0, "xfailed": 1}
    for model in describe.TABLES.values():
        assert all(meaning for _, _, meaning in describe.rows(model))


@pytest.mark.parametrize(("text", "why"), [
    ("[", "not JSON"), ("[]", "is not a results.json"), ('{"cells": 3}', "not a run's results: cells"),
    ('{"cells": [{"id": "a", "size": "x"}]}', "not a run's results: cells.0.size"),
])  # fmt: skip
def test_what_is_none_is_refused_by_its_name(tmp_path: Path, text: str, why: str) -> None:
    found = RunFolder(tmp_path)
    found.results.write_text(text)
    with pytest.raises(UserError, match=re.escape(str(found.results))) as caught:
        found.read_results()
    assert why in caught.value.message


def test_a_run_that_could_not_begin_is_nothing_to_be_compared_with(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.results.write_text('{"schema": 1, "cells": [{"id": "a"}]}')
    run.take()
    assert json.loads(run.previous.read_text())["cells"] == [{"id": "a"}]
    run.events.tell("end")
    run.results.write_text('{"schema": 1, "cells": []}')
    run.take()
    assert not run.results.exists()
    assert json.loads(run.previous.read_text())["cells"] == [{"id": "a"}]


def test_what_stands_in_the_way_is_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "summary.md").write_text("mine")
    with pytest.raises(UserError, match=r"already has summary\.md"):
        RunFolder(tmp_path).take()
    assert (tmp_path / "summary.md").read_text() == "mine"


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("mine", ["", "summary.md"])
def test_what_is_refused_leaves_nothing_behind(tmp_path: Path, mine: str, resume: bool) -> None:
    there = RunFolder(tmp_path / "there")
    if mine:
        there.path.mkdir()
        (there.path / mine).write_text("mine")
    elif not resume:
        return  # nothing is in the way of a new run
    with pytest.raises(UserError), there.held(resume=resume):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == (["there", mine] if mine else [])
