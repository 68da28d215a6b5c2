from __future__ import annotations

import gzip
import subprocess
import tarfile
from pathlib import Path

import pytest
from tiers import needs

from harness.arch import ARCHES, Arch
from harness.build.debian import Debian
from harness.build.kernel import KernelFiles, image_package, make_kernel
from harness.build.modules import ModuleIndex, module_name, read_index
from harness.build.packages import DebianPackage, Resolution
from harness.errors import UserError
from harness.spec.models.component import ComponentSpec, KernelPart
from harness.store import Store

DEP = """\
kernel/a/virtio-net.ko: kernel/b/failover.ko kernel/b/virtio.ko kernel/b/virtio_ring.ko
kernel/b/virtio.ko: kernel/b/virtio_ring.ko
kernel/b/virtio_ring.ko:
kernel/b/failover.ko.xz:
kernel/c/ext4.ko:
kernel/c/crc.ko:
"""


@pytest.fixture
def index() -> ModuleIndex:
    return read_index(DEP, "kernel/x/unix.ko\nkernel/x/af-packet.ko\n", "softdep ext4 pre: crc absent post: unix\n")


def test_modules_load_after_what_they_need(index) -> None:
    assert index.order(["virtio_net"]) == ["virtio_ring", "virtio", "failover", "virtio_net"]
    assert index.order(["virtio", "virtio-net", "virtio"]) == ["virtio_ring", "virtio", "failover", "virtio_net"]
    assert index.order(["ext4"]) == ["crc", "ext4"]


def test_built_in_and_absent_modules_are_left_out(index) -> None:
    assert index.order(["unix", "af_packet", "nothing"]) == []
    assert index.knows("af-packet")
    assert index.knows("virtio-net")
    assert not index.knows("virtio_nett")
    assert index.nearest("virtio_nett")[0] == "virtio_net"


def test_a_circle_of_needs_ends() -> None:
    index = read_index("a.ko: b.ko\nb.ko: a.ko\n", "", "")
    assert sorted(index.order(["a"])) == ["a", "b"]


def test_module_names() -> None:
    assert module_name("kernel/x/virtio-rng.ko.xz") == "virtio_rng"
    assert module_name("modules.dep") == ""


def package(name: str, *depends: str) -> DebianPackage:
    return DebianPackage(name, "1", "amd64", "0" * 64, 1, "pool/x", name, depends)


def test_the_image_behind_a_metapackage() -> None:
    real = package("linux-image-6.1.0-9-cloud-amd64", "kmod")
    meta = package("linux-image-cloud-amd64", real.name)
    everything = (real, meta, package("kmod"))
    for asked in (meta, real):
        assert image_package(Resolution("s", "x86_64", (asked.name,), everything, {})) == real
    with pytest.raises(UserError, match="none of kmod is a kernel for x86_64"):
        image_package(Resolution("s", "x86_64", ("kmod",), everything, {}))


def component(tmp_path: Path, digest: str, **keys: tuple[str, ...]) -> ComponentSpec:
    part = KernelPart(**keys)
    return ComponentSpec(name="kernel", path=tmp_path / "k.yml", digest=digest, description="", kernel=part)


WANTED = {
    "modules": ("virtio_net", "overlay", "dm-verity", "button", "af_packet", "crc32c_generic"),
    "probe": ("virtio_pci", "virtio_mmio", "virtio_console"),
}


@pytest.fixture(scope="module")
@needs("builds")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Debian:
    return Debian(Store(tmp_path_factory.mktemp("real")))


@pytest.fixture(scope="module")
def kernels(debian, tmp_path_factory: pytest.TempPathFactory) -> dict[str, KernelFiles]:
    spec = component(tmp_path_factory.mktemp("spec"), "one", **WANTED)
    return {arch.name: make_kernel(spec, arch, debian, debian.store) for arch in ARCHES.values()}


@pytest.fixture(params=ARCHES)
def arch(request: pytest.FixtureRequest) -> Arch:
    return ARCHES[request.param]


MAGIC = {"x86_64": (b"HdrS", 0x202), "arm64": (b"ARM\x64", 56), "s390x": (b"\xfd7zXZ", None)}


