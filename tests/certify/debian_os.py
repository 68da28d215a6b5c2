"""Debian with systemd or sysvinit, made by mmdebstrap, and Debian's installer: OSes that the harness has not built.

mmdebstrap only extracts the packages: their scripts need the other architecture's programs, or, where they can do
without (mode chrootless), add groups to this host when root runs them. What they would have made is made here.
"""

from __future__ import annotations

import dataclasses
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from harness import paths, proc
from harness.arch import Arch, by_name
from harness.build import deb, formats
from harness.build.debian import Debian
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.build.sources import text_of
from harness.tree import cpio
from harness.tree.tree import Tree, folder, plain, read_layer, symlink

SUITE = "bookworm"
PASSWORD = {"DEBIAN_PASSWORD": "secret"}
# Essential is nothing's dependency: it is named as far as it is wanted.
PACKAGES = (
    "base-files", "base-passwd", "bash", "busybox-static", "coreutils", "dash", "debianutils", "findutils", "grep",
    "gzip", "hostname", "kmod", "libc-bin", "libpam-modules", "libpam-runtime", "login", "mount", "ncurses-base",
    "passwd", "sed", "util-linux",
)  # fmt: skip
SYSTEMD, SYSVINIT = ("systemd-sysv", "udev"), ("sysvinit-core",)
# Debian's / and /usr are one. (mmdebstrap's own hook for that wants root.)
MERGED = 'for name in bin lib lib64 sbin; do mkdir -p "$1/usr/$name"; ln -s "usr/$name" "$1/$name"; done'
# What no running system reads, and what is the machine's.
DROPPED = re.compile(
    r"(boot|dev|etc/apt|proc|run|sys|tmp|var)/.+|usr/share/(bug|doc|info|lintian|locale|man|zoneinfo)(/.*)?"
)
MODULES = ("loop", "squashfs")
INIT = """\
#!/busybox sh
/busybox mkdir -p /proc /dev /root
/busybox mount -t proc proc /proc
/busybox mount -t devtmpfs dev /dev
for module in /modules/*; do /busybox insmod $module; done
/busybox mount -o loop,ro -t squashfs /root.squashfs /root
/busybox umount /proc
/busybox mount -o move /dev /root/dev
exec /busybox switch_root /root /sbin/init
"""
USERS = "systemd-network:x:998:998::/:/usr/sbin/nologin\n"
GROUPS = "systemd-journal:x:999:\nsystemd-network:x:998:\ninput:x:101:\nsgx:x:102:\nkvm:x:103:\nrender:x:104:\n"
FSTAB = "tmpfs /var tmpfs mode=0755 0 0\ntmpfs /tmp tmpfs mode=1777 0 0\ntmpfs /root tmpfs mode=0700 0 0\n"
# The password is: secret
SHADOW = (
    "root:$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1:::::::\n"
)
# A guest of a busy host may be so slow that the console's device comes after a minute and a half, and no login with it.
PATIENT = "[Manager]\nDefaultTimeoutStartSec=1h\nDefaultDeviceTimeoutSec=1h\n"
FILES = {
    "etc/systemd/system.conf.d/patient.conf": PATIENT,
    "etc/fstab": FSTAB,
    "etc/hostname": "debian\n",
    "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "etc/pam.d/common-auth": "auth required pam_unix.so\n",
    "etc/pam.d/common-account": "account required pam_unix.so\n",
    "etc/pam.d/common-password": "password required pam_unix.so yescrypt\n",
    "etc/pam.d/common-session": "session required pam_unix.so\n",
    "etc/pam.d/common-session-noninteractive": "session required pam_unix.so\n",
}
YAML = """\
os: {{name: debian, arch: {arch}}}
kernel: vmlinuz
initrd: initrd
cmdline: cryptomgr.notests systemd.log_target=kmsg printk.devkmsg=on systemd.show_status=false
milestones:
  - {{name: systemd, pattern: 'systemd\\[1\\]: .*running in system mode'}}
  - {{name: basic, pattern: 'Reached target basic\\.target'}}
  - {{name: ready, pattern: 'systemd\\[1\\]: Startup finished in'}}
login: {{password_env: DEBIAN_PASSWORD}}
"""
# What Debian's own scripts do there is made by maintainer scripts; this is the least of it.
OF_SYSVINIT = {
    "etc/inittab": """\
id:2:initdefault:
si::sysinit:/etc/init.d/rcS
l0:0:wait:/etc/init.d/rc 0
l2:2:wait:/etc/init.d/rc 2
l6:6:wait:/etc/init.d/rc 6
co:2:respawn:/sbin/getty -L console 115200 vt100
""",
    "etc/init.d/rcS": """\
#!/bin/sh
export PATH=/usr/sbin:/usr/bin
echo '<10>sysvinit: start' >/dev/kmsg
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -a
hostname -F /etc/hostname
""",
    "etc/init.d/rc": """\
#!/bin/sh
export PATH=/usr/sbin:/usr/bin
case $1 in
  2) echo '<10>sysvinit: runlevel 2' >/dev/kmsg ;;
  0) sync; exec halt -d -f -p ;;
  6) sync; exec reboot -d -f ;;
esac
""",
}
YAML_SYSVINIT = """\
os: {{name: debian, arch: {arch}}}
kernel: vmlinuz
initrd: initrd
cmdline: cryptomgr.notests printk.devkmsg=on
milestones:
  - {{name: start, pattern: 'sysvinit: start'}}
  - {{name: ready, pattern: 'sysvinit: runlevel 2'}}
login: {{password_env: DEBIAN_PASSWORD}}
"""


