"""An OS that is broken in one way, for each requirement of each profile: it is refused for that one and no other."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml
from certifying import Certified, Certify, merged
from test_broken_foreign import BROKEN as FOREIGN

from harness import paths
from harness.arch import by_name
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.spec import load_image
from harness.spec.profile import load_profile, profiles

pytestmark = [pytest.mark.boots, pytest.mark.builds, pytest.mark.long]
MARK = """
onboot:
  - name: liar
    image: busybox
    command: [/bin/sh, -c, "echo '<10>harness: onboot/other failed code=1' >/dev/kmsg"]
    devices: [{path: /dev/kmsg, type: c, major: 1, minor: 11, mode: "0666"}]
"""
SLOW = "onboot: [{name: slow, image: busybox, command: [/bin/sleep, '3']}]"
LARGE = "files: [{path: usr/share/large, source: large}]"
# The second stage begins with the root copied to a tmpfs, as by somebody who needs to change a file of it.
INITTAB = """
files:
  - path: etc/inittab
    contents: |
      ::once:/usr/lib/writable
      ::shutdown:/usr/lib/harness/shutdown
      ::ctrlaltdel:/sbin/reboot
  - path: usr/lib/writable
    mode: "0755"
    contents: |
      #!/bin/sh
      mkdir /run/upper /run/work /run/new
      modprobe overlay
      mount -t overlay -o lowerdir=/,upperdir=/run/upper,workdir=/run/work overlay /run/new
      for place in dev proc sys tmp var; do mount -o move /$place /run/new/$place; done
      mount -t tmpfs tmpfs /run/new/run
      cd /run/new
      mkdir -p before
      pivot_root . before
      exec /usr/lib/harness/boot
"""
GRACELESS = """
files: [{path: etc/inittab, contents: "::once:/usr/lib/harness/boot\\n"}]
onshutdown: [{name: goodbye, image: busybox, command: [/bin/true]}]
"""
NOISY = """
onboot:
  - name: hungry
    image: busybox
    command: [/bin/sh, -c, "tail -c 100000000 /dev/zero; true"]
    resources: {memory: {limit: 16000000}}
"""
TAINTED = """
onboot:
  - name: taint
    image: busybox
    command: [/bin/sh, -c, "echo 512 >/settings/tainted"]
    binds: ["/proc/sys/kernel:/settings"]
    capabilities: [CAP_SYS_ADMIN]
"""


# What every OS below has, for the profile recommends it.
SETTINGS = """
  - name: settings
    image: busybox
    command:
      - /bin/sh
      - -c
      - >-
        cd /settings; echo 2 >kernel/kptr_restrict; echo 1 >kernel/kexec_load_disabled;
        echo 1 >kernel/yama/ptrace_scope; echo 2 >net/core/bpf_jit_harden; echo 2 >fs/protected_fifos;
        echo 2 >fs/protected_regular; echo 0 >dev/tty/ldisc_autoload; true
    binds: ["/proc/sys:/settings"]
    net: host
    capabilities: [all]
"""


def on_host(name: str, command: str, annotations: str = "{}", first: str = "") -> str:
    """An onboot that does something where the first process's mounts are, as the library's `mount` does."""
    return f"""
onboot:{first}
  - name: {name}
    image: busybox
    command: [/usr/bin/nsenter, -t, "1", -m, --, /bin/sh, -c, '{command}']
    capabilities: [all]
    pid: host
    devices: [{{path: all, type: b}}]
    annotations: {annotations}
files: [{{path: srv/data, directory: true}}]
"""


# A disk answers when the host gets to it.
FROM_DISK = on_host("reader", "dd if=/dev/vda of=/dev/null bs=512")
READABLE = on_host("readable", "mount -t tmpfs -o ro tmpfs /srv/data")
REMOUNTING = """
services:
  - name: remounting
    image: busybox
    command: [/bin/sh, -c, "mount -o remount,rw,bind /; echo up; exec tail -f /dev/null"]
    readonly: true
    capabilities: [CAP_SYS_ADMIN]
    annotations: {harness.health: "log:up"}
