"""What lies in a bundle for whoever runs it: config.json by the OCI's own schema, and the files of each init."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from judges import library
from referencing import Registry
from referencing.jsonschema import DRAFT4

from harness.build.bundle import Bundle, make
from harness.build.contract import linuxkits, ours
from harness.errors import UserError
from harness.spec.models.container import BindNS, Entry, EntryConfig, Interface, Mount, Runtime
from harness.spec.models.image import ImageFile
from harness.spec.text.reader import YamlNode, read
from harness.spec.text.shape import check

# of Debian's golang-github-opencontainers-specs-dev
SCHEMAS = Path("/usr/share/gocode/src/github.com/opencontainers/runtime-spec/schema")
EVERYTHING = Path(__file__).parents[1] / "spec/data/everything.yml"
PREFIX = "containers/services/web"


@pytest.fixture(scope="module")
def validator() -> Any:
    """Judges a config.json by the runtime specification's schema."""
    if not SCHEMAS.is_dir():
        pytest.skip("golang-github-opencontainers-specs-dev is not installed")
    loaded = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")}
    resources = [(name, DRAFT4.create_resource(schema)) for name, schema in loaded.items()]
    # runc and crun know these as well, and the first is what runc does where nobody says
    known = loaded["defs-linux.json"]["definitions"]["RootfsPropagation"]["enum"]
    known += ["rslave", "rshared", "rprivate"]
    top = loaded["config-schema.json"]
    library().Draft4Validator.check_schema(top)
    return library().Draft4Validator(top, registry=Registry().with_resources(resources))


def bundle(**runtime: object) -> Bundle:
    return make(Entry(name="web", image="x", command=("/x",), runtime=Runtime(**runtime)), EntryConfig(), {})


def test_every_key_of_the_yaml_makes_a_config_that_is_valid(validator: Any) -> None:
    spec, _ = check(ImageFile, read(EVERYTHING), {})
    assert spec is not None
    entries = [*spec.onboot, *spec.onshutdown, *spec.services]
    volumes = {volume.name: volume.readonly for volume in spec.volumes}
    for entry in entries:
        made = make(entry, EntryConfig(), {one.name: 100 for one in entries}, volumes)
        for files in (ours(made, PREFIX), linuxkits(made, PREFIX)):
            validator.validate(json.loads(files["config.json"]))


def test_the_schema_can_refuse(validator: Any) -> None:
    config = json.loads(ours(bundle(), PREFIX)["config.json"])
    validator.validate(config)
    for path, value in ((("process", "cwd"), 1), (("linux", "namespaces"), [{"type": "x"}]), (("mounts",), {})):
        wrong = json.loads(json.dumps(config))
        part = wrong
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = value
        with pytest.raises(library().ValidationError):
            validator.validate(wrong)


def test_our_init_finds_its_settings_and_linuxkits_its_runtime() -> None:
    runtime = {"mkdir": ("/run/x",), "bind_ns": BindNS(net="/run/n"), "namespace": "web",
               "mounts": (Mount(type="tmpfs", destination="/run/y"),),
               "interfaces": (Interface(name="eth1", add="veth", peer="veth1", create_in_root=True),)}  # fmt: skip
    made = bundle(**runtime)
    assert set(ours(made, PREFIX)) == {"config.json", "settings", "prepare", "namespaces"}
    assert set(ours(bundle(), PREFIX)) == {"config.json", "settings"}
    theirs = linuxkits(made, PREFIX)
    assert set(theirs) == {"config.json", "runtime.json"} and "hooks" not in json.loads(theirs["config.json"])
    assert json.loads(theirs["runtime.json"]) == {
        "mkdir": ["/run/x"], "bindNS": {"net": "/run/n"}, "namespace": "web",
        "mounts": [
            {"destination": f"/{PREFIX}/tmp", "type": "tmpfs", "source": "tmpfs"},
            {"destination": f"/{PREFIX}/rootfs", "type": "overlay", "source": "overlay",
             "options": [f"lowerdir=/{PREFIX}/lower", f"upperdir=/{PREFIX}/tmp/upper", f"workdir=/{PREFIX}/tmp/work"]},
            {"type": "tmpfs", "destination": "/run/y"},
        ],
        "interfaces": [{"name": "eth1", "add": "veth", "peer": "veth1", "createInRoot": True}],
    }  # fmt: skip
    entry = Entry(name="web", image="x", command=("/x",), readonly=True)
    readonly = json.loads(linuxkits(make(entry, EntryConfig(), {}), PREFIX)["runtime.json"])
    root = f"/{PREFIX}/rootfs"
    assert readonly == {"mounts": [{"destination": root, "source": root, "options": ["bind"]}]}


