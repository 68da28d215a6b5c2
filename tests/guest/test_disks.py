"""What writes to devices writes to blank ones and to its own: never over what it does not know.

The components run in the booted system, each with the command and the devices that a test gives it. Every kind of
content takes a quarter of an hour under emulation: without ``--long`` a sample of the kinds is tried.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import paths
from harness.image import Image
from harness.launch import boot
from harness.spec import load_machine
from harness.system import BootOptions, CommandResult, System

DISKS = Path(__file__).with_name("disks.yml")
NAMES = ("format", "crypto", "swap", "btrfs", "xfs", "raid", "lvm", "verity", "extend", "mount")
MIB = 1 << 20
SAMPLE = ("plain", "swap", "ext4", "dos", "late")
KINDS = (*SAMPLE, "luks", "lvm", "raid", "vfat", "gpt", "noise", "xfs", "btrfs")
MIB_OF = {"luks": 24, "xfs": 320, "btrfs": 320}  # the least that they take
LEAST = 12
# Each component's command on the device $d, and the kinds that it is tried on without --long: what it knows itself,
# what somebody else has signed, and what only a look at every byte shows.
TRIES = {
    ("format", "/usr/bin/format $d"): ("dos", "swap", "late"),
    ("crypto", "/usr/bin/crypto -k other name $d"): ("plain", "ext4", "late"),
    ("crypto", "/usr/bin/crypto -l -k other name $d"): ("plain", "dos"),
    ("swap", "/swap.sh $d && swapoff $d"): ("swap", "ext4", "late"),
    ("btrfs", "DEVICES=$d /usr/bin/btrfs-start"): ("dos", "late"),
    ("xfs", "DEVICE=$d /usr/bin/xfs-start"): ("swap", "late"),
    ("raid", 'DEVICES="$d {late}" DEVICE=/dev/md9 /usr/bin/mdadm-start'): ("ext4",),
    ("lvm", "VG=new DEVICES=$d /usr/bin/lvm-start"): ("ext4", "late"),
    ("verity", "DATA={ext4} HASH=$d ROOT=make /usr/bin/verity-start"): ("plain", "swap"),
}
# the kinds on which each does its job, for what is there is its own; all others it leaves as they are
OWN = {"format": ("dos", "gpt"), "swap": ("swap",), "btrfs": ("btrfs",), "xfs": ("xfs",)}
REASONS = {"lvm": "LVM2_member", "raid": "linux_raid_member", "noise": "data of a kind", "late": "data of a kind",
           "swap": "swap"}  # fmt: skip


class Guest:
    """The system, and its components as programs."""

    def __init__(self, system: System) -> None:
        self.system, self.number = system, 0

    def ask(self, command: str) -> str:
        return self.system.shell.run(command, timeout=600, check=True).text.strip()

    def run(self, name: str, *argv: str, **env: str) -> CommandResult:
        """Run a component's command, or another in its place, in its container."""
        bundle = f"/containers/onshutdown/{NAMES.index(name):03d}-{name}"
        config = json.loads(self.ask(f"cat {bundle}/config.json"))
        config["root"]["path"] = f"{bundle}/rootfs"
        if argv:
            config["process"]["args"] = list(argv)
        config["process"]["env"] += [f"{key}={value}" for key, value in env.items()]
        packed = base64.b64encode(json.dumps(config).encode()).decode()
        self.number += 1
        place = f"/run/try{self.number}"
        self.ask(f"mkdir {place}; echo {packed} | base64 -d >{place}/config.json")
        crun = f"crun --root /run/crun --cgroup-manager=cgroupfs run --bundle {place} try{self.number}"
        return self.system.shell.run(f"{crun} </dev/null 2>&1", timeout=600)

    def done(self, name: str, *argv: str, **env: str) -> str:
        found = self.run(name, *argv, **env)
        assert found.code == 0, found.text
        return found.text

    def disk(self, name: str, mib: int = LEAST) -> str:
        """Make a blank disk; return its device."""
        self.ask(f"mkdir -p /var/disks; truncate -s {mib}M /var/disks/{name}")
        device = self.ask("losetup -f")
        self.ask(f"losetup -P {device} /var/disks/{name}")
        return device

    def sums(self) -> dict[str, str]:
        """Return the sums of what the disks hold, by their names; of large ones of what lies at their beginning."""
        said = self.ask("sync; cd /var/disks; for one in *; do echo $one $(head -c 16M $one | md5sum); done")
        return {line.split()[0]: line.split()[1] for line in said.splitlines()}


