"""Image files: merging as LinuxKit does, and every refusal of what one file says by itself, all at once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from harness import paths
from harness.errors import UserError
from harness.spec import SpecError, kind_of, load_image, settings
from harness.spec.components import Components
from harness.spec.merge import judge
from harness.spec.rules.annotations import EntrySettings, Health
from harness.spec.text.reader import read

DATA = Path(__file__).parent / "data"
KERNEL = "kernel: {image: kernel}\n"
COMPONENTS = {"kernel": "kernel: {modules: []}", "nginx": "config: {command: [nginx]}"}


@pytest.fixture(autouse=True)
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of two components, so that tests do not depend on the real one."""
    folder = tmp_path / "components"
    folder.mkdir()
    for name, text in COMPONENTS.items():
        (folder / f"{name}.yml").write_text(f"description: x\n{text}\n")
    monkeypatch.setattr(paths, "COMPONENTS", folder)
    return folder


def wrong(tmp_path: Path, text: str) -> list[str]:
    """Return the complaints about an image file, without the file's name."""
    path = tmp_path / "image.yml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_image([path])
    lines = [str(complaint) for complaint in caught.value.complaints]
    assert str(caught.value).splitlines()[1:] == lines
    return [line.removeprefix(f"{path}:") for line in lines]


def entry_wrong(tmp_path: Path, keys: str, section: str = "services") -> list[str]:
    """Return the complaints about one entry with these keys (flow YAML), without place and path."""
    lines = wrong(tmp_path, f"{KERNEL}{section}:\n  - {{name: a, image: nginx, {keys}}}\n")
    assert all(f": {section}[0]" in line for line in lines)
    return [line.split(f"{section}[0].", 1)[-1] for line in lines]


def test_every_key_is_understood() -> None:
    (spec,), complaints = judge([read(DATA / "everything.yml")], Components())
    web = spec.services[0]
    assert spec.kernel.tar == "none"
    assert (web.uid, web.gid, web.additional_gids) == ("web", 100, (10, "web"))
    assert web.capabilities_add == ("CAP_SETUID",)
    assert web.resources is not None and web.resources["memory"]["limit"] == 1_000_000
    assert web.runtime is not None and web.runtime.bind_ns is not None and web.runtime.bind_ns.net == "/run/n"
    assert settings(web.annotations) == EntrySettings("always", Health("http", "80/index.html"), 60, 20)
    assert web.model_fields_set >= {"readonly", "rlimits"}  # nothing was dropped on the way
    assert spec.files[5].contents == ""
    assert complaints == []


def test_files_are_merged_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "a.yml", tmp_path / "sub" / "b.yml"
    (second.parent / "pkg").mkdir(parents=True)
    (second.parent / "pkg" / "component.yml").write_text("description: x\nconfig: {command: [x]}\n")
    (second.parent / "x").write_text("x")
    monkeypatch.setenv("HOME", str(second.parent))
    first.write_text("kernel: {image: kernel, cmdline: quiet, tar: kernel.tar}\nservices: [{name: a, image: nginx}]\n")
    second.write_text(
        "kernel: {cmdline: '', tar: '', binary: kernel}\n"
        "init: ['@pkg:pkg']\nservices: [{name: b, image: '@pkg:./pkg'}]\n"
        "files: [{path: a, source: x}, {path: b, source: ~/x}]\n"
    )
    spec = load_image([first, second])
    assert spec.name == "a"
    assert spec.sources == (first, second)
    assert spec.digest == hashlib.sha256(first.read_bytes() + second.read_bytes()).hexdigest()
    assert spec.kernel.model_dump() == {
        "image": "kernel", "cmdline": "quiet", "binary": "kernel", "tar": "none", "ucode": None
    }  # fmt: skip
    assert [service.name for service in spec.services] == ["a", "b"]
    # local paths are all relative to the first file's folder
    assert (spec.init, spec.services[1].image) == (("@pkg:sub/pkg",), "@pkg:sub/pkg")
    assert [file.source for file in spec.files] == ["sub/x", "~/x"]
    assert {name: component.name for name, component in spec.components.items()} == {
        "kernel": "kernel", "@pkg:sub/pkg": "pkg", "nginx": "nginx"
    }  # fmt: skip