INSTALLER = """\
os: {{name: installer, arch: {arch}}}
kernel: linux
initrd: initrd.gz
cmdline: cryptomgr.notests DEBIAN_FRONTEND=text
milestones:
  - {{name: hardware, pattern: 'input: .* as /devices/'}}
  - {{name: log, pattern: 'Starting system log daemon'}}
  - {{name: ready, pattern: "Prompt: '[?]' for help"}}
"""
# Its console is a root shell by itself, and has no timeout.
IN_A_SHELL = """\
os: {{name: installer, arch: {arch}}}
kernel: linux
initrd: initrd.gz
cmdline: cryptomgr.notests init=/bin/sh
milestones:
  - {{name: ready, pattern: '# $'}}
login: {{prompt: '# ', user: 'true'}}
"""
# Its initramfs needs more than half of what the harness's own machines have.
MEMORY = 1024


def installer(out: Path, arch: str) -> Path:
    """Bring Debian's installer, as its netboot package has it, into the folder `out`, and return its YAML."""
    row, debian = by_name(arch), Debian(Builder(Settings()).store, suite=SUITE)
    name = f"debian-installer-12-netboot-{row.debian}"
    package = debian.fetch(debian.resolve([name], row).by_name[name])
    with (out / "spool").open("w+b") as spool:
        nodes = deb.read(package, name, spool, out / "spool")
    for file in ("linux", "initrd.gz"):
        (path,) = (path for path in nodes if path.endswith(f"/text/debian-installer/{row.debian}/{file}"))
        (out / file).write_bytes(content(Tree(nodes), path))
    (out / "spool").unlink()
    (out / "os.yml").write_text(INSTALLER.format(arch=arch))
    return out / "os.yml"


def machine(out: Path, arch: str) -> Path:
    """Write the harness's machine of an architecture, with the memory that the installer needs, and return its YAML."""
    data = yaml.safe_load((paths.MACHINES / f"qemu-{arch}.yml").read_text())
    data["qemu"]["memory"] = MEMORY
    (out / "machine.yml").write_text(yaml.safe_dump(data))
    return out / "machine.yml"


def systemd(out: Path, arch: str) -> Path:
    """Make Debian with systemd on a read-only root in the folder `out`, and return its YAML."""
    return _made(out, arch, SYSTEMD, {}, YAML)


def sysvinit(out: Path, arch: str) -> Path:
    """Make Debian with sysvinit, as `systemd` does."""
    return _made(out, arch, SYSVINIT, OF_SYSVINIT, YAML_SYSVINIT)


