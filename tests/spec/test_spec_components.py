"""What an image and its components say together: known from the files, said before a build."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import paths
from harness.spec import SpecError, load_component, load_image
from harness.spec.lint import lint

KERNEL = "kernel: {image: kernel}\n"
COMPONENTS = {
    "kernel": "kernel: {modules: []}\nfiles: [{path: ucode/intel.cpio, source: intel}, {path: x, source: text}]",
    "web": "config: {command: [web], binds: ['data:/data'], uid: web, runtime: {mkdir: [/x]}}",
    "files": "packages: [ca-certificates]",
}


@pytest.fixture(autouse=True)
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of three components, so that tests do not depend on the real one."""
    folder = tmp_path / "library"
    folder.mkdir()
    (folder / "intel").write_bytes(b"070701 the rest of a cpio")
    (folder / "text").write_text("no cpio")
    for name, text in COMPONENTS.items():
        (folder / f"{name}.yml").write_text(f"description: x\n{text}\n")
    monkeypatch.setattr(paths, "COMPONENTS", folder)
    return folder


def wrong(tmp_path: Path, text: str) -> list[str]:
    """Return the complaints about an image file, without its folder; lint must have the same ones."""
    path = tmp_path / "image.yml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_image([path])
    (finding,) = lint([path])
    assert finding.complaints == caught.value.complaints
    return [str(complaint).replace(f"{tmp_path}/", "") for complaint in caught.value.complaints]


def local(tmp_path: Path, name: str, text: str = "config: {command: [x]}") -> Path:
    """Write a local component."""
    path = tmp_path / name / "component.yml"
    path.parent.mkdir(parents=True)
    path.write_text(f"description: x\n{text}\n")
    return path


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ("image: files", "3:5: services[0].command: is missing, and the component files has none, expected a program"),
        ("image: files, command: []", "services[0].command: is empty, expected a program and its arguments"),
        ("image: web, command: []", "services[0].command: is empty"),
        ("image: kernel", "3:24: services[0].image: the component kernel is a kernel, and has its place in `kernel`"),
        ("image: web/", "services[0].image: 'web/' is not an image reference, expected [host/]name[:tag][@digest]"),
        ("image: 'oci:gone'", "services[0].image: there is no 'gone', expected oci: and a path, relative to this file"),
    ],
)
def test_an_entry_and_what_it_is_made_of(tmp_path: Path, keys: str, complaint: str) -> None:
    text = f"{KERNEL}services:\n  - {{name: web, {keys}}}\nvolumes: [{{name: data}}]\n"
    (line,) = wrong(tmp_path, text)
    assert complaint in line


def test_what_a_component_names_must_be_in_the_image(tmp_path: Path) -> None:
    entry = "services:\n  - {name: a, image: web}\n"
    assert wrong(tmp_path, f"{KERNEL}{entry}volumes: [{{name: data, readonly: true}}]\n") == [
        "image.yml:3:22: services[0].image: the component web's binds[0]: the volume 'data' is read-only, and "
        "would be written to, expected the option ro",
        "image.yml:3:22: services[0].image: the component web's uid: unknown user or group 'web', "
        "expected a number, root, or a container's name",
    ]
    fine = "services:\n  - {name: a, image: web, uid: 0, binds: []}\n"
    (tmp_path / "fine.yml").write_text(KERNEL + fine)
    assert load_image([tmp_path / "fine.yml"]).services[0].uid == 0, "the image's key counts instead"


def test_a_kernel_is_made_of_a_kernel(tmp_path: Path) -> None:
    assert wrong(tmp_path, "kernel:\n  image: web\n") == [
        "image.yml:2:10: kernel.image: the component web is not a kernel"
    ]
    for text, at in (("init: [kernel]", "2:8: init[0]"), ("volumes: [{name: v, image: kernel}]", "volumes[0].image")):
        (line,) = wrong(tmp_path, f"{KERNEL}{text}\n")
        assert f"{at}: the component kernel is a kernel, and has its place in `kernel` only" in line


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        (
            "binary: bzImage",
            "kernel.binary: names a file in an OCI image; a component's kernel is what its Debian package",
        ),
        (
            "tar: modules.tar",
            "kernel.tar: names an archive in an OCI image; a component's modules come with it, expected",
        ),
        (
            "ucode: gone",
            "kernel.ucode: the component kernel brings no file 'gone', expected one of: ucode/intel.cpio, x",
        ),
        ("ucode: x", "kernel.ucode: 'x' is nothing to begin an initrd with, expected a plain cpio (newc)"),
    ],
)
def test_what_the_kernel_cannot_be_told(tmp_path: Path, keys: str, complaint: str) -> None:
    (line,) = wrong(tmp_path, f"kernel: {{image: kernel, {keys}}}\n")
    assert complaint in line