def test_names_are_taken_across_files(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yml", tmp_path / "b.yml"
    first.write_text(f"{KERNEL}services: [{{name: a, image: nginx}}]\nvolumes: [{{name: v, readonly: true}}]\n")
    second.write_text(
        "services:\n  - name: a\n    image: nginx\n    binds: ['v:/v']\nonboot: 3\nvolumes:\n  - name: v\n"
    )
    with pytest.raises(SpecError) as caught:
        load_image([first, second])
    assert [str(complaint) for complaint in caught.value.complaints] == [
        f"{second}:2:11: services[0].name: the name 'a' is taken by {first}:2, expected each name once in services",
        f"{second}:5:9: onboot: found the number 3, expected a list of mappings",
        f"{second}:7:11: volumes[0].name: the name 'v' is taken by {first}:3, expected each name once in volumes",
    ]


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    assert wrong(
        tmp_path,
        "kernel:\n  image: kernal\n  cmdlin: quiet\nservices:\n"
        "  - name: web\n    image: nginx\n    rmlimits: []\n    capabilities: [CAP_NET_BIND_SERVIC]\n"
        "    readonly: yes\n    runtime:\n      interface: []\n    env:\n"
        "  - image: Nginx:latest\nversion: 3\n",
    ) == [
        "2:10: kernel.image: the library has no component 'kernal', did you mean kernel?",
        "3:3: kernel.cmdlin: unknown key, did you mean cmdline?",
        "7:5: services[0].rmlimits: unknown key, did you mean rlimits?",
        "8:20: services[0].capabilities[0]: unknown capability 'CAP_NET_BIND_SERVIC', "
        "did you mean CAP_NET_BIND_SERVICE?",
        "9:15: services[0].readonly: found the text 'yes', expected true or false, did you mean true?",
        "11:7: services[0].runtime.interface: unknown key, did you mean interfaces?",
        "12:9: services[0].env: has no value, expected a list of texts",
        "13:5: services[1].name: is missing, expected text",
        "13:12: services[1].image: 'Nginx:latest' is not an image reference, expected [host/]name[:tag][@digest], "
        "did you mean nginx:latest?",
        "14:1: version: unknown key, expected one of: "
        "kernel, init, onboot, onshutdown, services, files, volumes, trust, expect, log",
    ]


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ("command: []", "command: is empty, expected a program and its arguments"),
        ("uid: nobody", "uid: unknown user or group 'nobody', expected a number, root, or a container's name"),
        ("gid: '4294967296'", "gid: 4294967296 is not an id"),
        ("additionalGids: [a, 3, b]", "additionalGids[2]: unknown user or group 'b'"),
        ("binds: ['/x:/y:']", "binds[0]: '/x:/y:' is not a bind"),
        ("binds: ['/x/..:/y']", "binds[0]: '/x/..' leaves the image's root"),
        ("binds: ['/x:/']", "binds[0]: the path names the root itself"),
        ("tmpfs: [/]", "tmpfs[0]: the path names the root itself"),
        ("mounts: [{type: bind, destination: /x}]", "mounts[0].source: is missing"),
        ("mounts: [{type: ext4, source: /dev/x, destination: /a/../..}]", "mounts[0].destination: '/a/../..' leaves"),
        (
            "resources: {hugepageLimits: [{pageSize: 1000}]}",
            "resources.hugepageLimits[0].pageSize: found the number 1000, expected a multiple of 1024",
        ),
        ("runtime: {interfaces: [{name: a/b}]}", "runtime.interfaces[0].name: 'a/b' is not an interface's name"),
        ("runtime: {interfaces: [{name: ..}]}", "runtime.interfaces[0].name: '..' is not an interface's name"),
        (
            "runtime: {interfaces: [{name: x, add: 'a b'}]}",
            "runtime.interfaces[0].add: 'a b' is not a kind of interface",
        ),
        ("runtime: {interfaces: [{name: x, add: veth}]}", "runtime.interfaces[0]: a veth has two ends, expected peer"),
        ("runtime: {interfaces: [{name: x, add: dummy, peer: y}]}", "interfaces[0].peer: means nothing for 'dummy'"),
        ("runtime: {bindNS: {net: /run/../x}}", "runtime.bindNS.net: '/run/../x' leaves the image's root"),
        ("runtime: {mounts: [{type: tmpfs}]}", "runtime.mounts[0].destination: is missing"),
        ("runtime: {mounts: [{type: tmpfs, destination: ../x}]}", "runtime.mounts[0].destination: '../x' leaves"),
        ("runtime: {mkdir: [../x]}", "runtime.mkdir[0]: '../x' leaves the image's root"),
        ("runtime: {cgroups: [a/../../b]}", "runtime.cgroups[0]: 'a/../../b' leaves the image's root"),
        ("capabilities: [net_admin]", "capabilities[0]: unknown capability 'net_admin', did you mean CAP_NET_ADMIN?"),
        ("capabilities: [all, CAP_BPF]", "capabilities[0]: 'all' among other capabilities"),
        ("ambient: [CAP_X]", "ambient[0]: unknown capability 'CAP_X'"),
        ("capabilities_add: []", "capabilities_add: unknown key, did you mean capabilities.add?"),
        ("rlimits: ['nofil,1,2']", "rlimits[0]: unknown limit 'nofil', did you mean nofile?"),
        ("rlimits: ['nofile,1']", "rlimits[0]: 'nofile,1' is not a limit, expected NAME,SOFT,HARD"),
        ("rlimits: ['nofile,1,-1']", "rlimits[0]: '-1' is not a limit's value"),
        ("binds: [/etc]", "binds[0]: '/etc' is not a bind"),
        ("binds: ['/a:/b:ro:x']", "binds[0]: '/a:/b:ro:x' is not a bind"),
        ("binds: ['vol:/b']", "binds[0]: there is no volume 'vol'"),
        ("tmpfs: ['/a:b:c']", "tmpfs[0]: '/a:b:c' is not a tmpfs"),
        ("mounts: [{source: x, destination: /y}]", "mounts[0].type: is missing"),
        (
            "devices: [{path: /dev/x, type: c, mode: 0666}]",
            'found the number 0666, expected text, did you mean "0666"?',
        ),
        ("devices: [{path: /dev/x, type: c}]", "devices[0].mode: is missing"),
        ("sysctl: {a: 1}", 'sysctl.a: found the number 1, expected text, did you mean "1"?'),
        (
            "command: /bin/sh",
            "command: found the text '/bin/sh', expected a list of texts, did you mean [\"/bin/sh\"]?",
        ),
        ("net: hots", "net: unknown namespace 'hots', expected root, host, new, none or a path, did you mean host?"),
        ("uid: -1", "uid: -1 is not an id"),
        ("uid: true", "uid: found true, expected a whole number or text"),
        ("resources: {memory: {limt: 1}}", "resources.memory.limt: unknown key, did you mean limit?"),
        (
            "annotations: {harness.helth: x}",
            "annotations.harness.helth: unknown annotation, did you mean harness.health?",
        ),
        ("annotations: {harness.restart: allways}", "did you mean always?"),
        ("annotations: {harness.health: 'tcp:99999'}", "annotations.harness.health: found 'tcp:99999'"),
        ("annotations: {harness.health: 'exec:'}", "annotations.harness.health: found 'exec:'"),
        ('annotations: {harness.health: "log:a\\nb"}', "annotations.harness.health: found 'log:a"),
        ("annotations: {harness.ready: 10s}", 'expected whole seconds as text, 1 to 86400, did you mean "10"?'),
        (
            "annotations: {harness.mounts: 'var/data'}",
            "harness.mounts: found 'var/data', expected paths, with a space between",
        ),
        ("annotations: {harness.ports: 'tcp:80,udp:53'}", "with a space between, did you mean tcp:80 udp:53?"),
        (
            "annotations: {harness.ports: 'raw:700'}",
            "annotations.harness.ports: found 'raw:700', expected tcp:PORT",
        ),
        ("annotations: {harness.ready: 10}", "annotations.harness.ready: found the number 10, expected text"),
        ("annotations: {harness.timeout: '9'}", "harness.timeout: means nothing in services, expected it in onboot"),
    ],
)
def test_wrong_entries(tmp_path: Path, keys: str, complaint: str) -> None:
    (line,) = entry_wrong(tmp_path, keys)
    assert complaint in line


