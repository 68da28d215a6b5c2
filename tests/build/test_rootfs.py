from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.arch import ARCHES
from harness.build import prepare
from harness.build.expectations import expectations
from harness.build.files import for_arch
from harness.build.ids import named_ids
from harness.build.rootfs import ResolvedImage, RootTree, assemble
from harness.errors import UserError
from harness.spec import load_image
from harness.spec.models.container import EntryConfig, Mount, Runtime
from harness.spec.models.image import ImageSpec
from harness.spec.text.complaints import SpecError
from harness.tree.tree import Tree, folder, plain, symlink

HEAD = "kernel: {image: kernel}\ninit: [init]\n"


def layer(**paths: bytes) -> Tree:
    tree = Tree()
    for path, data in paths.items():
        tree.put(path.replace("__", "/"), plain(data))
    return tree


@pytest.fixture
def spec(tmp_path: Path):
    def spec(text: str = "") -> ImageSpec:
        path = tmp_path / "my os.yml"
        path.write_text(HEAD + text)
        return load_image([path])

    return spec


PARTS = {
    "init": ResolvedImage(
        "init", layer(usr__bin__init=b"init", etc__passwd=b"root:x:0:0\n", var__lib__x=b"x"), guest=True
    ),
    "busybox": ResolvedImage("busybox", layer(usr__bin__sh=b"sh", etc__os=b"os"), EntryConfig(command=("/bin/sh",))),
    "sysctl": ResolvedImage("sysctl", layer(usr__bin__sh=b"sh"), EntryConfig(command=("/bin/sh",), readonly=True)),
}


def made(spec: ImageSpec, parts: dict[str, ResolvedImage] | None = None) -> RootTree:
    return assemble(spec, ARCHES["arm64"], parts or PARTS, layer(usr__lib__modules__6__a=b"m"))


def text(root: RootTree, path: str) -> str:
    node = root.tree.get(path)
    assert node is not None and node.content is not None, path
    return node.content.read().decode()


def test_what_an_entry_binds_and_nothing_brings_is_named(spec) -> None:
    binds = "['/ect/my.conf:/etc/my.conf', '/etc/passwd:/p', '/etc/late:/l', '/var/x:/x', '/run/y:/y', '/made:/m']"
    yaml = f"services: [{{name: s, image: sysctl, binds: {binds}, runtime: {{mkdir: [/made]}}}}]\n"
    root = made(spec(yaml + "files: [{path: etc/late/a, contents: a}]\n"))
    assert root.made_up == [("services: s", "/ect/my.conf")]
    # what an image brings along is its own business
    parts = {**PARTS, "sysctl": ResolvedImage("sysctl", layer(), EntryConfig(command=("/a",), binds=("/no:/no",)))}
    assert made(spec("services: [{name: s, image: sysctl}]\n"), parts).made_up == []


def test_a_source_may_have_a_file_for_each_architecture(tmp_path: Path, spec) -> None:
    (tmp_path / "bin/arm64").mkdir(parents=True)
    (tmp_path / "bin/arm64/hello").write_text("of arm64")
    found = spec("files: [{path: a, source: 'bin/{arch}/hello'}, {path: b, source: 'no/{arch}', optional: true}]")
    root = made(for_arch(found, ARCHES["arm64"]))
    assert text(root, "a") == "of arm64" and root.tree.get("b") is None
    with pytest.raises(UserError, match="files: a: there is no bin/s390x/hello, which s390x needs"):
        for_arch(found, ARCHES["s390x"])
    with pytest.raises(SpecError, match=r"No such file or directory: 'bin/\{arch\}/other'"):
        spec("files: [{path: a, source: 'bin/{arch}/other'}]")


def test_modules_that_components_need_are_loaded_after_the_yamls_own(spec) -> None:
    for own, expected in (
        ("", "dm_crypt\ntun\n"),
        ("files: [{path: etc/modules, contents: veth}]", "veth\ndm_crypt\ntun\n"),
    ):
        root = assemble(spec(own), ARCHES["arm64"], PARTS, layer(), ("dm_crypt", "tun"))
        assert text(root, "etc/modules") == expected
    assert made(spec()).tree.get("etc/modules") is None


