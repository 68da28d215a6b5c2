"""`harness new` and `harness add`: what they write lints clean, and what would not is not written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import paths
from harness.cli import app
from harness.spec import library as known
from harness.spec import load_image
from harness.spec.lint import lint

IMAGE = """\
# my own
kernel:
  image: kernel
init: [init] # one line
services:
  # the web
  - name: web
    image: nginx
"""


def run(*words: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.output


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An image's YAML with comments."""
    path = tmp_path / "os.yml"
    path.write_text(IMAGE)
    path.chmod(0o640)
    return path


def test_new_makes_an_image_of_names(tmp_path: Path) -> None:
    out = tmp_path / "new" / "os.yml"
    assert run("new", "nginx", "rngd", "ca-certificates", "-o", out)[0] == 0
    spec = load_image([out])
    assert (spec.kernel.image, spec.init) == ("kernel", ("init", "ca-certificates"))
    assert [one.image for one in spec.onboot] == ["sysctl", "dhcp"]
    assert [one.image for one in spec.services] == ["nginx", "rngd"]
    assert out.read_text().count("#") > 6, "it teaches"
    code, said = run("new", "nginx", "-o", out)
    assert code == 2 and "is there already" in said


@pytest.mark.slow
def test_new_of_every_component_lints_clean(tmp_path: Path) -> None:
    out = tmp_path / "all.yml"
    assert run("new", *known(), "-o", out) == (0, f"{out}: harness boot {out} -m qemu-arm64\n")
    (finding,) = lint([out])
    assert finding.complaints == () and {one.text for one in finding.references} == set(known())


def test_new_of_an_image_of_others(tmp_path: Path) -> None:
    code, text = run("new", "registry.example:5000/group/app:1.2")
    assert code == 0
    (tmp_path / "os.yml").write_text(text)
    (app_,) = load_image([tmp_path / "os.yml"]).services
    assert (app_.name, app_.image) == ("app", "registry.example:5000/group/app:1.2")
    assert "CAP_NET_BIND_SERVICE" in (app_.capabilities or ())


def test_new_of_local_parts_writes_them_as_the_file_must(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web/component.yml").write_text('description: "mine\\nor yours: a\\x1bb"\nconfig: {command: [/x]}\n')
    monkeypatch.chdir(tmp_path)
    assert run("new", "@pkg:web", "-o", "deep/er/os.yml")[0] == 0
    assert "  # mine or yours: a\\x1bb\n" in Path("deep/er/os.yml").read_text()
    (web,) = load_image([Path("deep/er/os.yml")]).services
    assert (web.name, web.image) == ("web", "@pkg:../../web")
    assert run("add", "@pkg:web", "deep/er/os.yml", "--name", "again")[0] == 0
    assert load_image([Path("deep/er/os.yml")]).services[1].image == "@pkg:../../web"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("new", "ngnix"), "the library has no component 'ngnix'\nwhat to do: did you mean nginx?"),
        (("new", "@pkg:gone"), "there is no local component 'gone'"),
        (("new", "Not:A:Reference"), "is not an image reference"),
        (("new",), "NAME"),
        (("add", "nginx", "gone.yml"), "cannot read gone.yml"),
    ],
)
def test_what_is_not_there_is_refused(words: tuple[str, ...], message: str) -> None:
    code, said = run(*words)
    assert code == 2 and message in said


def test_add_changes_nothing_else(file: Path) -> None:
    code, said = run("add", "rngd", file)
    assert (code, said) == (0, f"{file}:9: rngd is in services\n")
    assert file.read_text() == f"{IMAGE}  - name: rngd\n    image: rngd\n"
    assert file.stat().st_mode & 0o777 == 0o640
    assert run("add", "ca-certificates", file)[0] == 0
    assert "init: [init, ca-certificates] # one line\n" in file.read_text()
    code, said = run("add", "dhcp", file, "--json")
    assert json.loads(said) == {"file": str(file), "section": "onboot", "image": "dhcp", "line": 6}
    onboot = "onboot:\n  - name: dhcp\n    image: dhcp\n"
    assert f"init: [init, ca-certificates] # one line\n{onboot}services:\n  # the web\n" in file.read_text()
    assert run("add", "busybox", file, "--section", "onshutdown", "--name", "bye")[0] == 0
    assert lint([file])[0].complaints == ()


def test_add_writes_through_a_link(file: Path) -> None:
    link = file.with_name("link.yml")
    link.symlink_to(file.name)
    assert run("add", "rngd", link)[0] == 0
    assert link.is_symlink() and "rngd" in file.read_text()


def test_a_file_that_is_only_a_part_is_added_to(tmp_path: Path) -> None:
    part = tmp_path / "part.yml"
    part.write_text("files: []\n")
    assert run("add", "rngd", part)[0] == 0
    assert run("add", "kernel", part)[0] == 0
    assert load_image([part]).kernel.image == "kernel"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nginx", "--name", "web"), "services[1].name: the name 'web' is taken by"),
        (("nginx", "--name", "a b"), "services[1].name: "),
        (("kernel",), "has a kernel already: kernel"),
        (("kernel", "--section", "services"), "the component kernel is a kernel, and has its place in `kernel` only"),
        (("init",), "has init in its init already"),
        (("init", "--section", "services"), "command: is missing"),
        (("nginx", "--section", "files"), "'files' is not one of 'kernel'"),
        (("nosuch",), "the library has no component 'nosuch'"),
    ],
)
def test_what_would_be_wrong_is_not_written(file: Path, words: tuple[str, ...], message: str) -> None:
    code, said = run("add", words[0], file, *words[1:])
    assert code == 2 and message in said
    assert file.read_text() == IMAGE


def test_only_an_image_is_added_to(tmp_path: Path) -> None:
    code, said = run("add", "nginx", paths.MACHINES / "qemu-arm64.yml")
    assert code == 2 and "is not an image's YAML" in said
    broken = tmp_path / "broken.yml"
    broken.write_text("services: [\n")
    assert run("add", "nginx", broken)[0] == 2