@pytest.mark.parametrize("bad", ["a/b", "..", "-x", "a b", "", "é", "a" * 65])
def test_names_that_are_no_folder(tmp_path: Path, bad: str) -> None:
    lines = wrong(tmp_path, f"{KERNEL}onboot:\n  - {{name: '{bad}', image: nginx}}\n")
    assert len(lines) == 1
    assert lines[0].startswith("3:12: onboot[0].name: ")


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        ("{path: a}", "files[0]: has no content"),
        ("{path: '', contents: x}", "files[0].path: the path is empty"),
        ("{path: a/../../b, contents: x}", "files[0].path: 'a/../../b' leaves the image's root"),
        ("{path: a, contents: x, mode: '0888'}", "files[0].mode: the mode '0888' is not octal"),
        ("{path: a, contents: x, mode: 0644}", 'found the number 0644, expected text, did you mean "0644"?'),
        ("{path: a, contents: x, source: image.yml}", "files[0].source: there is contents already"),
        ("{path: a, directory: true, contents: ''}", "files[0].contents: means nothing for a directory"),
        ("{path: a, symlink: b, source: image.yml}", "files[0].source: means nothing for a symlink"),
        ("{path: a, metadata: yml}", "expected one of: yaml, json, did you mean yaml?"),
        ("{path: a, contents: x, uid: nobody}", "files[0].uid: unknown user or group 'nobody'"),
        ("{path: a, source: gone}", "files[0].source: No such file or directory: 'gone', expected a file"),
        ("{path: a, source: .}", "files[0].source: '.' is not a file"),
        (f"{{path: a, source: {'x' * 5000}}}", "files[0].source: File name too long: 'x"),
        ("{path: a, contents: x}\n  - {path: /a/b, contents: y}", "files[1].path: /a is a file of this list"),
        ("{path: a/b/c, directory: true}\n  - {path: a/./b, source: image.yml}", "files[0].path: /a/b is a file"),
    ],
)
def test_wrong_files(tmp_path: Path, file: str, complaint: str) -> None:
    (line,) = wrong(tmp_path, f"{KERNEL}files:\n  - {file}\n")
    assert complaint in line