def test_the_root_has_what_programs_expect(spec) -> None:
    root = made(spec())
    nodes = root.tree.nodes
    assert nodes["bin"].target == "usr/bin" and nodes["tmp"].mode == 0o1777 and nodes["root"].mode == 0o700
    assert nodes["etc/resolv.conf"].target == "/run/resolvconf/resolv.conf"
    assert text(root, "etc/hostname") == "my-os\n"
    assert nodes["usr/lib/harness/boot"].mode == 0o755 and nodes["usr/lib/harness/common"].mode == 0o644
    assert "var/lib/x" not in nodes and text(root, "usr/lib/harness/var/lib/x") == "x"
    assert text(root, "usr/lib/modules/6/a") == "m"


def test_files_of_several_inits_are_merged_by_line(spec) -> None:
    more = ResolvedImage("busybox", layer(etc__passwd=b"root:y:0:0\nweb:x:1:1\n"))
    root = made(load(spec, "init: [init, busybox]"), {**PARTS, "busybox": more})
    assert text(root, "etc/passwd") == "root:x:0:0\nweb:x:1:1\n"


def load(spec, init: str) -> ImageSpec:
    loaded = spec()
    return loaded.model_copy(update={"init": tuple(init.partition("[")[2].rstrip("]").split(", "))})


def test_bundles_lie_where_linuxkit_puts_them(spec) -> None:
    root = made(
        spec("onboot:\n- {name: a, image: sysctl}\n- {name: b, image: busybox}\nservices:\n- {name: c, image: busybox}")
    )
    assert text(root, "containers/onboot/000-a/rootfs/usr/bin/sh") == "sh"
    assert "containers/onboot/000-a/lower" not in root.tree.nodes
    assert text(root, "containers/onboot/001-b/lower/etc/os") == "os"
    assert root.tree.nodes["containers/services/c/tmp"].is_dir
    assert json.loads(text(root, "containers/services/c/config.json"))["process"]["args"] == ["/bin/sh"]
    assert "overlay=1" in text(root, "containers/services/c/settings")
    assert "overlay" not in text(root, "containers/onboot/000-a/settings")
    assert "containers/services/c/prepare" not in root.tree.nodes


def test_names_are_numbered_as_linuxkit_does(spec) -> None:
    entry = "{name: %s, image: busybox}"
    loaded = spec(f"onboot: [{entry % 'a'}, {entry % 'b'}]\nservices: [{entry % 'a'}, {entry % 'c'}]")
    assert named_ids(loaded) == {"a": 102, "b": 101, "c": 103}


def test_volumes(spec) -> None:
    loaded = spec(
        "volumes:\n- {name: empty}\n- {name: kept, readonly: true}\n- {name: full, image: busybox}\n"
        "- {name: fixed, image: busybox, readonly: true}\n"
        "services:\n- {name: s, image: busybox, binds: ['full:/data', 'fixed:/fixed:ro']}\n"
    )
    root = made(loaded)
    nodes = root.tree.nodes
    at = "containers/volumes"
    assert nodes[f"{at}/empty/merged"].is_dir and f"{at}/empty/tmp" in nodes and f"{at}/empty/lower" not in nodes
    assert nodes[f"{at}/kept/merged"].is_dir and f"{at}/kept/tmp" not in nodes
    assert text(root, f"{at}/full/lower/usr/bin/sh") == "sh" and f"{at}/full/tmp" in nodes
    assert text(root, f"{at}/fixed/merged/usr/bin/sh") == "sh" and f"{at}/fixed/tmp" not in nodes
    assert nodes["containers/services/s/lower/data"].is_dir
    told = expectations(loaded, PARTS)["services"]["s"]["binds"]
    assert told == [[f"/{at}/full/merged", "/data"], [f"/{at}/fixed/merged", "/fixed"]]
    assert ("volumes", "full", "busybox", f"{at}/full") in root.owners


