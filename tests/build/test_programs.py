"""Programs that an image does not have, or has for another machine, and the modules that entries name."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.arch import by_name
from harness.build.programs import judge_programs, named_modules
from harness.build.rootfs import ResolvedImage
from harness.errors import UserError
from harness.spec import load_image
from harness.spec.models.image import ImageSpec
from harness.tree.tree import Tree, folder, plain, symlink


def elf(machine: int, big: bool = False) -> bytes:
    return b"\x7fELF\x02" + (b"\x02" if big else b"\x01") + bytes(12) + struct.pack(">H" if big else "<H", machine)


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., tuple[ImageSpec, dict[str, ResolvedImage]]]:
    """Make an image of one service, in a container that has a few files."""

    def make(
        files: list[dict[str, object]] | None = None, **entry: object
    ) -> tuple[ImageSpec, dict[str, ResolvedImage]]:
        path = tmp_path / "x.yml"
        service = {"name": "a", "image": "busybox", **entry}
        data = {"kernel": {"image": "kernel"}, "init": ["init"], "services": [service], "files": files or []}
        path.write_text(json.dumps(data))
        tree = Tree()
        tree.put("usr/bin", folder())
        tree.put("usr/bin/tool", plain(elf(183), 0o755))
        tree.put("usr/bin/theirs", plain(elf(22, big=True), 0o755))
        tree.put("usr/bin/script", plain(b"#!/bin/sh\n", 0o755))
        tree.put("usr/bin/data", plain(b"x", 0o644))
        tree.put("bin", symlink("usr/bin"))
        return load_image([path]), {"busybox": ResolvedImage("busybox", tree)}

    return make


@pytest.mark.parametrize(
    "entry",
    [
        {"command": ["/usr/bin/tool"]},
        {"command": ["/bin/tool"]},
        {"command": ["tool"]},
        {"command": ["./script"], "cwd": "/usr/bin"},
        {"command": ["own"], "env": ["PATH=/own:/usr/bin"], "binds": ["/run/own:/own"]},
        {"command": ["/data/x"], "tmpfs": ["/data"]},
    ],
)
def test_what_is_there_or_may_be(
    made: Callable[..., tuple[ImageSpec, dict[str, ResolvedImage]]], entry: dict[str, object]
) -> None:
    judge_programs(*made(**entry), by_name("arm64"))


@pytest.mark.parametrize(
    ("entry", "what", "hint"),
    [
        ({"command": ["/opt/tool"]}, "services: a: busybox has no /opt/tool", "it has /usr/bin/tool"),
        ({"command": ["nothing"]}, "services: a: busybox has no nothing", "no program of that name"),
        ({"command": ["tool"], "env": ["PATH=/sbin"]}, "services: a: busybox has no tool", "/usr/bin/tool"),
        ({"command": ["/usr/bin/data"]}, "/usr/bin/data of busybox is not a program", "executed"),
        ({"command": ["theirs"]}, "is a program for s390x, and the image is for arm64", ""),
    ],
)
def test_what_could_only_fail_at_boot(
    made: Callable[..., tuple[ImageSpec, dict[str, ResolvedImage]]], entry: dict[str, object], what: str, hint: str
) -> None:
    with pytest.raises(UserError) as caught:
        judge_programs(*made(**entry), by_name("arm64"))
    assert what in caught.value.message and hint in (caught.value.hint or "")


def test_a_file_of_another_machine(
    made: Callable[..., tuple[ImageSpec, dict[str, ResolvedImage]]], tmp_path: Path
) -> None:
    (tmp_path / "hello").write_bytes(elf(62))
    spec, parts = made([{"path": "usr/bin/hello", "source": "hello", "mode": "0755"}], command=["tool"])
    with pytest.raises(UserError, match="files: usr/bin/hello: hello is a program for x86_64"):
        judge_programs(spec, parts, by_name("arm64"))


def test_modules_that_are_named(made: Callable[..., tuple[ImageSpec, dict[str, ResolvedImage]]]) -> None:
    files: list[dict[str, object]] = [{"path": "etc/modules", "contents": "# none\nloop max_loop=3\n\nbr_netfilter"}]
    assert named_modules(*made(files, command=["modprobe", "dummy", "numdummies=2"])) == {
        "dummy": "services: a", "loop": "files: /etc/modules", "br_netfilter": "files: /etc/modules"
    }  # fmt: skip
    assert list(named_modules(*made(command=["/sbin/modprobe", "-av", "one", "two"]))) == ["one", "two"]
    spec, _ = made(command=["tool"], env=["MODULES=a b"])
    assert list(named_modules(spec, {"busybox": ResolvedImage("modprobe", Tree())})) == ["a", "b"]