"""
LYING = on_host(
    "lying",
    'dd if=/dev/loop7 of=/run/root bs=64k && printf "\\\\0\\\\0\\\\0\\\\0" | '
    "dd of=/run/root bs=1 seek=8 conv=notrunc && mount -o bind /run/root /dev/loop7 && "
    "mount -o remount,ro,bind /dev/loop7",
)
HIDDEN = on_host(
    "hidden",
    "dd if=/dev/zero of=/run/disk bs=64k count=16 && losetup /dev/loop3 /run/disk && mke2fs -I 256 /dev/loop3 && "
    "mount -t ext4 /dev/loop3 /srv/data",
)
FORGETFUL = on_host("forgetful", "mount -t tmpfs tmpfs /srv/data", "{harness.mounts: /srv/data}")
KEEPING = """
onboot:
  - {name: format, image: format, env: [DEVICE=/dev/vda, LABEL=data]}
  - name: mount
    image: mount
    env: [LABEL=data, MOUNTPOINT=/var/data]
    annotations: {harness.mounts: /var/data}
"""
HARD = f"onboot:{SETTINGS}"
UNCLEARED = f"kernel: {{image: kernel, cmdline: quiet cryptomgr.notests init_on_alloc=0}}\n{HARD}"
TALKATIVE = f"""{HARD}
  - name: talkative
    image: busybox
    command: [/bin/sh, -c, "echo 0 >/settings/dmesg_restrict"]
    binds: ["/proc/sys/kernel:/settings"]
    capabilities: [CAP_SYS_ADMIN]
"""
MIGHTY = on_host(
    "mighty",
    'cd /containers/services/hello && sed "s/.bounding.: *\\[/&\\"CAP_SYS_BOOT\\"/" config.json >/run/it && '
    "mount -o bind /run/it config.json",
    first=SETTINGS,
)
STRAY = f"""{HARD}
services:
  - name: stray
    image: busybox
    command:
      - /bin/sh
      - -c
      - sh -c 'echo $$ >/cgroup/cgroup.procs; exec tail -f /dev/null' & sleep 1; echo is up; exec tail -f /dev/null
    binds: ["/sys/fs/cgroup:/cgroup"]
    pid: host
    capabilities: [all]
    annotations: {{harness.health: "log:is up"}}
"""
TALKER = f"""{HARD}
services: [{{name: talker, image: busybox, command: [/bin/sh, -c, "while :; do nc -l -p 9999; done"]}}]
"""
SETUID = f"{HARD}\nfiles: [{{path: usr/bin/mine, contents: '#!/bin/sh', mode: '4755'}}]"
UNSIGNED = f"{HARD}\nfiles: [{{path: usr/lib/modules/mine.ko, contents: nobody signed this}}]"
# The shell runs its own programs, so what blinds it is something that is mounted or taken away.
NO_CONTROL = on_host("no-control", "mkdir /run/.control && mount -t tmpfs -o ro tmpfs /run/.control")
NO_NUMBERS = f"""{HARD}
services:
  - name: eraser
    image: busybox
    command:
      - /bin/sh
      - -c
      - until rm /run/harness/hello.pid; do sleep 0.1; done; echo is up; exec tail -f /dev/null
    binds: ["/run:/run"]
    annotations: {{harness.health: "log:is up"}}
"""
# What keeps a case from looking: it must not be called passed.
BLIND = {
    # a setuid file where only a look at every mounted file system finds it
    ("hardened", "no-setuid"): on_host(
        "hidden", "mkdir -p /run/x && mount -t ramfs ramfs /run/x && cp /usr/bin/busybox /run/x/mine && "
        "chmod 4755 /run/x/mine", first=SETTINGS,
    ),
    # no place where an attack could succeed, or a search find what is planted
    ("immutable", "never-writable"): NO_CONTROL,
    ("base", "root-read-only"): NO_CONTROL,
    # what tells of mounts, of a service's process, of processes and of sockets is not there
    ("immutable", "state-in-volumes"): on_host("no-mounts", "mount -o bind /dev/null /proc/1/mountinfo"),
    ("hardened", "capabilities"): NO_NUMBERS,
    ("hardened", "processes"): on_host("no-first", "mount -t tmpfs tmpfs /proc/1", first=SETTINGS),
    ("hardened", "ports"): on_host("no-sockets", "mount -o remount,subset=pid /proc", first=SETTINGS),
}  # fmt: skip
BY_INIT = "ready-by-init"
# It stops the init and says in its place what that would have said three seconds later; nothing in its marks is wrong.
FORGER = """
onboot:
  - name: liar
    image: busybox
    command:
      - /usr/bin/nsenter
      - -t
      - "1"
      - -m
      - --
      - /bin/sh
      - -c
      - |
        for one in /proc/[0-9]*; do ! grep -q 'harness/[b]oot' $one/cmdline || kill -STOP ${one#/proc/}; done
        say() { echo "<10>harness: $*" >/dev/kmsg; }
        say onboot/liar done
        say onboot/slow start
        say onboot/slow done
        say services/hello start
        say services/hello ready cpu=1 asked=0
        case $(cat /proc/cmdline) in
          *harness.then=poweroff*) /usr/lib/harness/mark ready witness; poweroff ;;
          *) /usr/lib/harness/mark ready ;;
        esac
        sleep 100
    capabilities: [all]
    pid: host
  - {name: slow, image: busybox, command: [/bin/sleep, "3"]}