@pytest.mark.parametrize("keys", ["binary: kernel", "binary: ''", "tar: none", "tar: ''", "tar: kernel.tar",
                                  "ucode: ''", "ucode: /ucode/intel.cpio"])  # fmt: skip
def test_what_the_kernel_can_be_told(tmp_path: Path, keys: str) -> None:
    path = tmp_path / "image.yml"
    path.write_text(f"kernel: {{image: kernel, {keys}}}\n")
    load_image([path])


def test_microcode_of_the_kernel_that_another_file_names(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yml", tmp_path / "b.yml"
    first.write_text("kernel: {ucode: gone}\n")
    second.write_text(KERNEL)
    with pytest.raises(SpecError, match="kernel brings no file 'gone'"):
        load_image([first, second])


def test_a_local_component(tmp_path: Path) -> None:
    path = local(tmp_path, "my-web", "config: {command: [x]}\nfiles: [{path: a, source: a}]")
    (path.parent / "a").write_text("a")
    (tmp_path / "image.yml").write_text(f"{KERNEL}services: [{{name: a, image: '@pkg:my-web'}}]\n")
    first = load_image([tmp_path / "image.yml"])
    component = first.components["@pkg:my-web"]
    assert (component.name, component.path) == ("my-web", path)
    assert first.references == ("kernel", "@pkg:my-web")
    (path.parent / "a").write_text("b")
    assert load_image([tmp_path / "image.yml"]).components["@pkg:my-web"].digest != component.digest


def test_a_local_kernel(tmp_path: Path) -> None:
    local(tmp_path, "k", "kernel: {modules: []}")
    (tmp_path / "image.yml").write_text("kernel: {image: '@pkg:k'}\n")
    assert load_image([tmp_path / "image.yml"]).components["@pkg:k"].kernel is not None


@pytest.mark.parametrize(
    ("reference", "complaint"),
    [
        ("@pkg:", "'@pkg:' names no folder here, expected @pkg:FOLDER, relative to this file"),
        ("@pkg:/etc", "'@pkg:/etc' names no folder here"),
        ("@pkg:gone", "there is no local component 'gone', expected a folder with a component.yml at gone"),
        (
            "@pkg:theirs",
            "'theirs' is a package of LinuxKit's, which only Docker can build, expected a component.yml in it",
        ),
    ],
)
def test_what_is_no_local_component(tmp_path: Path, reference: str, complaint: str) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "build.yml").write_text("image: x\n")
    (line,) = wrong(tmp_path, f"{KERNEL}init: ['{reference}']\n")
    assert line.startswith("image.yml:2:8: init[0]: ") and complaint in line


def test_local_components_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    local(tmp_path, "one/web", "config: {command: [one]}")
    local(tmp_path, "two/web", "config: {command: [two]}")
    files = []
    for name in ("one", "two"):
        files.append(tmp_path / name / "image.yml")
        files[-1].write_text(f"{KERNEL}services: [{{name: {name}, image: '@pkg:web'}}]\n")
    spec = load_image(files)
    assert [service.image for service in spec.services] == ["@pkg:web", "@pkg:../two/web"]
    assert [spec.components[service.image].config.command for service in spec.services] == [("one",), ("two",)]


def test_a_components_own_mistakes_come_with_the_images(tmp_path: Path, library: Path) -> None:
    local(tmp_path, "one", "config: {comand: [x]}")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "component.yml").write_text("a: [\n")
    (library / "files.yml").write_text("description: x\nkeep: 3\n")
    found = wrong(
        tmp_path,
        f"{KERNEL}onboot:\n  - {{name: a, image: '@pkg:one'}}\n  - {{name: b, image: '@pkg:one', net: x}}\n"
        "  - {name: c, image: '@pkg:two'}\n  - {name: d, image: files}\n",
    )
    assert [line.split(", expected")[0] for line in found] == [
        "image.yml:4:39: onboot[1].net: unknown namespace 'x'",
        "library/files.yml:2:7: keep: found the number 3",
        "one/component.yml:2:10: config.comand: unknown key, did you mean command?",
        "two/component.yml:2:1: not YAML: while parsing a flow node did not find expected node content",
    ]


