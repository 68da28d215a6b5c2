"""How an image runs: the YAML over its label over its config, and its user by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from handmade import M, image, ln, tar

from harness.build.bundle import make
from harness.build.images import judge, make_part, record
from harness.errors import ImageError, UserError
from harness.oci.config import LABEL
from harness.oci.layers import Limits
from harness.spec import load_image
from harness.spec.models.container import Entry
from harness.spec.text.complaints import SpecError
from harness.store import Store

ACCOUNTS = tar(
    M("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nweb:x:101:102:web:/:/bin/false\nodd:x:-1:0::/:\nshort\n"),
    M("etc/group", b"root:x:0:\nweb:x:102:\nlogs:x:7:nobody,web\ntape:x:8:web\nweb2:x:9:web2\n"),
)


def part_of(folder: Path, layer: bytes = ACCOUNTS, label: object = None, **process: Any):
    """The part of an image with this process and, as its label, this value."""
    if label is not None:
        process["Labels"] = {LABEL: label if isinstance(label, str) else json.dumps(label)}
    return make_part(image(folder, layer, config={"config": process}), Limits(), Store(folder / "cache"))


def process_of(folder: Path, keys: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return config.json's process for an entry with these keys."""
    part, entry = part_of(folder, **more), Entry(name="a", image="registry.example/x", **(keys or {}))
    process: dict[str, Any] = make(entry, part.config_for(entry), {"a": 100}).config["process"]
    return process


def test_the_yaml_goes_over_the_label_and_that_over_the_config(tmp_path: Path) -> None:
    said = {"Entrypoint": ["/e"], "Cmd": ["c"], "Env": ["PATH=/p"], "WorkingDir": "/w"}
    process = process_of(tmp_path, **said)
    assert (process["args"], process["env"], process["cwd"]) == (["/e", "c"], ["PATH=/p"], "/w")
    label = {"command": ["/l"], "cwd": "/lw", "capabilities": ["CAP_KILL"], "env": ["L=1"]}
    process = process_of(tmp_path, label=label, **said)
    assert (process["args"], process["env"], process["cwd"]) == (["/l"], ["L=1"], "/lw")
    assert process["capabilities"]["bounding"] == ["CAP_KILL"]
    keys = {"command": ("/y",), "cwd": "", "capabilities_add": ("CAP_CHOWN",), "env": ()}
    process = process_of(tmp_path, keys, label=label, **said)
    assert (process["args"], process["env"], process["cwd"]) == (["/y"], [], "/lw")
    assert process["capabilities"]["bounding"] == ["CAP_CHOWN", "CAP_KILL"]


def test_a_path_is_added_where_the_images_environment_has_none(tmp_path: Path) -> None:
    env = process_of(tmp_path, {"command": ("x",)}, Env=["A=1"])["env"]
    assert env[0] == "A=1" and env[1].startswith("PATH=/usr/local/sbin:") and len(env) == 2
    assert process_of(tmp_path, {"command": ("x",)}, Env=["PATH=/p"])["env"] == ["PATH=/p"]


@pytest.mark.parametrize("empty", [{}, {"Entrypoint": None, "Cmd": None, "Env": None, "Labels": None, "User": None}])
def test_a_config_that_says_nothing_leaves_the_defaults(tmp_path: Path, empty: dict[str, Any]) -> None:
    process = process_of(tmp_path, {"command": ("/x",)}, **empty)
    assert process["user"] == {"uid": 0, "gid": 0} and process["cwd"] == "/" and process["env"][0].startswith("PATH=")


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("web", {"uid": 101, "gid": 102, "additionalGids": [7, 8]}),
        ("101", {"uid": 101, "gid": 102, "additionalGids": [7, 8]}),
        ("web:logs", {"uid": 101, "gid": 7}),
        ("5", {"uid": 5, "gid": 0}),
        ("5:6", {"uid": 5, "gid": 6}),
        (":logs", {"uid": 0, "gid": 7}),
        ("root", {"uid": 0, "gid": 0}),
        ("", {"uid": 0, "gid": 0}),
    ],
)
def test_a_user_is_looked_up_in_the_image(tmp_path: Path, user: str, expected: dict[str, Any]) -> None:
    assert process_of(tmp_path, {"command": ("/x",)}, User=user)["user"] == expected


