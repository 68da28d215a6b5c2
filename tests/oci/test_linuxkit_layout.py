"""Images that are OCI images from the kernel to the services, run by an init that knows LinuxKit's layout alone."""

from __future__ import annotations

import gzip
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from backports import zstd
from handmade import CAPABILITY, M, d, hard, layout, layout_of, ln, packed, tar

from harness import paths
from harness.arch import by_name
from harness.build.kernel import KernelFiles, make_kernel
from harness.build.layer import make_layer
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.errors import ImageError
from harness.image import Image
from harness.launch import boot
from harness.oci.config import LABEL
from harness.spec import library, load_component, load_image, load_machine
from harness.system import BootOptions, System

pytestmark = [pytest.mark.boots, pytest.mark.builds]

ARM = by_name("arm64")
# a stand-in for LinuxKit's: it does with each bundle what runtime.json says, and no more
INIT = rb"""#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
[ ! -e /proc/self ] || exit 1 # a container, by LinuxKit's init
mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount -t cgroup2 cgroup2 /sys/fs/cgroup
for place in /run /tmp /var; do mount -t tmpfs tmpfs "$place"; done
mkdir /dev/pts && mount -t devpts devpts /dev/pts
echo "<10>harness: boot" >/dev/kmsg
modprobe -a overlay virtio_mmio virtio_pci virtio_net
prepare() {
  awk '{ n = split($0, f, "\"") }
    /^ "/ { section = f[2] }
    section == "mkdir" && /^  "/ { print "mkdir -p " f[2] }
    section != "mounts" { next }
    /^  [{]/ { to = from = type = options = made = "" }
    /^   "destination"/ { to = f[4] }
    /^   "source"/ { from = f[4] }
    /^   "type"/ { type = "-t " f[4] }
    /^    "/ {
      options = (options ? options "," : "-o ") f[2]
      if (f[2] ~ /^(upper|work)dir=/) made = made " " substr(f[2], index(f[2], "=") + 1)
    }
    /^  [}]/ { print "mkdir -p " to made; print "mount " type " " options " " from " " to }
  ' "$1/runtime.json" | sh -e
}
for volume in /containers/volumes/*; do
  mount -t tmpfs tmpfs "$volume/tmp" && mkdir "$volume/tmp/upper" "$volume/tmp/work" &&
    mount -t overlay -o "lowerdir=$volume/lower,upperdir=$volume/tmp/upper,workdir=$volume/tmp/work" overlay \
      "$volume/merged" || echo "<10>harness: volumes/${volume##*/} failed" >/dev/kmsg
done
for bundle in /containers/onboot/*; do
  prepare "$bundle"
  runc --root /run/runc run --bundle "$bundle" "${bundle##*/}" </dev/null >"/var/${bundle##*/}.log" 2>&1
done
for bundle in /containers/services/*; do
  prepare "$bundle"
  name=${bundle##*/}
  runc --root /run/runc run --bundle "$bundle" "$name" </dev/null >"/var/$name.log" 2>&1 &
  until grep -q served "/var/$name.log"; do usleep 20000; done
done
echo "<10>harness: ready" >/dev/kmsg
while :; do sleep 1000; done
"""
YAML = """
kernel: {image: "oci:kernel:1", cmdline: "quiet cryptomgr.notests"}
init: ["oci:init:1", "oci:runc:1"]
onboot:
  - {name: first, image: "oci:tool:1", command: [/bin/sh, -c, "cat /etc/motd; touch /w"], uid: 0,
     runtime: {mkdir: [/run/made]}}
services:
  - {name: web, image: "oci:tool:1", readonly: true, binds.add: ["/etc/given:/given"]}
files: [{path: etc/given, contents: "given\\n", mode: "0644"}]
volumes:
  - {name: data, image: "oci:tool:1"}
  - {name: layout, image: "oci:tool:1", format: oci}
  - {name: fixed, image: "oci:tool:1", readonly: true}
  - {name: empty}
"""


@pytest.fixture(scope="module")
def kernel() -> KernelFiles:
    """Debian's kernel, to be put into an OCI image."""
    builder = Builder(Settings())
    return make_kernel(load_component(library()["kernel"]), ARM, builder.debian, builder.store)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, kernel: KernelFiles) -> Path:
    """A folder with the layouts and the YAML beside them."""
    folder, builder = tmp_path_factory.mktemp("linuxkit"), Builder(Settings())
    busybox, ours = (
        make_layer(load_component(library()[name]), ARM, builder.debian, builder.store).tar.read_bytes()
        for name in ("busybox", "init")
    )
    layout(folder / "kernel", kernel_layer(kernel))
    layout(
        folder / "init",
        busybox,
        tar(M("sbin/init", b"old"), M("gone")),
        tar(M("sbin/init", INIT, mode=0o755), M(".wh.gone")),
    )
    layout(folder / "runc", ours, tar(ln("usr/bin/runc", "crun"), M("usr/sbin/.wh.init")))
    top = tar(
        M("etc/motd", b"from a layer\n"), M("etc/passwd", b"root:x:0:0::/:/bin/sh\nweb:x:7:8::/:/bin/sh\n"),
        M("bin/ping", b"ping", mode=0o4755, uid=3, pax={"SCHILY.xattr.security.capability": CAPABILITY}),
        hard("bin/gnip", "bin/ping"), d("empty", 0o1777),
    )  # fmt: skip
    label = {"binds": ["/run:/run"], "capabilities": ["CAP_KILL"]}
    command = ["/bin/sh", "-c", "id; cat /given; touch /x; echo served; exec sleep 1000000"]
    layout(folder / "tool", busybox, packed(top), Cmd=command, User="web", Labels={LABEL: json.dumps(label)})
    (folder / "image.yml").write_text(YAML)
    return folder


