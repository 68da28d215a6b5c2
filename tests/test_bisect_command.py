"""`harness bisect`: commits and packages between a good and a bad one, on boots that cost nothing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.build.mixedlock import changed, mixed, steps
from harness.build.settings import Settings
from harness.cli import app
from harness.commands.runs import bisect
from harness.errors import ImageError
from harness.spec.rules.images import files_of

Measured = Callable[..., int]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A project of eight commits, whose image says how long it boots; the commits' ids."""
    monkeypatch.chdir(tmp_path)
    found = []
    git("init", "-q", "-b", "main")
    for number in range(8):
        (tmp_path / "os.yml").write_text(f"{'broken' if number in (3, 4) else 300_000 + 20_000 * (number >= 5)}\n")
        git("add", "os.yml")
        git("commit", "-q", "-m", f"change {number}")
        found.append(git("rev-parse", "HEAD"))
        (tmp_path / "notes").write_text(str(number))
        git("add", "notes")
    return found


def git(*words: str) -> str:
    argv = ["git", "-c", "user.name=a", "-c", "user.email=a@a.example", *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def fake(image: str, machine: str, figure: str, settings: Settings) -> int:
    """Read what the image says of itself: no build, no boot."""
    text = Path(image).read_text().strip()
    if text == "broken":
        raise ImageError("it never was ready")
    assert (machine, figure) == ("qemu-arm64", "total")
    return int(text)


def run(*words: str, image: str = "os.yml") -> int:
    with pytest.raises(SystemExit) as ended:
        app(["bisect", *words, "--image", image, "-m", "qemu-arm64"])
    return int(ended.value.code or 0)


def test_the_first_bad_commit_is_named(
    project: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bisect, "measured", fake)
    assert run(project[5], "HEAD") == 2  # all of these are slow
    assert "within the floor of 1.400 ms: there is nothing to find" in capsys.readouterr().err
    assert run("nosuch", "HEAD") == 2
    assert "nosuch and HEAD are not two commits: fatal: Needed a single revision" in capsys.readouterr().err
    assert run(project[0], "HEAD") == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "one of these, for some could not be built or booted: total +20.000 ms",
        *(f"  {project[number][:8]} change {number}" for number in (3, 4, 5)),
    ]
    assert said.err.count("skip: it never was ready") == 2
    assert git("worktree", "list").count("\n") == 0