"""
# Without a right of its own it has the kernel start what it likes, by a name that init or kernel follow; then as above.
FOLLOWED = """
services:
  - name: late
    image: busybox
    command: [/bin/sh, -c, "sleep 3; echo it is late; exec tail -f /dev/null"]
    annotations: {{harness.health: "log:it is late"}}
  - name: liar
    image: busybox
    readonly: false
    command:
      - /bin/sh
      - -c
      - |
        cat >/tmp/it <<END
        #!/bin/sh
        exec >/dev/null 2>&1
        export PATH=/usr/sbin:/usr/bin
        ! [ -e /run/it ] || exit 0
        : >/run/it
        for one in /proc/[0-9]*; do ! grep -q 'harness/[ba]' \\$one/cmdline || kill -STOP \\${{one#/proc/}}; done
        echo '<10>harness: services/late ready cpu=1' >/dev/kmsg
        case \\$(cat /proc/cmdline) in
          *harness.then=poweroff*) /usr/lib/harness/mark ready witness; /usr/sbin/poweroff ;;
          *) /usr/lib/harness/mark ready ;;
        esac
        END
        chmod 755 /tmp/it
        echo '|/containers/services/liar/rootfs/tmp/it' {where}
        sleep 0.2
        sh -c 'kill -SEGV $$'
        exec tail -f /dev/null
    {more}
"""
BY_NAME = {
    "a link where the init writes logs": FOLLOWED.format(where="", more="") + (
        "files: [{path: var/log/liar.log, symlink: /proc/sys/kernel/core_pattern}]\n"),
    "the root, read only, and what is mounted below": FOLLOWED.format(
        where=">/host/proc/sys/kernel/core_pattern", more='binds: ["/:/host:ro"]'),
    "a user namespace whose root is root": FOLLOWED.format(
        where=">/proc/sys/kernel/core_pattern", more='userns: new\n    net: new'),
}  # fmt: skip
MIGHTY = ("SYS_ADMIN", "[all]", "etc/inittab", "usr/bin", "usr/lib", "/run:/run")  # in YAML that may act as the init
# By profile and requirement: what breaks it.
BROKEN = {
    ("base", BY_INIT): FORGER,
    ("base", "boots"): MARK,
    ("base", "exact-time"): FROM_DISK,
    ("base", "boot-time"): SLOW,
    ("base", "size"): LARGE,
    ("base", "root-read-only"): INITTAB,
    ("base", "shutdown"): GRACELESS,
    ("base", "kernel-log"): NOISY,
    ("base", "kernel-untainted"): TAINTED,
    ("immutable", "never-writable"): READABLE,
    ("immutable", "containers-roots"): REMOUNTING,
    ("immutable", "changed-root-detected"): LYING,
    ("immutable", "state-in-volumes"): HIDDEN,
    ("immutable", "volumes-kept"): FORGETFUL,
    ("hardened", "kernel-options"): UNCLEARED,
    ("hardened", "kernel-settings"): TALKATIVE,
    ("hardened", "image-settings"): "",
    ("hardened", "capabilities"): MIGHTY,
    ("hardened", "processes"): STRAY,
    ("hardened", "ports"): TALKER,
    ("hardened", "no-setuid"): SETUID,
    ("hardened", "signed-modules"): UNSIGNED,
}
# What is asked of machines without exact time, and what breaks it there.
UNCOUNTED = {"boots-wall": MARK, "boot-time-wall": "", "shutdown-wall": GRACELESS}
HASTE = "description: base in a hurry\nversion: 1\nextends: base\nbudget: {wall: 0.1}\nrequirements: []\n"
FILES = {"large": lambda: random.Random(1).randbytes(36_000_000)}
WITH_DISK = """\
  args: [-drive, "if=none,id=disk,file=disk,format=raw,snapshot=on", -device, "virtio-blk-pci,drive=disk"]
