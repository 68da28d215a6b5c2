"""Foreign OSes, really booted: Debian's systemd, a busybox that asks for a login, our own image as somebody else's."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import proc
from harness.arch import by_name
from harness.build.debian import Debian
from harness.build.layer import make_layer
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.errors import ImageError
from harness.image import ForeignImage, Image
from harness.launch import boot
from harness.spec import load_component, load_machine, load_os
from harness.system import BootOptions

pytestmark = [pytest.mark.boots, pytest.mark.builds]

HARNESS = str(Path(sys.executable).with_name("harness"))
Files = Callable[[str, str], Path]
SYSTEMD = """\
os: {name: debian, arch: arm64}
kernel: vmlinuz
initrd: initrd
cmdline: cryptomgr.notests systemd.log_target=kmsg printk.devkmsg=on systemd.show_status=false
milestones:
  - {name: systemd, pattern: 'systemd\\[1\\]: .*running in system mode'}
  - {name: basic, pattern: 'Reached target basic\\.target'}
  - {name: ready, pattern: 'systemd\\[1\\]: Startup finished in'}
login: {password_env: DEBIAN_PASSWORD}
"""
BUSYBOX = """\
os: {name: busybox, arch: s390x}
kernel: vmlinuz
initrd: initrd
cmdline: quiet cryptomgr.notests
milestones:
  - {name: mounted, pattern: 'rc: mounted'}
  - {name: ready, pattern: 'login: $'}
login: {password: secret}
"""
OPENRC = """\
os: {name: openrc, arch: arm64}
kernel: vmlinuz
initrd: initrd
cmdline: quiet cryptomgr.notests
milestones:
  - {name: openrc, pattern: 'OpenRC [0-9.]+ is starting up'}
  - {name: counted, pattern: 'rc: counted'}
  - {name: ready, pattern: 'rc: done'}