def kernel_layer(kernel: KernelFiles, **archives: bytes) -> bytes:
    named = {"kernel.tar": kernel.modules.read_bytes(), **archives}
    return packed(tar(M("kernel", kernel.kernel.read_bytes()), *(M(name, data) for name, data in named.items())))


@pytest.fixture(scope="module")
def image(folder: Path) -> Image:
    return Builder(Settings()).build(load_image([folder / "image.yml"]), ARM)


@pytest.fixture(scope="module")
def system(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The system, at the mark that the stand-in writes."""
    options = BootOptions(mode="wall", out=tmp_path_factory.mktemp("booted"), probe=True)
    with boot(image, load_machine(paths.MACHINES / "qemu-arm64.yml"), options) as found:
        found.wait_ready()
        yield found


def ask(system: System, command: str) -> str:
    return system.shell.run(command, check=True).text.strip()


def test_the_first_process_is_the_images_own_init(system: System, kernel: KernelFiles) -> None:
    assert ask(system, "readlink /proc/1/exe; uname -r") == f"/usr/bin/busybox\n{kernel.version}"
    assert ask(system, "cat /sbin/init").startswith("#!/bin/sh\nexport PATH")
    assert system.shell.run("ls /gone /usr/lib/harness /etc/inittab").text.count("No such file") == 3
    assert " / squashfs ro" in ask(system, "cat /proc/mounts")
    assert "virtio_net" in ask(system, "lsmod"), "the modules of kernel.tar are in the root"


def test_containers_lie_where_linuxkit_looks_for_them(system: System) -> None:
    assert ask(system, "ls /containers/onboot/000-first /containers/services/web") == (
        "/containers/onboot/000-first:\nconfig.json\nlower\nrootfs\nruntime.json\ntmp\n\n"
        "/containers/services/web:\nconfig.json\nrootfs\nruntime.json"
    )
    runtime = json.loads(ask(system, "cat /containers/onboot/000-first/runtime.json"))
    assert runtime["mkdir"] == ["/run/made"] and len(runtime["mounts"]) == 2
    assert ask(system, "ls -d /run/made") == "/run/made"
    for name in ("data", "layout", "fixed", "empty"):
        assert ask(system, f"ls /containers/volumes/{name}") == "lower\nmerged\ntmp"
    assert not [mark for mark in system.milestones if mark.name.startswith("volumes/")]
    assert ask(system, "cat /containers/volumes/data/merged/etc/motd") == "from a layer"
    assert ask(system, "ls /containers/volumes/layout/merged") == "blobs\nindex.json\noci-layout"


def test_containers_ran_as_yaml_label_and_config_say(system: System) -> None:
    assert ask(system, "cat /var/000-first.log") == "from a layer"
    log = ask(system, "cat /var/web.log")
    assert log.startswith("uid=7(web) gid=8\ngiven\n") and "Read-only file system" in log
    process = json.loads(ask(system, "cat /containers/services/web/config.json"))["process"]
    assert process["capabilities"]["bounding"] == ["CAP_KILL"] and process["user"] == {"uid": 7, "gid": 8}


def test_a_layers_owners_modes_links_and_capabilities_are_in_the_root(system: System) -> None:
    place = "/containers/services/web/rootfs"
    assert ask(system, f"stat -c '%a %u %h' {place}/bin/ping") == "4755 3 2", "two names in the container's own image"
    assert ask(system, f"ls -i {place}/bin/ping {place}/bin/gnip | awk '{{ print $1 }}' | uniq | wc -l") == "1"
    assert ask(system, f"stat -c %a {place}/empty") == "1777"


def test_a_kernel_is_known_by_what_it_was_made_of(image: Image, kernel: KernelFiles) -> None:
    assert image.manifest["kernel"] == kernel.version
    assert [row["reference"] for row in image.manifest["images"]] == [
        "oci:kernel:1", "oci:init:1", "oci:runc:1", "oci:tool:1", "oci:tool:1"]  # fmt: skip
    assert gzip.decompress(image.kernel.read_bytes()) == gzip.decompress(kernel.kernel.read_bytes())


Build = Callable[[bytes, str], Image]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Build an image with nothing but a kernel, of a layer and the keys of `kernel`."""

    def make(layer: bytes, keys: str = "") -> Image:
        layout(tmp_path / "kernel", layer)
        (tmp_path / "image.yml").write_text(f"kernel: {{image: 'oci:kernel:1'{keys}}}\ninit: [init]\n")
        return Builder(Settings()).build(load_image([tmp_path / "image.yml"]), ARM)

    return make


def test_modules_may_be_packed_and_the_files_have_other_names(
    build: Build, kernel: KernelFiles, tmp_path: Path
) -> None:
    members = []
    with tarfile.open(kernel.modules) as archive:
        for member in archive:
            file = archive.extractfile(member)
            data = file.read() if file else b""
            if member.name.endswith(".ko"):
                members.append(M(f"{member.name.removeprefix('usr/')}.zst", zstd.compress(data)))
            elif member.isfile():
                members.append(M(member.name.removeprefix("usr/"), data.replace(b".ko", b".ko.zst")))
            else:
                members.append(M(member.name.removeprefix("usr/"), type=member.type))
    layer = tar(M("boot/bzImage", kernel.kernel.read_bytes()), M("modules.tar", tar(*members)))
    image = build(layer, ", binary: boot/bzImage, tar: modules.tar")
    assert image.manifest["kernel"] == kernel.version
    plain = [path.read_bytes() for path in kernel.stage1]
    initrd = image.initrd.read_bytes()
    assert re.search(rb"070701[0-9A-F]{104}modules/0", initrd)
    assert plain and all(module in initrd for module in plain)


def test_a_kernel_without_modules(build: Build, kernel: KernelFiles) -> None:
    image = build(tar(M("kernel", kernel.kernel.read_bytes())), ", tar: none")
    assert image.manifest["kernel"] == "" and not re.search(rb"070701[0-9A-F]{104}modules/0", image.initrd.read_bytes())


DEP = M("lib/modules/1/modules.dep", b"loop.ko: squashfs.ko\nsquashfs.ko:\n")  # needs it first
XZ = b"\xfd7zXZ\0junk"
NUL = b"loop.ko: a\0b.ko\na\0b.ko:\nsquashfs.ko:\n"
CHAIN = b"".join(f"m{n}.ko: m{n + 1}.ko\n".encode() for n in range(5000)) + b"loop.ko: m0.ko\nsquashfs.ko:\n"


@pytest.mark.parametrize(
    ("archive", "keys", "words"),
    [
        (None, "", "has no file /kernel.tar"),
        (None, ", binary: vmlinuz", "has no file /vmlinuz"),
        (b"no tar", "", "oci:kernel:1, /kernel.tar: layer sha256:"),
        (tar(M("../x")), "", "leads out of the root"),
        (tar(d("lib/modules/1"), d("lib/modules/2")), "", "modules of several kernels: 1, 2"),
        (tar(d("lib/modules/1")), "", "neither built in nor as a module: loop, squashfs"),
        (tar(d("lib/modules/1"), M("lib/modules/1/modules.dep", NUL)), "", "names the module 'a\\x00b'"),
        (tar(d("lib/modules/1"), DEP), "", "its modules.dep names 'lib/modules/1/squashfs.ko', which is not there"),
        (tar(d("lib/modules/1"), M("lib/modules/1/modules.dep", CHAIN)), "", "chain without end"),
        (tar(d("lib/modules/1"), DEP, M("lib/modules/1/squashfs.ko", XZ)), "", "squashfs.ko' is damaged: is cut"),
    ],
)  # fmt: skip
def test_an_image_that_is_no_kernel_is_refused(build: Build, archive: bytes | None, keys: str, words: str) -> None:
    members = [M("kernel", b"kernel"), *([M("kernel.tar", archive)] if archive is not None else [])]
    with pytest.raises(ImageError) as caught:
        build(tar(*members), keys)
    assert words in str(caught.value)


def test_microcode_begins_the_initrd_where_a_kernel_looks_for_it(tmp_path: Path) -> None:
    ucode = b"070701" + b"0" * 500
    layer = tar(M("kernel", b"kernel"), M("intel.cpio", ucode), M("amd.cpio", b"no cpio"))
    layout_of(tmp_path / "kernel", {"x86_64": [layer], "arm64": [layer]})

    def build(name: str, arch: str) -> bytes:
        keys = f"image: 'oci:kernel:1', tar: none, ucode: {name}"
        (tmp_path / "image.yml").write_text(f"kernel: {{{keys}}}\ninit: [init]\n")
        return Builder(Settings()).build(load_image([tmp_path / "image.yml"]), by_name(arch)).initrd.read_bytes()

    assert build("intel.cpio", "x86_64").startswith(ucode + bytes(2) + b"070701")
    assert ucode not in build("intel.cpio", "arm64")
    with pytest.raises(ImageError, match="nothing to begin an initrd with"):
        build("amd.cpio", "x86_64")
    with pytest.raises(ImageError, match="has no file /gone"):
        build("gone", "x86_64")