def runtime_of(spec, runtime: str) -> RootTree:
    return made(spec(f"services:\n- name: s\n  image: sysctl\n  runtime: {runtime}\n"))


def test_runtime_folders_exist_where_a_readonly_root_cannot_grow_them(spec) -> None:
    root = runtime_of(spec, "{mkdir: [/opt/x, /var/lib/y, in/side], mounts: [{destination: m, type: tmpfs}]}")
    nodes = root.tree.nodes
    assert nodes["opt/x"].is_dir and nodes["containers/services/s/rootfs/in/side"].is_dir
    assert nodes["containers/services/s/rootfs/m"].is_dir
    assert "var/lib/y" not in nodes and "usr/lib/harness/var/lib/y" not in nodes, "made at boot, on the tmpfs"
    assert "prepare=1" in text(root, "containers/services/s/settings")


def test_the_script_of_a_runtime_is_one_that_a_shell_takes() -> None:
    runtime = Runtime(
        mkdir=("/run/with space", "$(touch /owned)"),
        cgroups=("a/b",),
        mounts=(
            Mount(destination="/mnt/etc", type="bind", source="/etc", options=("bind", "ro")),
            Mount(destination="etc", type="overlay", source="overlay", options=("lowerdir=/etc", "upperdir=/run/u")),
        ),
    )
    lines = prepare.lines(runtime, "containers/services/s")
    subprocess.run(["sh", "-n"], input="\n".join(lines).encode(), check=True)
    commands = [shlex.split(line) for line in lines]
    assert commands[0] == ["set", "-e"], "a mount that fails fails the container"
    assert ["mount", "-o", "bind,ro", "--", "/etc", "/mnt/etc"] in commands
    assert ["mount", "-o", "remount,bind,ro", "--", "/mnt/etc"] in commands
    inner = "/containers/services/s/rootfs/etc"
    assert ["mkdir", "-p", inner, "/run/u"] in commands
    assert ["mount", "-t", "overlay", "-o", "lowerdir=/etc,upperdir=/run/u", "--", "overlay", inner] in commands
    assert ["mkdir", "-p", "/run/with space"] in commands
    assert ["mkdir", "-p", "/containers/services/s/rootfs/$(touch /owned)"] in commands
    assert commands[-1] == ["mkdir", "-p", "/sys/fs/cgroup/a/b"]
    assert prepare.lines(Runtime(), "x") == []


@pytest.mark.parametrize("runtime", [Runtime(mkdir=("../x",)), Runtime(cgroups=("a/../../b",))])
def test_runtime_paths_stay_inside(runtime: Runtime) -> None:
    with pytest.raises(UserError, match="not a path inside"):
        prepare.lines(runtime, "containers/services/s")


def test_mount_points_are_made_as_what_is_mounted(spec) -> None:
    binds = "['/etc/hosts:/etc/hosts', '/srv/data:/data', '/etc/my.conf:/etc/my.conf', '/run/x:/x']"
    root = made(spec(f"services:\n- {{name: s, image: sysctl, binds: {binds}, tmpfs: [/scratch]}}\n"))
    inner = {path: root.tree.get(f"containers/services/s/rootfs/{path}") for path in
             ("etc/hosts", "data", "etc/my.conf", "x", "scratch", "proc")}  # fmt: skip
    assert {path: node.is_dir for path, node in inner.items() if node} == {
        "etc/hosts": False, "data": True, "etc/my.conf": False, "x": True, "scratch": True, "proc": True
    }  # fmt: skip
    assert root.tree.nodes["srv/data"].is_dir, "a bind's source too"
    assert not root.tree.nodes["etc/my.conf"].is_dir, "and of the same kind"


def test_a_file_of_the_yaml_can_be_bound(spec) -> None:
    root = made(spec("services: [{name: s, image: sysctl, binds: ['/etc/web:/etc/web', '/etc/x.y:/etc/x.y']}]\n"
                     "files: [{path: etc/web, contents: hi}, {path: etc/x.y, directory: true}]"))  # fmt: skip
    assert text(root, "etc/web") == "hi"
    inner = root.tree.nodes
    assert not inner["containers/services/s/rootfs/etc/web"].is_dir
    assert inner["containers/services/s/rootfs/etc/x.y"].is_dir