def test_linting_a_folder_says_each_mistake_once(tmp_path: Path) -> None:
    local(tmp_path / "os", "web", "bogus: 1")
    (tmp_path / "os" / "a.yml").write_text(f"{KERNEL}services: [{{name: a, image: '@pkg:web'}}]\n")
    (tmp_path / "os" / "b.yml").write_text(f"{KERNEL}services: [{{name: a, image: '@pkg:web', bogus: 1}}]\n")
    found = {finding.path.name: finding for finding in lint([tmp_path / "os"])}
    assert {name: (finding.kind, len(finding.complaints)) for name, finding in found.items()} == {
        "a.yml": ("image", 0), "b.yml": ("image", 1), "component.yml": ("component", 1)
    }  # fmt: skip


def test_a_part_of_an_image_may_name_what_is_in_the_others(tmp_path: Path) -> None:
    part = tmp_path / "part.yml"
    part.write_text("services: [{name: a, image: files, command: [x], uid: b, binds: ['v:/v']}]\n")
    (finding,) = lint([part])
    assert finding.complaints == ()
    whole = tmp_path / "whole.yml"
    whole.write_text(KERNEL)
    with pytest.raises(SpecError) as caught:
        load_image([whole, part])
    assert [complaint.key_path for complaint in caught.value.complaints] == ["services[0].uid", "services[0].binds[0]"]


def test_whether_a_source_is_a_program_counts(tmp_path: Path) -> None:
    path = local(tmp_path, "x", "files: [{path: a, source: a}]")
    source = path.parent / "a"
    source.write_text("#!/bin/sh\n")
    digests = {}
    for mode in (0o644, 0o600, 0o744, 0o755, 0o655):
        source.chmod(mode)
        digests[mode] = load_component(path).digest
    assert digests[0o644] == digests[0o600] == digests[0o655], "its owner's bit alone: others depend on the umask"
    assert digests[0o744] == digests[0o755] != digests[0o644]


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ("files: [{path: a, contents: x, uid: who}]", "files[0].uid: unknown user or group 'who', expected a number, "
         "root, or a name listed under `users`"),
        ("files: [{path: a, metadata: yaml}]", "files[0].metadata: means nothing in a component"),
        ("files: [{path: a, source: .}]", "files[0].source: '.' is not a file"),
        ("stand_ins: [libsystem.so.0]", "stand_ins[0]: there is no stand-in for 'libsystem.so.0', did you mean libs"),
        ("config: {binds.add: ['/a:/a']}", "config.binds.add: means nothing in a component, expected binds"),
        ("config: {runtime: {interfaces: [{name: ''}]}}",
         "config.runtime.interfaces[0].name: '' is not an interface's"),
        ("kernel: {modules: []}\nkeep: [x]", "keep: means nothing for a kernel"),
    ],
)  # fmt: skip
def test_what_a_component_may_not_say(tmp_path: Path, keys: str, complaint: str) -> None:
    path = local(tmp_path, "x", keys)
    with pytest.raises(SpecError) as caught:
        load_component(path)
    (line,) = map(str, caught.value.complaints)
    assert complaint in line


def test_users_that_a_component_has(tmp_path: Path) -> None:
    files = "[{path: a, contents: x, uid: web, gid: '7'}, {path: b, contents: x, uid: nobody, gid: root}]"
    path = local(tmp_path, "x", f"users: [{{name: web, uid: 33, gid: 33}}]\nfiles: {files}")
    assert load_component(path).name == "x"


def test_what_stands_for_alpine_has_all_that_busybox_has() -> None:
    """One component cannot be made of another: the programs are listed in both."""
    library = paths.TOP / "harness/components"
    busybox, shell = (load_component(library / f"{name}.yml") for name in ("busybox", "shell"))
    assert shell.links["/usr/bin/busybox"] == busybox.links["/usr/bin/busybox"]
    assert shell.packages == busybox.packages and shell.config == busybox.config