@pytest.mark.parametrize("user", ["gone", "web:gone", "odd", "-1", "99999999999", "5:99999999999", "\x1b[2J"])
def test_a_user_that_the_image_does_not_know_is_refused(tmp_path: Path, user: str) -> None:
    with pytest.raises(ImageError, match="which its /etc") as caught:
        part_of(tmp_path, User=user)
    assert "\x1b" not in str(caught.value)


def test_accounts_that_nobody_wrote_are_not_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="its /etc/passwd is larger than 1 MiB"):
        part_of(tmp_path, tar(M("etc/passwd", b"x" * ((1 << 20) + 1))), User="web")
    loop = tar(ln("etc", "etc"))
    with pytest.raises(UserError, match="circle"):
        part_of(tmp_path, loop, User="web")


def test_whoever_says_a_user_takes_nothing_of_the_images(tmp_path: Path) -> None:
    assert process_of(tmp_path, {"command": ("/x",), "uid": 0}, User="web")["user"] == {"uid": 0, "gid": 0}
    labelled = process_of(tmp_path, {"command": ("/x",)}, User="web", label={"gid": 3})
    assert labelled["user"] == {"uid": 0, "gid": 3}


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ({"name": "x"}, "name: unknown key"),
        ({"image": "x"}, "image: unknown key"),
        ({"comand": ["x"]}, "comand: unknown key, did you mean command?"),
        ({"uid": []}, "uid: "),
        ({"capabilities": ["CAP_X"]}, "capabilities[0]: unknown capability 'CAP_X'"),
        ({"runtime": {"mkdir": ["/../x"]}}, "runtime.mkdir[0]: '/../x' leaves the image's root"),
        ({"annotations": {"harness.timeout": "soon"}}, "annotations.harness.timeout: "),
        ("[", "not YAML"),
        ("", None),
        ("[]", ""),
        ("a\x1b[2J: 1", "cannot be printed"),
        ("x" * (2 << 20), "larger than 1 MiB"),
    ],
)
def test_a_label_is_judged_as_the_yaml_is(tmp_path: Path, label: object, words: str | None) -> None:
    if words is None:
        assert part_of(tmp_path, label=label).config.command is None
        return
    with pytest.raises(SpecError) as caught:
        part_of(tmp_path, label=label)
    (complaint, *_) = caught.value.complaints
    assert str(complaint).startswith(f"registry.example/hostile:1, label {LABEL}:") and words in str(complaint)


@pytest.mark.parametrize(
    ("label", "keys", "words"),
    [
        (None, "", "services: a: registry.example/x:1 has no command"),
        ({"command": []}, "", "has no command"),
        ({"command": ["x"], "binds": ["gone:/x"]}, "", "binds[0]: there is no volume 'gone'"),
        ({"command": ["x"], "binds": ["data:/x"]}, "", "binds[0]: the volume 'data' is read-only"),
        ({"command": ["x"], "uid": "b"}, "", "uid: unknown user or group 'b'"),
        ({"command": ["x"], "uid": "a"}, "", None),
        ({"command": ["x"], "binds": ["gone:/x"], "uid": "b"}, "binds: [], uid: 1", None),
    ],
)
def test_what_a_label_names_must_be_in_the_image(tmp_path: Path, label: object, keys: str, words: str | None) -> None:
    yaml = tmp_path / "image.yml"
    yaml.write_text(
        f"kernel: {{image: kernel}}\nvolumes: [{{name: data, readonly: true}}]\n"
        f"services: [{{name: a, image: 'registry.example/x:1', {keys}}}]\n"
    )
    spec, part = load_image([yaml]), part_of(tmp_path, label=label)
    parts, images = {"registry.example/x:1": part}, {"registry.example/x:1": image(tmp_path, ACCOUNTS)}
    if words is None:
        judge(spec, parts, images)
        return
    with pytest.raises(UserError) as caught:
        judge(spec, parts, images)
    assert words in str(caught.value)


def test_what_the_manifest_says_of_an_image(tmp_path: Path) -> None:
    labels = {"b": "2", "a": "1", "org.opencontainers.image.licenses": "MIT OR Apache-2.0"}
    made = image(tmp_path, ACCOUNTS, config={"config": {"Labels": labels}})
    row = record(made)
    assert (row["reference"], row["platform"], row["licences"]) == (made.reference, "linux/arm64", "MIT OR Apache-2.0")
    assert list(row["labels"]) == ["a", "b", "org.opencontainers.image.licenses"]
    (layer,) = row["layers"]
    assert layer == {"digest": made.layers[0].digest, "size": len(ACCOUNTS), "diff_id": made.layers[0].digest}
