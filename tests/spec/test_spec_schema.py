"""JSON Schemas: valid themselves, no stricter than the rules, and as strict as a schema can be."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from judges import judged, library, refusals

from harness import paths
from harness.cli import app
from harness.spec import schema
from harness.spec.kinds import MODELS, FileKind
from harness.spec.lint import lint
from harness.spec.models.base import Model
from harness.spec.text.reader import mapping_of, parse, read

FOLDERS = (paths.COMPONENTS, paths.MACHINES, paths.CASES, paths.PROFILES, Path(__file__).parent / "data")
SHIPPED = sorted(path for folder in FOLDERS for path in folder.rglob("*.yml"))


schema_of = functools.cache(schema.schema)
pytestmark = [judged, pytest.mark.slow]  # the judge takes seconds to load


def errors(kind: FileKind, data: object) -> list[str]:
    """Return what a schema says of data as the reader gives it; a tuple is a list there."""
    return refusals(schema_of(kind), json.loads(json.dumps(data)))


@pytest.mark.parametrize("kind", MODELS)
def test_is_a_schema_of_2020_12_and_says_what_everything_is(kind: FileKind) -> None:
    made = schema.schema(kind)
    library().Draft202012Validator.check_schema(made)
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert made["title"] and made["description"]
    for part in (made, *made.get("$defs", {}).values()):
        assert part["description"] and part["additionalProperties"] is False
        for key, value in part["properties"].items():
            assert value["description"] and value.get("title", key), key
            assert {"type", "$ref", "anyOf", "enum", "const"} & value.keys(), f"{key} may be anything"
        assert not set(MODELS[kind].given) & set(made["properties"])


@pytest.mark.parametrize("kind", MODELS)
def test_the_shipped_file_is_current(kind: FileKind) -> None:
    assert schema.path(kind).read_text() == schema.text(kind), "run: python -m harness.spec.schema"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_file_is_accepted(path: Path) -> None:
    (finding,) = lint([path])
    assert finding.complaints == () and finding.kind != "unknown"
    assert errors(finding.kind, mapping_of(read(path))) == []


IMAGE = "kernel: {image: kernel}\ninit: [init]\nservices: [{name: web, image: nginx}]\n"
MACHINE = "arch: arm64\nconsole: ttyAMA0\nqemu: {machine: virt, cpu: max}\n"
BOARD = "arch: arm64\nconsole: ttyAMA0\nboard: {console: {serial: /dev/ttyUSB0}}\n"
PLAN = "images: [{path: a.yml}]\nmachines: [qemu-arm64]\n"
OS = "os: {name: mine, arch: arm64}\ndisk: d.img\nmilestones: [{name: ready, pattern: up}]\n"
PROFILE = "description: d\nversion: 1\nrequirements: [{id: a, text: t, cases: [a.py]}]\n"
WAIVERS = "waivers: [{requirement: a, reason: r, owner: o, until: '2030-01-31'}]\n"
RIGHT: list[tuple[FileKind, str]] = [
    ("image", IMAGE), ("machine", MACHINE), ("machine", BOARD), ("plan", PLAN), ("os", OS), ("profile", PROFILE),
    ("waivers", WAIVERS), ("component", "description: d\n"),
    ("image", IMAGE.replace("nginx", "nginx, capabilities: [ALL], net: /run/netns/a, uid: 0, annotations: {a: b}")),
    ("image", IMAGE.replace("nginx}", "nginx, devices: [{path: all}, {path: a, type: c, mode: '0666'}]}")),
    ("machine", BOARD.replace("0}}", "0, log: false}, power: {manual: true, pause: 1}}")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), RIGHT)
def test_right_files_are_accepted(kind: FileKind, text: str) -> None:
    assert errors(kind, yaml.safe_load(text)) == []


WRONG: list[tuple[FileKind, str]] = [
    ("image", IMAGE + "bogus: 1\n"),
    ("image", IMAGE.replace("web,", "-web,")),
    ("image", IMAGE.replace("web,", "'',")),
    ("image", IMAGE.replace("nginx}", "nginx, readonly: 'yes'}")),
    ("image", IMAGE.replace("nginx}", "nginx, capabilities: [CAP_FLY]}")),
    ("image", IMAGE.replace("nginx}", "nginx, net: bridge}")),
    ("image", IMAGE.replace("nginx}", "nginx, rlimits: [nofile]}")),
    ("image", IMAGE.replace("nginx}", "nginx, binds: [/etc]}")),
    ("image", IMAGE.replace("nginx}", "nginx, tmpfs: [run]}")),
    ("image", IMAGE.replace("nginx}", "nginx, uid: -1}")),
    ("image", IMAGE.replace("nginx}", "nginx, annotations: {harness.helth: 'tcp:80'}}")),
    ("image", IMAGE.replace("nginx}", "nginx, annotations: {a: 1}}")),
    ("image", IMAGE.replace("nginx}", "nginx, resources: {memory: {limit: much}}}")),
    ("image", IMAGE.replace("nginx}", "nginx, resources: {memory: {limt: 1}}}")),
    ("image", IMAGE.replace("nginx}", "nginx, resources: {hugepageLimits: [{pageSize: 1000}]}}")),
    ("image", IMAGE.replace("nginx}", "nginx, cwd: null}")),
    ("image", IMAGE.replace("nginx}", "nginx, devices: [{path: a, type: z, mode: '0666'}]}")),
    ("image", IMAGE.replace("nginx}", "nginx, devices: [{path: a, type: c}]}")),
    ("image", IMAGE.replace("nginx}", "nginx, devices: [{path: a, mode: '0666'}]}")),
    ("image", IMAGE + "files: [{path: a, contents: b, mode: '0999'}]\n"),
    ("image", IMAGE + "volumes: [{name: A}]\n"),
    ("component", "description: d\npackages: [-y]\n"),
    ("component", "description: d\npackages_for: {pdp11: [a]}\n"),
    ("component", "description: d\nmodules: [a/b]\n"),
    ("component", "description: d\nsection: nowhere\n"),
    ("component", "packages: [a]\n"),
    ("machine", MACHINE.replace("arm64", "pdp11")),
    ("machine", MACHINE.replace("max", "max, memory: 8")),
    ("machine", MACHINE.replace("max", "'-drive'")),
    ("machine", MACHINE + "board: {console: {serial: /dev/ttyUSB0}}\n"),
    ("machine", "arch: arm64\nconsole: ttyAMA0\n"),
    ("machine", MACHINE + "name: other\n"),
    ("machine", BOARD.replace("0}}", "0, log: true}}")),
    ("machine", BOARD.replace("0}}", "0}, power: {pause: 1}}")),
    ("machine", BOARD.replace("0}}", "0}, secrets_env: [a b]}")),
    ("machine", BOARD.replace("0}}", "0}, ssh: {host: a, port: 0}}")),
    ("plan", PLAN.replace("images: [{path: a.yml}]\n", "")),
    ("plan", PLAN + "budget: {ready: 0}\n"),
    ("plan", PLAN + "known: [{case: test_a, issue: i, until: tomorrow}]\n"),
    ("plan", PLAN + "notify: {webhook_env: 'https://x'}\n"),
    ("os", OS.replace("arm64", "amd64")),
    ("os", OS + "firmware: bios\n"),
    ("os", OS + "ports: [70000]\n"),
    ("os", OS.replace("mine", "unready")),
    ("profile", PROFILE.replace("id: a", "id: A")),
    ("profile", PROFILE.replace("version: 1", "version: 0")),
    ("profile", PROFILE.replace("a.py", "/etc/passwd")),
    ("waivers", WAIVERS.replace("2030-01-31", "31.1.2030")),
]


@pytest.mark.parametrize(("kind", "text"), WRONG)
def test_wrong_files_are_refused_by_the_schema_and_by_lint(kind: FileKind, text: str, tmp_path: Path) -> None:
    assert errors(kind, mapping_of(parse(text.encode(), Path("a.yml")))), "the schema"
    folder = tmp_path / "component.yml" if kind == "component" else tmp_path / f"{kind}.yml"
    folder.write_text(text)
    (finding,) = lint([folder])
    assert finding.kind == kind and finding.complaints, "lint"


def patterns(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["pattern"]] if isinstance(part.get("pattern"), str) else []
        return own + [text for value in part.values() for text in patterns(value)]
    return [text for value in part for text in patterns(value)] if isinstance(part, list) else []


@pytest.mark.parametrize("kind", MODELS)
def test_patterns_mean_the_same_in_ecmascript(kind: FileKind) -> None:
    """What Python has and ECMAScript has not: named groups as (?P<, flags in the middle, \\Z."""
    for text in patterns(schema.schema(kind)):
        re.compile(text)
        assert not re.search(r"\(\?P|\(\?[aiLmsux]|\\[AZ]", text), text


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(words))
    return done.exit_code, done.output


def test_the_command_prints_it_and_where_it_is() -> None:
    code, said = run("schema", "image")
    assert code == 0 and json.loads(said) == schema.schema("image")
    code, said = run("schema", "image", "--path")
    assert code == 0 and json.loads(Path(said.strip()).read_text()) == schema.schema("image")
    code, said = run("schema", "imag")
    assert code == 2 and "did you mean image?" in said


def test_the_line_for_editors_leads_to_the_schema(tmp_path: Path) -> None:
    line = schema.editor_line("image", tmp_path / "os.yml")
    assert Path(line.removeprefix(schema.EDITOR)) == schema.path("image").resolve()
    inside = paths.TOP / "cases" / "mine.yml"
    if (paths.TOP / ".git").exists():  # relative, so that it is right in everybody's checkout
        found = schema.editor_line("image", inside).removeprefix(schema.EDITOR)
        assert not Path(found).is_absolute()
        assert (inside.parent / found).resolve() == schema.path("image").resolve()


def test_new_begins_with_the_line(tmp_path: Path) -> None:
    out = tmp_path / "os.yml"
    assert run("new", "nginx", "-o", str(out))[0] == 0
    first = out.read_text().splitlines()[0]
    made = json.loads(Path(first.removeprefix("# yaml-language-server: $schema=")).read_text())
    assert refusals(made, yaml.safe_load(out.read_text())) == []


def test_every_model_of_a_file_is_a_model() -> None:
    assert all(issubclass(model, Model) for model in MODELS.values())