@pytest.mark.parametrize(
    ("use", "fine"),
    [
        ("binds: ['v:/v:ro']", True),
        ("binds: ['v:/v']", False),
        ("binds.add: ['v:/v:rw']", False),
        ("binds: ['v:/v:ro,rw']", False),
        ("mounts: [{type: bind, source: v, destination: /v, options: [ro]}]", True),
        ("mounts: [{type: bind, source: v, destination: /v}]", False),
    ],
)
def test_read_only_volumes_are_not_written(tmp_path: Path, use: str, fine: bool) -> None:
    text = f"{KERNEL}volumes: [{{name: v, readonly: true}}]\nservices:\n  - {{name: a, image: nginx, {use}}}\n"
    if fine:
        path = tmp_path / "image.yml"
        path.write_text(text)
        assert load_image([path]).volumes[0].readonly
    else:
        (line,) = wrong(tmp_path, text)
        assert "the volume 'v' is read-only, and would be written to, expected the option ro" in line


def test_a_kernel_is_needed(tmp_path: Path) -> None:
    assert wrong(tmp_path, "services: [{name: a, image: nginx}]\n") == [
        "1:1: kernel.image: is missing, expected a kernel component"
    ]


@pytest.mark.parametrize("top", ["name: x", "sources: []", "digest: x"])
def test_what_only_the_loader_gives_is_unknown(tmp_path: Path, top: str) -> None:
    (line,) = wrong(tmp_path, f"{KERNEL}{top}\n")
    assert "unknown key" in line


def test_references(tmp_path: Path) -> None:
    kinds = {"nginx": "component", "nginx:1": "oci", "a/b": "oci", "nginx@sha256:0": "oci", "@pkg:x": "package"}
    assert {text: kind_of(text) for text in kinds} == kinds
    for bad in ("nginx@sha256:00", "http://x/y", "a//b", "a/b:" + "t" * 200, "@pkg:", "@pkg:nowhere", "-x/y"):
        (line,) = wrong(tmp_path, f"{KERNEL}init: ['{bad}']\n")
        assert line.startswith("2:8: init[0]: ")


@pytest.mark.parametrize(
    "fine",
    [
        "services: [{name: a, image: nginx, uid: b, gid: '33', additionalGids: [root, 0]}]\n"
        "onboot: [{name: b, image: nginx, binds: ['/:/host'], runtime: {interfaces: [], bindNS: {}, namespace: ''}}]",
        "files: [{path: a, source: gone, optional: true}, {path: a/b, contents: x}]",
        "files: [{path: a, symlink: /run}, {path: a/b, contents: x, uid: root, gid: ''}]",
        "files: [{path: a, contents: x}, {path: ab/c, contents: x}]",
    ],
)
def test_what_looks_wrong_and_is_not(tmp_path: Path, fine: str) -> None:
    path = tmp_path / "image.yml"
    path.write_text(f"{KERNEL}{fine}\n")
    load_image([path])


def test_a_source_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0)
    if os.access(tmp_path / "secret", os.R_OK):
        pytest.skip("root may read everything")
    (line,) = wrong(tmp_path, f"{KERNEL}files: [{{path: a, source: secret}}]\n")
    assert "'secret' may not be read" in line


def test_no_files_at_all() -> None:
    with pytest.raises(UserError, match="no image file"):
        load_image([])


@pytest.mark.parametrize(
    ("value", "health"),
    [
        ("tcp:22", Health("tcp", "22")),
        ("http:80", Health("http", "80")),
        ("file:/run/a b", Health("file", "/run/a b")),
        ("log:is: up", Health("log", "is: up")),
        ("exec:/bin/check -x", Health("exec", "/bin/check -x")),
    ],
)
def test_health(value: str, health: Health) -> None:
    assert settings({"harness.health": value, "other": "x"}) == EntrySettings(health=health)


def test_settings_refuse_what_is_wrong() -> None:
    assert settings(None) == EntrySettings()
    with pytest.raises(UserError, match=r"harness\.restart"):
        settings({"harness.restart": "sometimes"})
