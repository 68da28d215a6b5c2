"""An OS that the harness has not built: Debian's systemd on a squashfs, and whatever it should have besides."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from harness import paths, proc
from harness.arch import by_name
from harness.build import formats
from harness.build.debian import Debian
from harness.build.kernel import make_kernel
from harness.build.layer import make_layer
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.spec import load_component
from harness.tree.tree import folder, plain, read_layer, symlink, write

COMPONENT = Path(__file__).parents[1] / "boot/systemd.yml"
PASSWORD = {"THEIR_PASSWORD": "secret"}
YAML = """\
os: {name: theirs, arch: arm64}
kernel: vmlinuz
initrd: initrd
cmdline: cryptomgr.notests systemd.log_target=kmsg printk.devkmsg=on systemd.show_status=false
milestones:
  - {name: systemd, pattern: 'systemd\\[1\\]: .*running in system mode'}
  - {name: ready, pattern: 'systemd\\[1\\]: Startup finished in'}
login: {password_env: THEIR_PASSWORD}
"""
# What the first stage mounts on, and what cases call, beside what the component has.
FOLDERS = ("dev", "proc", "sys", "var", "srv")
PROGRAMS = ("blockdev", "chmod", "cp", "dmesg", "find", "grep", "head", "mkdir", "mknod", "mv", "nc", "rmdir", "sed",
            "tail", "touch", "true")  # fmt: skip
SETUID = ("mount", "umount")  # in Debian, and nobody but root is here
UNIT = "etc/systemd/system/more.service"
WANTED = "etc/systemd/system/multi-user.target.wants/more.service"


def unit(command: str, kind: str = "oneshot") -> dict[str, str]:
    """A service that runs a command of the shell and belongs to the system."""
    text = f"[Service]\nType={kind}\nRemainAfterExit=yes\nExecStart=/usr/bin/sh -c '{command}'\n"
    return {UNIT: text}


def make(out: Path, more: Mapping[str, str | bytes], *, squashfs: bool = True) -> Path:
    """Make the OS with more files in the folder `out` and return its YAML; its root is a squashfs or the initramfs."""
    store, arch = Builder(Settings()).store, by_name("arm64")
    debian = Debian(store)
    kernel = make_kernel(load_component(paths.COMPONENTS / "kernel.yml"), arch, debian, store)
    tree = read_layer(make_layer(load_component(COMPONENT), arch, debian, store).tar)
    for name in FOLDERS:
        tree.put(name, folder())
    for name in PROGRAMS:
        tree.put(f"usr/bin/{name}", symlink("/usr/bin/busybox"))
    for name, content in more.items():
        tree.put(name, plain(content.encode() if isinstance(content, str) else content))
    if UNIT in more:
        tree.put(WANTED, symlink(f"/{UNIT}"))
    for name in SETUID:
        node = tree.get(f"usr/bin/{name}")
        assert node is not None
        tree.put(f"usr/bin/{name}", replace(node, mode=0o755))
    (out / "vmlinuz").symlink_to(kernel.kernel)
    if squashfs:
        formats.squashfs(tree, out / "root", "lz4")
        formats.initrd(out / "initrd", arch, kernel.stage1, out / "root")
    else:
        with (out / "root").open("wb") as tar:
            write(tree, tar)
        with (out / "initrd").open("wb") as cpio:
            subprocess.run([proc.resolve("bsdtar"), "--format=newc", "-cf", "-", f"@{out / 'root'}"], stdout=cpio,
                           check=True)  # fmt: skip
    (out / "os.yml").write_text(YAML)
    return out / "os.yml"