@pytest.fixture(scope="module")
def guest(built: Callable[[Path], Image], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """The system, at ready."""
    options = BootOptions(mode="wall", out=tmp_path_factory.mktemp("disks"), probe=True, timeout_multiplier=8)
    machine = load_machine(paths.CASES / "library/large-arm64.yml")
    with boot(built(DISKS), machine, options) as system:
        system.wait_ready()
        yield Guest(system)


def fill_with_components(guest: Guest, kind: str, device: str) -> None:
    """Let the component of a kind write its content, and let go of the device."""
    if kind in ("luks", "plain"):
        option = "-l" if kind == "luks" else ""
        guest.done("crypto", "/bin/sh", "-c", f"/usr/bin/crypto {option} {kind} {device} && cryptsetup close {kind}")
    elif kind == "lvm":
        guest.done("lvm", VG="group", DEVICES=device)
        guest.done("lvm", "/bin/sh", "-c", "vgchange --activate n")
    elif kind == "raid":
        guest.done("raid", DEVICES=f"{device} {guest.disk('raid-2')}")
        guest.done("raid", "/bin/sh", "-c", "mdadm --stop /dev/md0")
    elif kind == "gpt":
        guest.done("format", "/usr/bin/format", "-partition", "gpt", device)
    elif kind == "dos":
        guest.done("format", "/usr/bin/format", "-label", "OTHER", device)
    elif kind == "xfs":
        guest.done("xfs", DEVICE=device)
    else:
        assert kind == "btrfs"
        guest.done("btrfs", DEVICES=device)


FILLED_BY_COMMAND = {
    "swap": "mkswap {0}",
    "ext4": "mke2fs -F {0}",
    "vfat": "mkdosfs {0}",
    "noise": "dd if=/dev/urandom of={0} bs=1M 2>/dev/null || true",
    # a system of another kind, whose first megabyte says nothing
    "late": "dd if=/dev/urandom of={0} bs=1M seek=9 count=1 2>/dev/null",
}


@pytest.fixture(scope="module")
def held(guest: Guest, request: pytest.FixtureRequest) -> dict[str, str]:
    """Kinds of content, each on a disk: devices by kind; every kind with ``--long``, else the sample."""
    kinds = KINDS if request.config.getoption("--long") else SAMPLE
    disks = {kind: guest.disk(kind, MIB_OF.get(kind, LEAST)) for kind in kinds}
    for kind, device in disks.items():
        if kind in FILLED_BY_COMMAND:
            guest.ask(FILLED_BY_COMMAND[kind].format(device))
        else:
            fill_with_components(guest, kind, device)
    return disks


def test_what_is_on_a_disk_stays(guest: Guest, held: dict[str, str], request: pytest.FixtureRequest) -> None:
    before = guest.sums()
    every = request.config.getoption("--long")
    for (name, command), sample in TRIES.items():
        kinds = tuple(held) if every else sample
        disks = " ".join(held[kind] for kind in kinds)
        words = f"for d in {disks}; do {command.format(**held)} && echo done $d; done; :"
        said = guest.done(name, "/bin/sh", "-c", words)
        done = {line.split()[1] for line in said.splitlines() if line.startswith("done ")}
        assert done == {held[kind] for kind in kinds if kind in OWN.get(name, ())}, (command, said)
        if name == "format":
            for kind in set(kinds) & set(REASONS):
                assert f"{held[kind]} holds {REASONS[kind]}" in said, said
    own = {"swap", "xfs", "btrfs"}  # what is its own is swapped to, mended, scanned
    after = guest.sums()
    assert {kind for kind in before if before[kind] != after[kind]} <= own


@pytest.mark.parametrize(("kind", "options"), [("plain", ()), pytest.param("luks", ("-l",), marks=pytest.mark.long)])
def test_the_key_that_encrypted_a_disk_opens_it(
    guest: Guest, held: dict[str, str], kind: str, options: tuple[str, ...]
) -> None:
    words = f"/usr/bin/crypto {' '.join(options)} again-{kind} {held[kind]} && cryptsetup close again-{kind}"
    assert "holds ext4" in guest.done("crypto", "/bin/sh", "-c", words)


@pytest.mark.long
def test_luks_is_not_opened_as_plain(guest: Guest, held: dict[str, str]) -> None:
    refused = guest.run("crypto", "/usr/bin/crypto", "no", held["luks"])
    assert refused.code != 0 and "holds LUKS, which -l opens" in refused.text


def test_a_device_that_is_not_there_is_a_fault(guest: Guest) -> None:
    gone = guest.run("format", "/usr/bin/format", "/dev/nosuch")
    assert gone.code != 0 and "/dev/nosuch is not there" in gone.text


def test_force_is_what_destroys(guest: Guest) -> None:
    device = guest.disk("forced")
    guest.ask(f"mkswap {device}")
    without = f"/usr/bin/format {device} && echo formatted"
    forced = f"/usr/bin/format -force -label FORCED {device} && blkid {device}p1"
    said = guest.done("format", "/bin/sh", "-c", f"{without}; {forced}")
    assert "formatted" not in said and "is ext4" in said and 'LABEL="FORCED"' in said, said


@pytest.mark.long
def test_mount_by_device_label_and_uuid(guest: Guest, held: dict[str, str]) -> None:
    part = f"{held['dos']}p1"
    uuid = guest.done("mount", "/bin/sh", "-c", f"blkid -o value -s UUID {part}").strip()
    for index, argv in enumerate(
        (["-label", "OTHER"], ["--label=OTHER"], [f"-uuid={uuid}"], ["-device", part], [part])
    ):
        guest.done("mount", "/usr/bin/mountie", *argv, f"/var/at{index}")
        assert f"{part} /var/at{index} ext4 " in guest.ask("cat /proc/mounts")
        guest.ask(f"umount /var/at{index}")
    assert guest.ask(f"readlink -f /dev/disk/by-uuid/{uuid}") == part
    # these are loop devices, which are nobody's choice
    chosen = guest.run("mount", "/usr/bin/mountie", "/var/none")
    assert chosen.code != 0 and "no drive has a Linux partition" in chosen.text


@pytest.mark.long
def test_extend_knows_each_file_system(guest: Guest) -> None:
    for kind, mib, more in (("ext4", 32, 64), ("xfs", 320, 400), ("btrfs", 128, 200)):
        device = guest.disk(f"grow-{kind}", mib)
        guest.done("format", "/usr/bin/format", "-type", kind, device)
        guest.ask(f"truncate -s {more}M /var/disks/grow-{kind}; losetup -c {device}")
        said = guest.done("extend", "/usr/bin/extend", "-type", kind, device)
        assert f"{device}: extended" in said
        size = int(guest.ask(f"blockdev --getsize64 {device}p1"))
        assert size > (more - 4) * MIB
        other = {"ext4": "xfs", "xfs": "btrfs", "btrfs": "ext4"}[kind]
        refused = guest.run("extend", "/usr/bin/extend", "-type", other, device)
        assert refused.code != 0 and f"holds {kind}, not {other}" in refused.text


@pytest.mark.long
def test_swap_is_encrypted_and_has_conditions(guest: Guest) -> None:
    guest.ask("mkdir -p /var/on && losetup -f >/dev/null")
    device = guest.disk("fs", 64)
    guest.ask(f"mke2fs -F {device} && mount -t ext2 {device} /var/on")
    assert "smaller than 1G" in guest.done("swap", "/swap.sh", "--path", "/var/on/swap", "--size", "8M",
                                            "--condition", "partsize:/var/on:1G:false")  # fmt: skip
    unmet = guest.run("swap", "/swap.sh", "--path", "/var/on/swap", "--size", "8M", "--condition", "part:/nowhere:true")
    assert unmet.code != 0 and "nothing is mounted at /nowhere" in unmet.text
    assert "/var/on/swap" not in guest.ask("cat /proc/swaps")
    for _ in range(2):  # and again after a boot, when only the file is left
        guest.done("swap", "/swap.sh", "--path", "/var/on/swap", "--size", "8M", "--encrypt")
        assert "/dev/dm-" in guest.ask("cat /proc/swaps")
        guest.ask("swapoff /dev/mapper/swapfile")
        guest.done("swap", "/bin/sh", "-c", "cryptsetup close swapfile")
    guest.ask("echo mine >/var/on/file")
    kept = guest.run("swap", "/swap.sh", "--path", "/var/on/file", "--size", "8M")
    assert kept.code != 0 and guest.ask("cat /var/on/file") == "mine"