"""


def judged(found: Certified) -> set[str]:
    return found.verdicts("failed", "not run")


@pytest.fixture
def excused(certify: Certify) -> Certify:
    """Certify an OS that breaks, or makes settings, by its might, and has a waiver for that."""

    def run(more: str = "", *words: str, files: Mapping[str, str | bytes] | None = None, **said: str) -> Certified:
        given = dict(files or {})
        if any(word in more for word in MIGHTY) and more != FORGER:
            until = date.today() + timedelta(days=30)
            given["waivers.yml"] = f"waivers: [{{requirement: {BY_INIT}, reason: r, owner: o, until: {until}}}]\n"
            words = (*words, "--waivers", "waivers.yml")
        return certify(more, *words, files=given, **said)

    return run


@pytest.mark.parametrize(("profile", "requirement"), BROKEN, ids=map("-".join, BROKEN))
def test_it_fails_for_that_requirement_and_no_other(excused: Certify, profile: str, requirement: str) -> None:
    more = BROKEN[profile, requirement]
    files: dict[str, str | bytes] = {name: make() for name, make in FILES.items() if name in more}
    if more == FROM_DISK:
        files |= {"disk.yml": (paths.MACHINES / "qemu-arm64.yml").read_text() + WITH_DISK, "disk": bytes(4 << 20)}
    found = excused(more, profile=profile, files=files, machine="./disk.yml" if more == FROM_DISK else "qemu-arm64")
    why = {row["id"]: row["why"] for row in found.certificate["requirements"] if row["why"]}
    assert judged(found) == {requirement}, why
    levels = {row["id"]: row["level"] for row in found.certificate["requirements"]}
    assert found.code == (1 if levels[requirement] == "mandatory" else 0)


def test_files_that_are_not_those_that_were_built(excused: Certify, tmp_path: Path) -> None:
    more = "files: [{path: etc/tampered, contents: with}]"
    (tmp_path / "image.yml").write_text(merged(more))
    image = Builder(Settings()).build(load_image([tmp_path / "image.yml"]), by_name("arm64"))
    whole = image.initrd.read_bytes()
    try:
        image.initrd.write_bytes(whole + bytes(512))
        assert judged(excused(more)) == {"as-built"}
    finally:
        image.initrd.write_bytes(whole)


@pytest.mark.parametrize("requirement", UNCOUNTED)
def test_without_exact_time_it_fails_likewise(excused: Certify, requirement: str) -> None:
    machine = (paths.MACHINES / "qemu-arm64.yml").read_text() + "  exact: false\n"
    files = {"uncounted.yml": machine, "haste.yml": HASTE}
    profile = "./haste.yml" if requirement == "boot-time-wall" else "base"
    found = excused(UNCOUNTED[requirement], profile=profile, machine="./uncounted.yml", files=files)
    assert (judged(found), found.code) == ({requirement}, 1)


@pytest.mark.parametrize("profile", list(profiles()))
def test_an_os_that_is_not_broken_passes_all(excused: Certify, profile: str) -> None:
    more = HARD if profile == "hardened" else ""
    found = excused(more, profile=profile)
    assert (judged(found), found.code) == (set(), 0), found.certificate["requirements"]


def test_one_that_keeps_something_on_a_disk_passes(excused: Certify) -> None:
    spec = yaml.safe_load((paths.MACHINES / "qemu-arm64.yml").read_text())
    spec["qemu"]["disks"] = [64]
    found = excused(KEEPING, profile="immutable", machine="./disk.yml", files={"disk.yml": yaml.safe_dump(spec)})
    assert (judged(found), found.code) == (set(), 0), found.certificate["requirements"]
    assert "volumes-kept" in found.verdicts("passed")


def test_each_requirement_has_its_broken_os() -> None:
    own = {(name, one.id) for name in profiles() for one in load_profile(name).requirements
           if load_profile(name).written[one.id] == profiles()[name]}  # fmt: skip
    others = {("base", name) for name in {"as-built", *UNCOUNTED}}
    assert set(BROKEN) | set(FOREIGN) | others == own


@pytest.mark.parametrize("how", BY_NAME)
def test_who_needs_no_right_to_say_ready_is_named(certify: Certify, how: str) -> None:
    """In all else it is fine, for what it says cannot be told from what the init would say three seconds later."""
    found = certify(BY_NAME[how])
    assert (judged(found), found.code) == ({BY_INIT}, 1), found.certificate["requirements"]


@pytest.mark.parametrize(("profile", "requirement"), BLIND, ids=map("-".join, BLIND))
def test_what_keeps_a_case_from_looking_does_not_pass(excused: Certify, profile: str, requirement: str) -> None:
    found = excused(BLIND[profile, requirement], profile=profile)
    whys = {row["id"]: (row["verdict"], row["why"]) for row in found.certificate["requirements"]}
    assert requirement in judged(found), whys