def _made(out: Path, arch: str, packages: tuple[str, ...], files: Mapping[str, str], yaml_: str) -> Path:
    row = by_name(arch)
    tree = read_layer(bootstrapped(out, row, packages))
    (kernel,) = (path for path in tree.nodes if path.startswith("boot/vmlinuz-"))
    (out / "vmlinuz").write_bytes(content(tree, kernel))
    version = kernel.removeprefix("boot/vmlinuz-")
    busybox = content(tree, "usr/bin/busybox")
    modules = list(needed(tree, version))
    settle(tree)
    for name, text in files.items():
        tree.put(name, plain(text.encode(), mode=0o755 if "/init.d/" in name else 0o644))
    formats.squashfs(tree, out / "root.squashfs", "gzip")
    with (out / "initrd").open("wb") as stream:
        cpio.write(stream, [
            cpio.CpioMember("init", 0o755, INIT.encode()),
            cpio.CpioMember("busybox", 0o755, busybox),
            cpio.CpioMember("modules", 0o755),
            *(cpio.CpioMember(f"modules/{number:02d}.ko", 0o644, data) for number, data in enumerate(modules)),
            cpio.CpioMember("root.squashfs", 0o400, out / "root.squashfs"),
        ])  # fmt: skip
    for name in ("root.tar", "root.squashfs"):
        (out / name).unlink()
    (out / "os.yml").write_text(yaml_.format(arch=arch))
    return out / "os.yml"


def bootstrapped(out: Path, arch: Arch, packages: tuple[str, ...]) -> Path:
    """Have mmdebstrap extract the packages, from where the harness has its own; return its tar."""
    (out / "mirror.sources").write_text(text_of(Debian(Builder(Settings()).store, suite=SUITE).sources))
    depmod = f'for version in "$1"/lib/modules/*; do {proc.resolve("depmod")} -b "$1" "${{version##*/}}"; done'
    argv = [
        "mmdebstrap", "--quiet", "--mode=chrootless", "--variant=extract", f"--architectures={arch.debian}",
        f"--include={','.join((*PACKAGES, *packages, arch.kernel_package))}",
        f"--setup-hook={MERGED}", f"--extract-hook={depmod}",
        SUITE, str(out / "root.tar"), str(out / "mirror.sources"),
    ]  # fmt: skip
    done = subprocess.run([proc.resolve(argv[0]), *argv[1:]], capture_output=True, text=True, timeout=1800,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out / "root.tar"


def content(tree: Tree, path: str) -> bytes:
    """Return what a file of the tree holds."""
    node = tree.get(path)
    assert node and node.content, path
    return node.content.read()


def needed(tree: Tree, version: str) -> Iterator[bytes]:
    """Yield the modules that mounting the root needs, in the order to load them."""
    place = f"usr/lib/modules/{version}"
    rows = dict(line.split(":", 1) for line in content(tree, f"{place}/modules.dep").decode().splitlines())
    paths = {Path(path).stem: path for path in rows}
    wanted = [paths[name] for name in MODULES if name in paths]
    for path in dict.fromkeys(each for one in wanted for each in (*reversed(rows[one].split()), one)):
        yield content(tree, f"{place}/{path}")


def settle(tree: Tree) -> None:
    """Leave out what no system runs with, and add what the packages' scripts would have made."""
    for path in [path for path in tree.nodes if DROPPED.fullmatch(path)]:
        del tree.nodes[path]
    for path, node in tree.nodes.items():
        tree.nodes[path] = dataclasses.replace(node, uid=0, gid=0)  # an ordinary user can give no others
    for name in ("dev", "proc", "run", "sys", "tmp", "var", "srv", "opt", "mnt", "media", "home"):
        tree.put(name, folder())
    masters = {name: content(tree, f"usr/share/base-passwd/{name}.master").decode() for name in ("passwd", "group")}
    made = {
        **FILES,
        "etc/passwd": masters["passwd"].replace(":*:", ":x:") + USERS,
        "etc/group": masters["group"].replace(":*:", ":x:") + GROUPS,
        "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
    }
    for name, text in made.items():
        tree.put(name, plain(text.encode()))
    tree.put("etc/shadow", plain(SHADOW.encode(), mode=0o640))
    tree.put("etc/mtab", symlink("../proc/self/mounts"))