def test_a_bundles_links_cannot_lead_its_mount_points_out(spec) -> None:
    tree = layer(usr__bin__sh=b"sh")
    tree.put("data", symlink("../../../../../etc"))
    parts = {**PARTS, "busybox": ResolvedImage("busybox", tree, EntryConfig(command=("a",)))}
    root = made(spec("services: [{name: s, image: busybox, tmpfs: [/data/x]}]"), parts)
    assert root.tree.nodes["containers/services/s/lower/etc/x"].is_dir
    assert "etc/x" not in root.tree.nodes


def test_the_yamls_own_files(spec, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("from the host")
    files = (
        "- {path: etc/a, contents: 'a', mode: '0644', uid: s, gid: 5}\n- {path: /etc/b, source: source}\n"
        "- {path: srv, directory: true}\n- {path: etc/l, symlink: /run/x}\n"
        "- {path: etc/gone, source: missing, optional: true}\n- {path: etc/config, metadata: json}\n"
    )
    root = made(spec(f"services: [{{name: s, image: busybox}}]\nfiles:\n{files}"))
    nodes = root.tree.nodes
    assert (nodes["etc/a"].mode, nodes["etc/a"].uid, nodes["etc/a"].gid) == (0o644, 100, 5)
    assert text(root, "etc/b") == "from the host" and nodes["etc/b"].mode == 0o600
    assert nodes["srv"].is_dir and nodes["srv"].mode == 0o700 and nodes["etc/l"].target == "/run/x"
    assert "etc/gone" not in nodes
    told: dict[str, Any] = json.loads(text(root, "etc/config"))
    assert told["services"] == [{"name": "s", "image": "busybox"}] and str(tmp_path) not in str(told)


def test_files_that_cannot_be_had_are_named(spec, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("here when it was judged")
    loaded = spec("files: [{path: etc/x, source: source}]")
    (tmp_path / "source").unlink()
    with pytest.raises(UserError, match="files: etc/x: cannot read its source any more"):
        made(loaded)
    with pytest.raises(UserError, match="folder with content"):
        made(spec("files: [{path: etc, contents: ''}]"))


def test_a_folder_of_an_init_keeps_its_mode(spec) -> None:
    tree = layer(usr__bin__init=b"i")
    tree.put("srv", folder(0o711, 3, 4))
    root = made(spec(), {**PARTS, "init": ResolvedImage("init", tree)})
    assert (root.tree.nodes["srv"].mode, root.tree.nodes["srv"].uid) == (0o711, 3)


@pytest.mark.parametrize("readonly", [True, False])
def test_a_containers_root_folder_is_its_images_own(spec, readonly: bool) -> None:
    tree = layer(usr__bin__sh=b"sh")
    tree.top = folder(0o711, 7, 8)
    image = ResolvedImage("own", tree, EntryConfig(command=("/bin/sh",), readonly=readonly))
    root = made(spec("services: [{name: x, image: busybox}]"), {**PARTS, "busybox": image})
    place = "containers/services/x"
    node = root.tree.nodes[f"{place}/{'rootfs' if readonly else 'lower'}"]
    assert (node.mode, node.uid, node.gid) == (0o711, 7, 8)
    # an overlay's root is its upper folder's
    script = [] if readonly else [f"chown 7:8 /{place}/rootfs", f"chmod 711 /{place}/rootfs"]
    found = text(root, f"{place}/prepare").splitlines() if not readonly else ["set -e"]
    assert found == ["set -e", *script]
    assert ("prepare=1" in text(root, f"{place}/settings")) == (not readonly)


def test_a_usual_root_folder_needs_no_script(spec) -> None:
    root = made(spec("services: [{name: x, image: busybox}]"))
    assert root.tree.get("containers/services/x/prepare") is None