def test_the_image_is_the_commits_whatever_it_is_called(
    project: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fake_of_any_name(image: str, *rest: Any) -> int:
        return fake(str(files_of(image)[0]), *rest)

    monkeypatch.setattr(bisect, "measured", fake_of_any_name)
    for number, ms in enumerate((300, 320)):
        Path("x+y.yml").write_text(f"{ms}000\n")
        Path(f"of{number}.yml").write_text(f"{ms}000\n")
        Path("link.yml").unlink(missing_ok=True)
        Path("link.yml").symlink_to(f"of{number}.yml")
        git("add", ".")
        git("commit", "-q", "-m", f"names {number}")
    for name in ("x+y.yml", "link.yml", "./link.yml"):
        assert run("HEAD~1", "HEAD", image=name) == 0
        assert capsys.readouterr().out == f"{git('log', '-1', '--format=%h', '--abbrev=8')} names 1: total +20.000 ms\n"


def test_the_tree_as_it_is_is_judged_as_git_wants_it(
    project: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bisect, "measured", fake)
    for number, code in ((0, 0), (3, 125), (5, 1)):
        git("checkout", "-q", "-f", project[number])
        assert run("300.000", "320.000") == code
    assert capsys.readouterr().out == "good: total 300.000 ms\nbad: total 320.000 ms\n"


def package(name: str, version: str) -> dict[str, Any]:
    return {"name": name, "version": version, "arch": "arm64", "sha256": f"{name}-{version}"}


def lock(versions: dict[str, str], image: str) -> dict[str, Any]:
    records = [package(name, version) for name, version in versions.items()]
    return {"format": 1, "suite": "bookworm", "requests": {"arm64": {"a b": [one["sha256"] for one in records]}},
            "packages": records, "images": {"arm64": {"x:1": image}}}  # fmt: skip


OLD = lock({"adduser": "1", "libc6": "1", "nginx": "1", "gone": "1"}, "sha256:a")
NEW = lock({"adduser": "1", "libc6": "2", "nginx": "2", "fresh": "1"}, "sha256:b")


def test_what_differs_between_two_locks_can_be_taken_one_by_one() -> None:
    moved = changed(OLD, NEW, "arm64")
    assert moved == {"fresh": ("", "1"), "gone": ("1", ""), "image x:1": ("sha256:a", "sha256:b"), "libc6": ("1", "2"),
                     "nginx": ("1", "2")}  # fmt: skip
    assert changed(OLD, mixed(OLD, NEW, "arm64", []), "arm64") == {}
    assert changed(NEW, mixed(OLD, NEW, "arm64", list(moved)), "arm64") == {}
    for name in moved:
        assert changed(OLD, mixed(OLD, NEW, "arm64", [name]), "arm64") == {name: moved[name]}


def test_the_package_whose_update_moved_the_figure_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.lock").write_text(json.dumps(OLD))
    Path("new.lock").write_text(json.dumps(NEW))

    def slow_with_libc(image: str, machine: str, figure: str, settings: Settings) -> int:
        assert settings.lock
        found = changed(OLD, json.loads(settings.lock.read_text()), "arm64")
        return 320_000 if "libc6" in found else 300_000

    monkeypatch.setattr(bisect, "measured", slow_with_libc)
    assert run("old.lock", "new.lock") == 0
    assert capsys.readouterr().out == "libc6 1 → 2: total +20.000 ms\n"
    assert run("old.lock", "old.lock") == 2
    Path("new.lock").write_text("{}")
    assert run("old.lock", "new.lock") == 2
    assert "are not two locks" in capsys.readouterr().err


def replacing(*rows: tuple[str, str, str, tuple[str, ...], tuple[str, ...]]) -> dict[str, Any]:
    """Return a lock of packages: name, version, source, what each depends on and provides."""
    records = [{**package(name, version), "source": source, "depends": list(depends), "provides": list(provides)}
               for name, version, source, depends, provides in rows]  # fmt: skip
    return {"format": 1, "suite": "bookworm", "requests": {"arm64": {"a": [one["sha256"] for one in records]}},
            "packages": records, "images": {}}  # fmt: skip


BEFORE = replacing(
    ("linux-image-arm64", "6.1.1", "linux-signed", ("linux-image-6.1.0-1-arm64",), ()),
    ("linux-image-6.1.0-1-arm64", "6.1.1", "linux-signed", (), ()),
    ("libssl3", "3.0", "openssl", (), ()),
    ("curl", "7", "curl", ("libssl3", "libc6"), ()),
    ("mta", "1", "mta", (), ("mail-agent",)),
    ("libc6", "1", "glibc", (), ()),
    ("same", "1", "same", ("mail-agent",), ()),
)
AFTER = replacing(
    ("linux-image-arm64", "6.1.2", "linux-signed", ("linux-image-6.1.0-2-arm64",), ()),
    ("linux-image-6.1.0-2-arm64", "6.1.2", "linux-signed", (), ()),
    ("libssl3t64", "3.1", "openssl-ng", (), ("libssl3",)),
    ("curl", "8", "curl", ("libssl3t64", "libc6"), ()),
    ("other-mta", "1", "other-mta", (), ("mail-agent", "mta")),
    ("libc6", "2", "glibc", (), ()),
    ("same", "1", "same", ("mail-agent",), ()),
)


def test_packages_that_replace_each_other_are_one_step() -> None:
    assert steps(BEFORE, AFTER, "arm64") == [
        ("curl", "libssl3", "libssl3t64"),
        ("libc6",),
        ("linux-image-6.1.0-1-arm64", "linux-image-6.1.0-2-arm64", "linux-image-arm64"),
        ("mta", "other-mta"),
    ]
    assert steps(OLD, NEW, "arm64") == [("fresh",), ("gone",), ("image x:1",), ("libc6",), ("nginx",)]
    assert steps(BEFORE, BEFORE, "arm64") == []


def test_a_kernel_that_replaced_another_is_named_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.lock").write_text(json.dumps(BEFORE))
    Path("new.lock").write_text(json.dumps(AFTER))

    def needs_all(image: str, machine: str, figure: str, settings: Settings) -> int:
        assert settings.lock
        held = {one["name"] for one in json.loads(settings.lock.read_text())["packages"]
                if one["sha256"] in json.loads(settings.lock.read_text())["requests"]["arm64"]["a"]}  # fmt: skip
        if ("libssl3" in held) == ("libssl3t64" in held) or sum("linux-image-6" in one for one in held) != 1:
            raise ImageError("half of a replacement")
        return 320_000 if "linux-image-6.1.0-2-arm64" in held else 300_000

    monkeypatch.setattr(bisect, "measured", needs_all)
    assert run("old.lock", "new.lock") == 0
    out = capsys.readouterr().out
    assert out == (
        "linux-image-6.1.0-1-arm64 6.1.1 → none, linux-image-6.1.0-2-arm64 none → 6.1.2, "
        "linux-image-arm64 6.1.1 → 6.1.2: total +20.000 ms\n"
    )
