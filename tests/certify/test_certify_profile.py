"""Profiles and waivers: those that ship are sound, those that are wrong are told where."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.spec.lint import lint
from harness.spec.profile import load_profile, load_waivers, profiles
from harness.spec.rules.profile import case_file, functions, parts_of

PROFILE = """\
description: ours
version: 1
extends: {extends}
requirements:
  - {{id: {id}, text: it is so, cases: ["./mine.py::test_it"]}}
"""


def write(folder: Path, extends: str = "base", name: str = "mine", id_: str = "mine") -> Path:
    (folder / "mine.py").write_text("def test_it(shell):\n    pass\n")
    (folder / f"{name}.yml").write_text(PROFILE.format(extends=extends, id=id_))
    return folder / f"{name}.yml"


@pytest.mark.parametrize("name", list(profiles()))
def test_profiles_that_ship_are_sound(name: str) -> None:
    (finding,) = lint([profiles()[name]])
    assert (finding.kind, finding.complaints) == ("profile", ())
    made = load_profile(name)
    for requirement in made.requirements:
        for case in requirement.cases:
            file, function = parts_of(case)
            assert not function or function in functions(case_file(file, made.written[requirement.id]))


@pytest.mark.parametrize("name", sorted(set(profiles()) - {"base"}))
def test_every_other_profile_asks_for_all_of_base(name: str) -> None:
    base, other = load_profile("base"), load_profile(name)
    assert other.requirements[: len(base.requirements)] == base.requirements
    assert other.limits("qemu-arm64", "arm64").size == 35


def test_no_case_is_of_two_requirements() -> None:
    """So a fault that one case sees fails one requirement."""
    for name in profiles():
        cases = [case for one in load_profile(name).requirements for case in one.cases]
        assert len(cases) == len(set(cases)), name


def test_a_profile_of_ones_own_extends_one_that_ships(tmp_path: Path) -> None:
    made = load_profile(write(tmp_path))
    assert made.files == (tmp_path / "mine.yml", profiles()["base"])
    assert made.requirements[-1].id == "mine"
    assert made.nodes(made.requirements[-1]) == [f"{tmp_path}/mine.py::test_it"]
    assert made.digest != load_profile("base").digest


def test_its_digest_is_of_all_that_it_extends(tmp_path: Path) -> None:
    write(tmp_path, name="lower", id_="lower")
    upper = write(tmp_path, extends="./lower.yml")
    before = load_profile(upper).digest
    (tmp_path / "lower.yml").write_text((tmp_path / "lower.yml").read_text() + "# more\n")
    assert load_profile(upper).digest != before


def test_limits_of_a_machine_win_over_its_architectures(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text() + "budget: {size: 20, phases: {kernel: 9}}\nbudgets: {board: {ready: 5}}\n")
    made = load_profile(path)
    assert (made.limits("board", "arm64").ready, made.limits("other", "arm64").ready) == (5, 2000)
    assert (made.limits("board", "arm64").size, made.limits("board", "arm64").phases) == (20, {"kernel": 9})


@pytest.mark.parametrize(
    ("extends", "id_", "said"),
    [
        ("bse", "mine", "did you mean base"),
        ("./mine.yml", "mine", "in a circle"),
        ("base", "size", "is one of a profile that it extends"),
    ],
)
def test_what_a_profile_cannot_extend(tmp_path: Path, extends: str, id_: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        load_profile(write(tmp_path, extends, id_=id_))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("id: mine", "id: Mine", r"5:10: requirements\[0\].id: 'Mine' is not an id"),
        (
            "::test_it",
            "::test_is",
            r"5:\d+: requirements\[0\].cases\[0\]: ./mine.py has no test_is, did you mean ./mine.py",
        ),
        ("./mine.py", "./../mine.py", "is not a case"),
        ("./mine.py", "mine.py", "there is no 'mine.py' among the harness's cases"),
        ("version: 1", "version: 0", "2:10: version: the number 0 is too small"),
        ("text: it is so", "levle: mandatory, text: x", "unknown key, did you mean level"),
        ("id: mine", "id: mine, architectures: [amd64]", "did you mean x86_64"),
        ("id: mine", "id: mine, not_applicable: [{when: never, why: x}]", "expected one of: foreign"),
    ],
)
def test_mistakes_are_told_where_they_are(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace(old, new))
    complaints = "\n".join(map(str, lint([path])[0].complaints))
    assert re.search(said, complaints), complaints


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{requirement: sise, reason: x, owner: me, until: 2027-01-31}", "no requirement 'sise', did you mean size"),
        ("{requirement: size, reason: x, owner: me, until: 2027-02-31}", "'2027-02-31' is not a date"),
        ("{requirement: size, reason: '', owner: me, until: 2027-01-31}", "reason: is empty"),
        ("{requirement: size, reason: x, until: 2027-01-31}", "owner: is missing"),
    ],
)
def test_waivers_are_judged(tmp_path: Path, row: str, said: str) -> None:
    (tmp_path / "waivers.yml").write_text(f"waivers:\n  - {row}\n")
    with pytest.raises(UserError) as caught:
        load_waivers(tmp_path / "waivers.yml", ["size", "boots"])
    assert said in str(caught.value)