def test_the_hook_names_its_script_and_runs_it_in_the_roots_namespaces(validator: Any) -> None:
    files = ours(bundle(interfaces=(Interface(name="eth0"),)), PREFIX)
    config = json.loads(files["config.json"])
    validator.validate(config)
    (hook,) = config["hooks"]["createRuntime"]
    assert hook["args"] == ["sh", f"/{PREFIX}/namespaces"] and hook["path"] == "/bin/sh"


def test_what_hostile_names_say_stays_a_name(tmp_path: Path) -> None:
    """Names end up in a script: whatever they hold is quoted."""
    evil = "$(touch${IFS}x)"
    spaces = BindNS(net="/run/`touch x`/a b", uts="/run/';touch x'")
    made = bundle(interfaces=(Interface(name=evil), Interface(name=evil, peer=evil)), bind_ns=spaces)
    script = "ip() { :; }; nsenter() { :; }; mount() { :; }; umount() { :; }; mkdir() { :; }; usleep() { :; }\n"
    script += ours(made, PREFIX)["namespaces"].replace("set -e\n", "")
    subprocess.run(["sh"], input=script.encode(), cwd=tmp_path, check=False, capture_output=True)
    assert list(tmp_path.iterdir()) == []


def leaves(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every scalar of a document."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, tuple) else ()
    found = False
    for key, below in pairs:
        found = True
        yield from leaves(below, (*path, key))
    if not found:
        yield path


def changed(value: object, path: tuple[str | int, ...], to: object) -> object:
    """Return a document with another value at a path; without it when that is None."""
    if not path:
        return to
    first, *rest = path
    items = dict(value.items() if isinstance(value, dict) else enumerate(value))  # type: ignore[attr-defined, call-overload]
    if not rest and to is None:
        del items[first]
    else:
        items[first] = changed(items[first], tuple(rest), to)
    return items if isinstance(value, dict) else tuple(items.values())


def made_of(entry: object) -> list[dict[str, str]]:
    """Return the files of an entry's bundle for each init; nothing where the entry is wrong."""
    whole = replace(read(EVERYTHING), root=node({"services": (entry,)}))
    file, problems = check(ImageFile, whole, {})
    if file is None or problems:
        return []
    made = make(file.services[0], EntryConfig(), {"web": 100, "1": 1}, {"data": True})
    return [ours(made, PREFIX), linuxkits(made, PREFIX)]


def node(value: object) -> YamlNode:
    if isinstance(value, dict):
        return YamlNode({key: node(below) for key, below in value.items()}, (1, 1))
    return YamlNode([node(below) for below in value] if isinstance(value, tuple) else value, (1, 1), str(value))


WEB = read(EVERYTHING).data["services"][0]
# what a plain key says, `.add` says no more
ADDED = {key: value for key, value in WEB.items() if key not in ("capabilities", "binds")}


def others(value: object) -> Iterator[object]:
    """Yield what to put in a value's place: nothing at all, and another one of its type."""
    yield None
    yield not value if isinstance(value, bool) else value + 1024 if isinstance(value, int) else f"{value}x"


@pytest.mark.parametrize(
    "path",
    [path for path in leaves(WEB) if path[0] not in ("name", "image")],
    ids=lambda path: ".".join(map(str, path)),
)
def test_every_key_of_a_container_makes_a_difference(path: tuple[str | int, ...]) -> None:
    """What it says is in config.json or in what the init reads: it differs without it, or with another value."""
    entry = ADDED if str(path[0]).endswith(".add") else WEB
    whole, value = made_of(entry), entry
    assert whole
    for key in path:
        value = value[key]
    for other in others(value):
        with contextlib.suppress(ValueError, UserError):  # which the spec's checks refuse before
            files = made_of(changed(entry, path, other))
            if files and files != whole:
                return
    raise AssertionError(f"{path} makes no difference")
