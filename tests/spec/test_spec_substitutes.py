"""--library: which component stands for which image of others, and what a file that names them becomes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.spec import SpecError, library, load_component, load_image, substitutes
from harness.spec.lint import lint
from harness.spec.models.image import Substitution
from harness.spec.substitutes import TABLE, component_for
from harness.spec.text.reader import mapping_of, read

DIGEST = "@sha256:" + "0" * 64
EXAMPLE = """\
kernel:
  image: linuxkit/kernel:6.6.13
  cmdline: "console=tty0"
  ucode: intel-ucode.cpio
init:
  - linuxkit/init:0123
  - linuxkit/runc:4567
  - linuxkit/containerd:89ab
  - linuxkit/ca-certificates:cdef
onboot:
  - name: sysctl
    image: linuxkit/sysctl:0123
  - name: rngd1
    image: linuxkit/rngd:0123
    command: ["/sbin/rngd", "-1"]
  - name: dhcpcd
    image: linuxkit/dhcpcd:0123
    command: ["/sbin/dhcpcd", "--nobackground", "-f", "/dhcpcd.conf", "-1"]
onshutdown:
  - name: shutdown
    image: busybox:latest
    command: ["/bin/echo", "so long"]
services:
  - name: getty
    image: linuxkit/getty:0123
    env: [INSECURE=true]
  - name: rngd
    image: linuxkit/rngd:0123
  - name: web
    image: nginx:1.19.5-alpine
    capabilities: [CAP_NET_BIND_SERVICE, CAP_CHOWN, CAP_SETUID, CAP_SETGID, CAP_DAC_OVERRIDE]
    binds: ["/etc/resolv.conf:/etc/resolv.conf"]
files:
  - path: etc/linuxkit-config
    metadata: yaml
trust:
  org: [linuxkit]
"""


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A file as LinuxKit's users write it."""
    path = tmp_path / "example.yml"
    path.write_text(EXAMPLE)
    return path


@pytest.mark.parametrize(
    ("reference", "component"),
    [
        ("linuxkit/getty", "getty"),
        ("linuxkit/getty:v1.0", "getty"),
        (f"linuxkit/getty:v1.0{DIGEST}", "getty"),
        ("registry.example/linuxkit/getty:v1.0", "getty"),
        ("linuxkit/dhcpcd:v1", "dhcpcd"),
        ("linuxkit/containerd:v1", "containerd"),
        ("nginx:1.19.5-alpine", "nginx"),
        ("library/nginx", "nginx"),
        (f"registry.example/library/nginx{DIGEST}", "nginx"),
        ("alpine:3.13", "shell"),
        ("linuxkit/nosuch:v1", None),
        ("registry.example/mine/linuxkit/getty:v1", None),
        ("registry.example/nginx:1", None),
        ("localhost:5000/nginx:1", None),
        ("somebody/nginx:1", None),
        ("getty:v1", None),
        ("oci:linuxkit/getty", None),
        ("Not A Reference:", None),
    ],
)
def test_what_stands_for_what(reference: str, component: str | None) -> None:
    found = component_for(reference)
    assert (found[1] if found else None) == component


@pytest.mark.parametrize(
    ("section", "name", "component"),
    [("init", "containerd", "init"), ("init", "runc", "init"), ("onboot", "dhcpcd", "dhcp"), ("onboot", "ip", "ip")],
)
def test_what_stands_in_one_section_only(section: str, name: str, component: str) -> None:
    assert component_for(f"linuxkit/{name}:v1", section) == (name, component)


def test_the_table_names_what_is_there() -> None:
    table, known = mapping_of(read(TABLE)), library()
    others = [one for row in table["linuxkit"].values() for one in row.values()]
    assert {*others, *table["public"].values(), *table["without"], *table["once"], *table["program"]} <= set(known)
    assert {table["public"].get(name, name) for name in table["listens"]} <= set(known)