def test_the_kernel_is_one_that_qemu_boots(kernels, arch) -> None:
    data = kernels[arch.name].kernel.read_bytes()
    assert data.startswith(b"\x1f\x8b") == arch.gzip_kernel
    if arch.gzip_kernel:
        # no name and no date in the gzip header: the same bytes every time
        assert data[3:8] == b"\0" * 5
        data = gzip.decompress(data)
    magic, offset = MAGIC[arch.name]
    assert magic in data if offset is None else data[offset:].startswith(magic)
    assert kernels[arch.name].size == kernels[arch.name].kernel.stat().st_size
    brought = {row["name"]: row["files"] for row in kernels[arch.name].packages}
    image = next(name for name in brought if name.startswith("linux-image-6"))
    assert brought.pop(image) > 10
    assert set(brought.values()) == {0} and {arch.kernel_package, "kmod"} <= set(brought), "all that was resolved"


def names(paths: tuple[Path, ...]) -> list[str]:
    return [path.name for path in paths]


def test_the_first_stages_modules(kernels, arch) -> None:
    assert names(kernels[arch.name].stage1) == ["00-loop.ko", "01-squashfs.ko"]
    probe = names(kernels[arch.name].probe)
    # virtio itself is built in on s390x
    first = [] if arch.name == "s390x" else ["00-virtio_ring.ko", "01-virtio.ko"]
    assert probe[: len(first)] == first
    assert probe[-1].endswith("-virtio_console.ko")
    for path in (*kernels[arch.name].stage1, *kernels[arch.name].probe):
        assert path.read_bytes().startswith(b"\x7fELF")


def test_the_roots_modules_are_whole(kernels, arch, tmp_path) -> None:
    kernel = kernels[arch.name]
    subprocess.run(["tar", "-xf", str(kernel.modules), "-C", str(tmp_path)], check=True)
    top = tmp_path / "usr/lib/modules" / kernel.version
    carried = {module_name(path.name) for path in top.rglob("*.ko")}
    assert {"virtio_net", "net_failover", "failover", "overlay", "dm_verity", "dm_mod", "dm_bufio"} <= carried
    assert ("button" in carried) == (arch.name == "x86_64")
    assert ("crc32c_generic" in carried) == (arch.name == "s390x")
    assert "af_packet" not in carried
    assert "ext4" not in carried
    assert {path.name for path in top.glob("modules.*")} == {
        "modules.dep",
        "modules.alias",
        "modules.softdep",
        "modules.builtin",
    }
    dep = (top / "modules.dep").read_text()
    for word in dep.replace(":", "").split():
        assert (top / word).is_file()
    order = read_index(dep, "", "").order(["virtio_net"])
    assert order.index("failover") < order.index("net_failover") < order.index("virtio_net")


def test_the_same_bytes_again(kernels, debian, tmp_path) -> None:
    arch = ARCHES["s390x"]
    again = make_kernel(component(tmp_path, "two", **WANTED), arch, debian, debian.store)
    first = kernels["s390x"]
    assert again.path != first.path
    for path in sorted(first.path.rglob("*")):
        if path.is_file():
            assert (again.path / path.relative_to(first.path)).read_bytes() == path.read_bytes()


def test_what_an_images_components_need_comes_with_it(kernels, debian, tmp_path) -> None:
    more = {"dm-crypt": "crypt", "overlay": "other", "nothing_yet": "third", "ext4": "fourth"}
    spec = component(tmp_path, "one", **WANTED)
    with pytest.raises(UserError, match=r"component third: no architecture's kernel has the module nothing_yet$"):
        make_kernel(spec, ARCHES["arm64"], debian, debian.store, more)
    del more["nothing_yet"]
    made = make_kernel(spec, ARCHES["arm64"], debian, debian.store, more)
    assert made.path != kernels["arm64"].path and kernels["arm64"].loads == ()
    assert made.loads == ("dm_crypt", "overlay"), "ext4 is built in"
    with tarfile.open(made.modules) as more_tar, tarfile.open(kernels["arm64"].modules) as tar:
        added = {module_name(name) for name in {*more_tar.getnames()} - {*tar.getnames()}}
    assert {"dm_crypt"} <= added and "overlay" not in added


def test_a_module_that_no_architecture_has(kernels, debian, tmp_path) -> None:
    spec = component(tmp_path, "typo", modules=("virtio_nett", "button"))
    with pytest.raises(UserError, match="no architecture's kernel has the module virtio_nett") as caught:
        make_kernel(spec, ARCHES["s390x"], debian, debian.store)
    assert "did you mean virtio_net" in caught.value.hint
