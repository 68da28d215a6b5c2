"""The grammar by which images are named, and what is said of a name that is none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness import paths
from harness.errors import UserError
from harness.spec import load_machine, load_plan
from harness.spec.lint import lint
from harness.spec.named import NamedImage, image_named
from harness.spec.text.complaints import SpecError

MINIMAL = paths.CASES / "images/minimal.yml"
IMAGE = "kernel: {image: kernel}\ninit: [init]\n"
OS = "os: {name: theirs, arch: arm64}\nkernel: vmlinuz\nmilestones: [{name: ready, pattern: login}]\n"
LONG = "x" * 300
PLAN = "images: [{path: a.yml}]\nmachines: [qemu-arm64]\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in {"a.yml": IMAGE, "b.yaml": "services: []\n", "os.yml": OS, "plan.yml": PLAN}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "built").mkdir()
    (tmp_path / "built/manifest.json").write_text("{}")
    (tmp_path / "booted").mkdir()
    (tmp_path / "booted/image.json").write_text(json.dumps({"image": str(tmp_path / "built")}))
    (tmp_path / "results").mkdir()
    (tmp_path / "results/results.json").write_text("{}")
    (tmp_path / "x+y.yml").write_text(IMAGE)
    (tmp_path / "c++").mkdir()
    for name in ("a.yml", "b.yml"):
        (tmp_path / "c++" / name).write_text(IMAGE)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "kind", "files"),
    [
        ("a.yml", "yaml", ["a.yml"]),
        ("a.yml+b.yaml", "yaml", ["a.yml", "b.yaml"]),
        ("x+y.yml", "yaml", ["x+y.yml"]),  # a file of that very name
        ("minimal+b.yaml", "yaml", [MINIMAL, "b.yaml"]),
        ("minimal", "yaml", [MINIMAL]),
        ("os.yml", "os", ["os.yml"]),
        ("built", "built", ["built"]),
        ("./built/", "built", ["built"]),
        (["a.yml", "b.yaml"], "yaml", ["a.yml", "b.yaml"]),
        ("c++/a.yml+c++/b.yml", "yaml", ["c++/a.yml", "c++/b.yml"]),
        (["c++/a.yml", "minimal+./c++/b.yml"], "yaml", ["c++/a.yml", MINIMAL, "c++/b.yml"]),
    ],
)
def test_what_a_name_stands_for(folder: Path, name: str | list[str], kind: str, files: list[str | Path]) -> None:
    found = image_named(name)
    assert (found.kind, [path.resolve() for path in found.paths]) == (kind, [folder / file for file in files])


def test_names_are_seen_from_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert image_named("a.yml+b.yaml", folder).paths == (folder / "a.yml", folder / "b.yaml")


def test_the_folder_that_a_boot_has_left_is_the_image_that_was_booted(folder: Path) -> None:
    assert image_named("booted") == NamedImage("booted", "built", (folder / "built",))
    (folder / "built/manifest.json").unlink()
    with pytest.raises(UserError, match="has gone"):
        image_named("booted")


@pytest.mark.parametrize(
    ("name", "what", "hint"),
    [
        ("qemu-arm64", "no image 'qemu-arm64'", "a YAML"),
        (str(paths.MACHINES / "qemu-arm64.yml"), "describes a machine, where an image is wanted", "-m"),
        ("plan.yml", "describes a plan", "harness matrix plan.yml"),
        (str(paths.COMPONENTS / "nginx.yml"), "describes a component", "harness new nginx"),
        (str(paths.PROFILES / "base.yml"), "describes a profile", "-p"),
        ("a.yml+os.yml", "describes an OS", "nothing to build"),
        ("results", "holds the results of a run", "a YAML"),
        ("a.yml+built", "only YAML files are merged", "a YAML"),
        ("a", "no image 'a'", "did you mean a.yml?"),
        ("aa.yml", "no image 'aa.yml'", "did you mean a.yml?"),
        ("planning.yml", "no image 'planning.yml'", "a YAML"),  # plan.yml is none
        ("minimun", "no image 'minimun'", "did you mean minimal?"),
        ("a.yml+", "is empty", "A.yml+B.yml"),
        ("c++/c.yml", "no image 'c++/c.yml'", "did you mean c++/"),
        ("c++/a.yml+aa.yml", "no image 'aa.yml'", "did you mean a.yml?"),
        ("minimun+a.yml", "no image 'minimun'", "did you mean minimal?"),
        ("", "is empty", "A.yml"),
        (".", "it has no manifest.json", "a.yml"),
    ],
)
def test_a_name_that_is_no_image_is_told_what_it_is(folder: Path, name: str, what: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        image_named(name)
    assert what in caught.value.message
    assert hint in caught.value.hint


def test_a_file_that_is_no_yaml_is_told_where(folder: Path) -> None:
    (folder / "bad.yml").write_text("a: [\n")
    with pytest.raises(SpecError, match=r"bad\.yml:2"):
        image_named("bad.yml")


def test_a_plan_names_images_alike(folder: Path) -> None:
    text = "machines: [qemu-arm64]\nimages: [{path: a.yml+b.yaml}, {path: minimal}]\n"
    (folder / "sub").mkdir()
    (folder / "sub/plan.yml").write_text(text.replace("a.yml+b.yaml", "../a.yml+../b.yaml"))
    first, second = load_plan(Path("sub/plan.yml")).images
    assert [path.resolve() for path in image_named(str(first.path)).paths] == [folder / "a.yml", folder / "b.yaml"]
    assert image_named(str(second.path)).paths == (MINIMAL,)
    (folder / "plan.yml").write_text(text.replace("b.yaml", "c.yaml"))
    with pytest.raises(SpecError, match=r"there is no image 'c\.yaml'"):
        load_plan(Path("plan.yml"))


def test_a_plan_beneath_a_folder_with_a_plus_names_images_alike(folder: Path) -> None:
    (folder / "c++/plan.yml").write_text("machines: [qemu-arm64]\nimages: [{path: a.yml+b.yml}]\n")
    (image,) = load_plan(folder / "c++/plan.yml").images
    assert image_named(str(image.path)).paths == (folder / "c++/a.yml", folder / "c++/b.yml")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("aa.yml", "no image 'aa.yml', did you mean a.yml?"),
        ("result", "no image 'result', "),
        (".", "it has no manifest.json (it has a.yml"),
    ],
)
def test_a_plans_wrong_image_is_told_in_one_sentence(folder: Path, name: str, said: str) -> None:
    (folder / "plan.yml").write_text(f"machines: [qemu-arm64]\nimages: [{{path: {name}}}]\n")
    with pytest.raises(SpecError) as caught:
        load_plan(Path("plan.yml"))
    assert said in str(caught.value)
    assert "expected did you mean" not in str(caught.value)
    assert "did you mean results" not in str(caught.value)  # that folder is near, and no image


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("qemu-amd64", "qemu-x86_64"),
        ("qemu-amd46", "qemu-x86_64"),
        ("qemu-aarch64", "qemu-arm64"),
        ("qemu-arm46", "qemu-arm64"),
        ("qemu-x86-64-microvm", "qemu-x86_64-microvm"),
        ("amd64", "qemu-x86_64"),
        ("aarch64", "qemu-arm64"),
        ("s390", "qemu-s390x"),
        ("raspi3b", "qemu-raspi3b"),
    ],
)
def test_a_machine_is_corrected_to_its_own_architecture(said: str, meant: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_machine(said)
    assert caught.value.hint.startswith(f"did you mean {meant}?")
    (tmp_path / "plan.yml").write_text(f"images: [{{path: minimal}}]\nmachines: [{said}]\n")
    with pytest.raises(SpecError, match=rf"did you mean {meant}"):
        load_plan(tmp_path / "plan.yml")


@pytest.mark.parametrize(("given", "meant"), [("[a.yml]", '{path: "a.yml"}'), ("a.yml", '[{path: "a.yml"}]')])
def test_a_plans_image_without_its_key_is_told_what_to_write(tmp_path: Path, given: str, meant: str) -> None:
    plan = tmp_path / "plan.yml"
    plan.write_text(f"machines: [qemu-arm64]\nimages: {given}\n")
    with pytest.raises(SpecError) as caught:
        load_plan(plan)
    assert f"did you mean {meant}?" in caught.value.details


def test_what_can_be_read_only_once_is_no_images_yaml(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yml")
    with pytest.raises(UserError, match=r"a\.yml is not a regular file"):
        image_named("a.yml", tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        PLAN.replace("a.yml", LONG),
        PLAN.replace("qemu-arm64", f"{LONG}.yml"),
        f"{PLAN}cases: [{LONG}]\n",
        f"{IMAGE}files: [{{path: a, source: {LONG}}}]\n",
        OS.replace("vmlinuz", LONG),
    ],
)
def test_a_name_that_no_file_can_have_is_a_complaint(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yml").write_text(text)
    (found,) = lint([tmp_path / "a.yml"])
    assert any("xxx" in one.what or "xxx" in str(one) for one in found.complaints)