"""
STAMPED = BUSYBOX.replace("'login: $'", "'rc: done'")


@pytest.fixture(scope="module")
def files(images: Callable[[str], Image], tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Give a folder with kernel and initrd of the OS that the component NAME.yml beside this file is."""

    def made(name: str, arch: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        (folder / "vmlinuz").symlink_to(images(arch).kernel)
        store = Builder(Settings()).store
        layer = make_layer(load_component(Path(__file__).with_name(f"{name}.yml")), by_name(arch), Debian(store), store)
        bsdtar = proc.resolve("bsdtar")
        (folder / "root").mkdir()  # a cpio of a tar would have no hard links
        subprocess.run([bsdtar, "-xf", layer.tar, "-C", folder / "root"], check=True)
        owners = ("--uid", "0", "--gid", "0")
        with (folder / "initrd").open("wb") as out:
            subprocess.run([bsdtar, "--format=newc", *owners, "-C", folder / "root", "-cf", "-", "."], stdout=out,
                           check=True)  # fmt: skip
        return folder

    return made


@pytest.fixture(scope="module")
def systemd(files: Files) -> Path:
    return files("systemd", "arm64")


@pytest.fixture(scope="module")
def busybox(files: Files) -> Path:
    return files("busybox", "s390x")


def harness(*words: object, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HARNESS, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=600, check=False, env={**os.environ, **env})  # fmt: skip


def written(folder: Path, text: str, name: str = "os.yml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_systemd_is_explained_to_the_microsecond_and_to_its_units(systemd: Path, tmp_path: Path) -> None:
    yaml = written(systemd, SYSTEMD)
    done = harness("boot", yaml, "-m", "qemu-arm64", "--explain", "--json", "-o", tmp_path, DEBIAN_PASSWORD="secret")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    records = [json.loads((tmp_path / name / "record.json").read_text()) for name in ("1", "2")]
    assert found["repeats"] is True
    assert found["ready_us"] == records[0]["ready_us"] == records[1]["ready_us"] > 100_000
    assert records[0]["console_sha256_ready"] == records[1]["console_sha256_ready"]
    assert [phase["name"] for phase in found["phases"]] == ["to systemd", "to basic", "to ready"]
    assert sum(phase["us"] for phase in found["phases"]) == found["ready_us"]
    units = {phase["name"]: phase for phase in found["systemd"]}
    assert units["work.service"]["under"] == "userspace" and units["work.service"]["us"] > 0
    assert units["kernel"]["us"] == units["userspace"]["start_us"] > 0
    assert "did not power off" not in done.stderr


@pytest.mark.long
def test_openrc_is_explained_to_the_microsecond(files: Files, tmp_path: Path) -> None:
    yaml = written(files("openrc", "arm64"), OPENRC)
    done = harness("boot", yaml, "-m", "qemu-arm64", "--explain", "--json", "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["repeats"] is True and found["ready_us"] > 100_000
    # OpenRC's own words bear no stamp of the kernel's: they are no phase's end
    assert [phase["name"] for phase in found["phases"]] == ["to counted", "to ready"]
    assert sum(phase["us"] for phase in found["phases"]) == found["ready_us"]


def test_a_command_runs_after_the_login(busybox: Path) -> None:
    yaml = written(busybox, BUSYBOX)
    done = harness("boot", yaml, "-m", "qemu-s390x", "--run", "cat /proc/cmdline; exit 3", "--append", "own.word")
    assert done.returncode == 3, done.stderr
    assert done.stdout == "quiet cryptomgr.notests console=ttysclp0 own.word\n"
    assert "did not power off" not in done.stderr


def test_a_wrong_password_is_told_with_what_was_seen(busybox: Path, tmp_path: Path) -> None:
    yaml = written(busybox, BUSYBOX.replace("secret", "wrong"))
    done = harness("boot", yaml, "-m", "qemu-s390x", "-o", tmp_path)
    assert done.returncode == 5
    assert "busybox on qemu-s390x: no login: root was refused" in done.stderr
    assert "Login incorrect" in done.stderr
    # by now it was ready, and its milestones with and without the kernel's stamp were found
    marks = json.loads((tmp_path / "record.json").read_text())["milestones"]
    assert [(mark["name"], mark["guest_us"] is None) for mark in marks] == [("mounted", False), ("ready", True)]


def test_what_a_foreign_os_does_more_is_found(files: Files) -> None:
    folder, stamped = files("busybox", "arm64"), STAMPED.replace("s390x", "arm64")  # the cheapest to boot
    one = written(folder, stamped, "one.yml")
    two = written(folder, stamped.replace("notests", "notests work=40000"), "two.yml")
    done = harness("compare", one, two, "-m", "qemu-arm64", "--json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    (cell,) = found["cells"]
    assert (found["answer"], cell["culprit"]) == ("worse", "to ready")


@pytest.mark.long
def test_what_a_foreign_os_does_more_is_found_by_wall_time(busybox: Path) -> None:
    one = written(busybox, STAMPED, "one.yml")
    two = written(busybox, STAMPED.replace("notests", "notests work=3000000"), "two.yml")
    done = harness("compare", one, two, "-m", "qemu-s390x", "--pairs", "8", "--json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert found["answer"] == "worse"


def test_a_pattern_that_never_shows_is_told_and_the_button_powers_off(busybox: Path, tmp_path: Path) -> None:
    text = (
        BUSYBOX.partition("login: {")[0].replace("name: ready", "name: asked") + "  - {name: ready, pattern: never}\n"
    )
    options = BootOptions(mode="wall", out=tmp_path)
    with boot(ForeignImage(load_os(written(busybox, text))), load_machine("qemu-s390x"), options) as system:
        system.wait_for("asked")
        with pytest.raises(ImageError, match="no ready within 1 s after 'asked'") as caught:
            system.wait_ready(timeout=1)
        assert "no line had the pattern 'never' of the milestone 'ready'" in str(caught.value)
        assert "(none) login:" in str(caught.value) and "transcript: " in str(caught.value)
        assert system.power_off()
    assert "The system is going down NOW!" in (tmp_path / "transcript.txt").read_text()


# Writes itself to the disk's second sector with the BIOS, then its words to the first serial port.
SECTOR = bytes.fromhex(
    "31c0 8ed8 8ec0 8ed0 bc007c fb b80103 b90200 b600 bb007c cd13 be2a7c baf803 ac 84c0 7403 ee ebf8 f4 ebfd"
)


def on_a_disk(folder: Path, sector: bytes) -> tuple[ForeignImage, bytes]:
    """An OS that is a boot sector, and its disk's bytes."""
    disk = sector + b"\0" * (510 - len(sector)) + b"\x55\xaa" + b"\0" * (4095 * 512)
    (folder / "disk.img").write_bytes(disk)
    text = "os: {name: sector, arch: x86_64}\ndisk: disk.img\nmilestones: [{name: ready, pattern: 'says login:'}]\n"
    return ForeignImage(load_os(written(folder, text))), disk


def test_the_firmware_boots_a_disk_and_nothing_is_written_to_it(tmp_path: Path) -> None:
    image, disk = on_a_disk(tmp_path, SECTOR + b"sector says login:\0")
    options = BootOptions(mode="wall", out=tmp_path / "out")
    with boot(image, load_machine("qemu-x86_64"), options) as system:
        assert system.wait_ready().guest_us is None
    assert (tmp_path / "disk.img").read_bytes() == disk


# Draws in the BIOS's mode 13h, and says nothing on any port.
DRAWING = bytes.fromhex("b81300 cd10 f4 ebfd")


def test_what_an_os_shows_on_a_screen_alone_is_beside_the_message(tmp_path: Path) -> None:
    image, _ = on_a_disk(tmp_path, DRAWING)
    options, picture = BootOptions(mode="wall", out=tmp_path / "out"), tmp_path / "out/screen.png"
    with (
        boot(image, load_machine("qemu-x86_64"), options) as system,
        pytest.raises(ImageError, match=f"its screen: {picture}"),
    ):
        system.wait_ready(timeout=1)
    width, height = struct.unpack(">II", picture.read_bytes()[16:24])
    assert (width, height) == (640, 400)  # text, as the firmware shows it, is 720 wide


def test_a_machine_without_a_firmware_of_its_own_says_so(tmp_path: Path) -> None:
    (tmp_path / "disk.img").touch()
    text = "os: {name: x, arch: arm64}\ndisk: disk.img\nmilestones: [{name: ready, pattern: x}]\n"
    done = harness("boot", written(tmp_path, text), "-m", "qemu-arm64")
    assert done.returncode == 2
    assert "qemu-arm64 has no firmware of its own that boots a disk" in done.stderr
    done = harness("boot", written(tmp_path, text), "-m", "qemu-arm64", "--run", "true")
    assert "x has no shell to run a command in" in done.stderr