PROGRAMS = {
    "dm-crypt": "/usr/bin/crypto",
    "extend": "/usr/bin/extend",
    "format": "/usr/bin/format",
    "losetup": "/usr/bin/loopy",
    "mount": "/usr/bin/mountie",
    "openntpd": "/usr/sbin/ntpd",
    "poweroff": "/poweroff.sh",
    "swap": "/swap.sh",
    "trim-after-delete": "/usr/bin/trim-after-delete",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_command_that_stays_names_a_program_of_the_components(name: str, tmp_path: Path) -> None:
    component = load_component(library()[name])
    program = PROGRAMS[name]
    brought = {f"/{path.strip('/')}" for path in (*component.keep, *(file.path for file in component.files))}
    assert program in brought
    path = tmp_path / "x.yml"
    entry = {"name": "a", "image": f"linuxkit/{name}:v1", "command": [program, "/x"], "env": ["PATH=/"]}
    path.write_text(json.dumps({"kernel": {"image": "kernel"}, "services": [entry]}))
    assert load_image([path], library=True).services[0].command == (program, "/x")


def test_a_command_that_is_wrong_is_no_bug(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    for command in ("text", [1, {"a": 2}], {}):
        entry = {"name": "a", "image": "linuxkit/rngd:v1", "command": command}
        path.write_text(json.dumps({"kernel": {"image": "kernel"}, "services": [entry]}))
        found = [one.key_path for one in lint([path], library=True)[0].complaints]
        assert found and all(key.startswith("services[0].command") for key in found), command


def test_bare_names_are_substituted_as_tagged_ones(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    entries = [{"name": name, "image": name, "command": ["/bin/sh"]} for name in ("alpine", "postgres", "busybox")]
    path.write_text(json.dumps({"kernel": {"image": "kernel"}, "services": entries}))
    spec = load_image([path], library=True)
    assert [entry.image for entry in spec.services] == ["shell", "postgresql", "busybox"]
    assert [one.reference for one in spec.substitutions] == ["alpine", "postgres"], "the last is a component's own name"
    assert len(lint([path])[0].complaints) == 2


def test_what_listens_to_others_listens_to_others_here(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    images = ("redis:7", "linuxkit/node_exporter:v1", "memcached:1")
    entries = [{"name": f"a{index}", "image": image} for index, image in enumerate(images)]
    path.write_text(json.dumps({"kernel": {"image": "kernel"}, "services": entries}))
    spec = load_image([path], library=True)
    assert all(entry.command and "127.0.0.1" not in " ".join(entry.command) for entry in spec.services)


def test_a_file_of_linuxkits_is_made_of_the_library(example: Path) -> None:
    spec = load_image([example], library=True)
    assert spec.init == ("init", "ca-certificates")
    assert [entry.image for entry in (*spec.onboot, *spec.onshutdown, *spec.services)] == [
        "sysctl", "rngd", "dhcp", "busybox", "getty", "rngd", "nginx"
    ]  # fmt: skip
    assert (spec.kernel.image, spec.kernel.ucode, spec.kernel.cmdline) == ("kernel", None, "console=tty0")
    assert set(spec.components) == set(spec.references)
    sysctl, rngd, dhcp = spec.onboot
    assert rngd.command == ("/usr/bin/rngd-start", "-1") and sysctl.command is None
    assert dhcp.command == ("/sbin/dhcpcd", "--nobackground", "-f", "/dhcpcd.conf", "-1")
    assert spec.services[1].command is None and spec.onshutdown[0].command == ("/bin/echo", "so long")
    assert spec.substitutions[0] == Substitution(
        key="kernel.image", reference="linuxkit/kernel:6.6.13", component="kernel", without=("ucode",)
    )
    assert spec.substitutions[7] == Substitution(
        key="onboot[2].image", reference="linuxkit/dhcpcd:0123", component="dhcp"
    )
    assert spec.substitutions[6].without == () and spec.substitutions[6].command == rngd.command
    assert len(spec.substitutions) == 12


def test_another_table_is_another_image(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_image([example], library=True).digest
    table = mapping_of(read(TABLE))
    for change in ({"program": {}}, {"public": {**table["public"], "nginx": "busybox"}}):
        monkeypatch.setattr(substitutes, "_table", lambda change=change: {**table, **change})
        assert load_image([example], library=True).digest != before, change


def test_nothing_is_substituted_unless_asked(example: Path) -> None:
    plain = load_image([example])
    assert plain.substitutions == () and plain.kernel.image == "linuxkit/kernel:6.6.13"
    assert plain.digest != load_image([example], library=True).digest, "it is another image"


def test_a_file_that_names_components_is_the_same_either_way(tmp_path: Path) -> None:
    path = tmp_path / "own.yml"
    path.write_text("kernel: {image: kernel}\ninit: [init]\n")
    assert load_image([path], library=True) == load_image([path])


def test_entries_that_share_their_text_are_all_substituted(tmp_path: Path) -> None:
    path = tmp_path / "shared.yml"
    path.write_text(
        "kernel: {image: kernel}\n"
        "onboot:\n  - &one {name: a, image: &image 'linuxkit/dhcpcd:1', command: [/sbin/dhcpcd]}\n  - *one\n"
        "  - {<<: *one, name: c}\n  - {name: d, image: *image}\n"
    )
    spec = load_image([path], library=True)
    assert [(entry.image, entry.command) for entry in spec.onboot] == [("dhcp", ("/sbin/dhcpcd",))] * 3 + [
        ("dhcp", None)
    ]


def test_complaints_keep_their_places(example: Path) -> None:
    example.write_text(EXAMPLE.replace("CAP_CHOWN", "CAP_CHOWM"))
    with pytest.raises(SpecError) as caught:
        load_image([example], library=True)
    (complaint,) = caught.value.complaints
    line = EXAMPLE.splitlines().index("    image: nginx:1.19.5-alpine") + 2
    assert (complaint.line, complaint.key_path) == (line, "services[2].capabilities[1]")


def test_lint_says_what_stands_for_what(example: Path) -> None:
    (finding,) = lint([example], library=True)
    assert finding.complaints == ()
    found = {one.key_path: (one.text, one.component) for one in finding.references}
    assert found["services[2].image"] == ("nginx:1.19.5-alpine", "nginx")
    assert found["init[1]"] == ("linuxkit/runc:4567", "init")
    (plain,) = lint([example])
    assert {one.component for one in plain.references} == {""}
    assert plain.notes == ("components of the library do the job of 12 of its images: --library takes them",)
    assert finding.notes == ()


def test_a_package_of_linuxkits_sources_is_the_component_of_its_name(tmp_path: Path) -> None:
    for folder, name in (("sysctl", "sysctl"), ("mine", "nosuch")):
        (tmp_path / "pkg" / folder).mkdir(parents=True)
        (tmp_path / "pkg" / folder / "build.yml").write_text(f"image: {name}\n")
    path = tmp_path / "x.yml"
    path.write_text("kernel: {image: kernel}\nonboot:\n  - {name: a, image: '@pkg:pkg/sysctl'}\n")
    assert load_image([path], library=True).onboot[0].image == "sysctl"
    assert [one.key_path for one in lint([path])[0].complaints] == ["onboot[0].image"]
    path.write_text("kernel: {image: kernel}\nonboot:\n  - {name: a, image: '@pkg:pkg/mine'}\n")
    assert [one.key_path for one in lint([path], library=True)[0].complaints] == ["onboot[0].image"]


def test_what_configures_linuxkits_containerd_is_refused_where_none_runs(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    files = "files:\n  - {path: /etc/containerd/runtime-config.toml, contents: 'cliopts=\"--log-level debug\"'}\n"
    path.write_text(f"kernel: {{image: kernel}}\ninit: ['linuxkit/init:v1']\n{files}")
    (complaint,) = lint([path], library=True)[0].complaints
    assert complaint.key_path == "files[0].path"
    assert lint([path])[0].complaints == ()


def test_a_program_of_the_files_own_may_write_to_the_root_as_it_may_in_the_image(tmp_path: Path) -> None:
    path = tmp_path / "os.yml"
    path.write_text(
        "kernel: {image: linuxkit/kernel:6}\ninit: [linuxkit/init:v1]\nonboot:\n"
        "- {name: a, image: 'alpine:3', command: [sh, -c, touch /a]}\n"
        "- {name: b, image: 'alpine:3', command: [touch, /a], readonly: true}\n"
        "- {name: c, image: 'linuxkit/format:v1', command: [sh, ./check.sh]}\n"
        "- {name: d, image: 'linuxkit/format:v1', command: [/usr/bin/format, -force]}\n"
        "- {name: e, image: 'linuxkit/format:v1'}\n"
        "- {name: f, image: 'linuxkit/sysctl:v1', command: [sh, -c, 'true']}\n"
    )
    spec = load_image([path], library=True)
    assert {entry.name: entry.readonly for entry in spec.onboot} == {
        "a": False, "b": True, "c": False, "d": None, "e": None, "f": None
    }  # fmt: skip
    assert [one.key for one in spec.substitutions if one.writable] == ["onboot[0].image", "onboot[2].image"]
