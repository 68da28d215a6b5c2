"""How an image gets to a board, and how the board is made to start it: a table of ways."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from harness import proc
from harness.board import bootconf
from harness.board.connection import Connection
from harness.board.faults import DeliveryError
from harness.board.kernelform import bring_kernel
from harness.board.loader import filled, unambiguous
from harness.board.programs import located, located_argv
from harness.board.ssh import SshShell
from harness.board.webserver import address_of, serving
from harness.child import QemuProcess
from harness.errors import HostError, MachineError, UserError
from harness.files import write
from harness.spec.models.board import Board, Netboot
from harness.system.segments import join
from harness.system.shell import IncapableShellError
from harness.text import of_error

SERVED_S = 5.0  # for dnsmasq to listen
LOAD_S = 120.0
CMDLINE, DTB = "cmdline", "dtb"
IPXE = "boot.ipxe"


@dataclass(frozen=True)
class BootFiles:
    """What is brought: a folder with ``kernel``, ``initrd`` and ``cmdline``, and the kernel's words themselves."""

    folder: Path
    cmdline: str
    here: Path = Path()  # the folder of the machine's YAML
    url: str = ""  # of the folder, where it is served by HTTP

    @property
    def names(self) -> Mapping[str, str]:
        """What is filled in, by name."""
        paths = {name: str(self.folder / name) for name in ("kernel", "initrd")}
        return {**paths, "folder": str(self.folder), "here": str(self.here), CMDLINE: self.cmdline, "url": self.url}


@dataclass(frozen=True)
class Deployment:
    """The board that an image is brought to, and the folder of its boot; `stack` ends what is started for it."""

    board: Board
    base: Path  # the folder of the machine's YAML
    out: Path
    stack: ExitStack


def gather(
    kernel: Path | None, segments: list[Path], cmdline: str, folder: Path, here: Path = Path(), *, unpack: bool = False
) -> BootFiles:
    """Put copies of an image's files into a fresh folder, to be taken from there; HostError when they do not fit.

    With `unpack` the kernel is one that boot loaders take which unpack none.
    """
    try:
        folder.mkdir()
        if kernel:
            bring_kernel(kernel, folder / "kernel", unpack=unpack)
        if segments:
            join(segments, folder / "initrd")
        write(folder / CMDLINE, f"{cmdline}\n")
    except OSError as error:
        raise HostError(f"cannot put the image's files together: {of_error(error)}") from error
    return BootFiles(folder, cmdline, here.absolute())


def equip(bench: Deployment, files: BootFiles, arch: str) -> None:
    """Put beside an image's files what boot loaders look for by themselves, and the board's device tree.

    UserError without the device tree that the YAML names, HostError when there is no room for them.
    """
    deploy = bench.board.deploy
    if deploy.netboot is None and deploy.command is None:
        return
    try:
        if deploy.dtb:
            shutil.copyfile(located(deploy.dtb, bench.base), files.folder / DTB)
        bootconf.write_all(files.folder, files.cmdline, arch)
    except FileNotFoundError as error:
        raise UserError(f"there is no device tree {deploy.dtb!r}", hint="see `deploy.dtb` in the YAML") from error
    except OSError as error:
        raise HostError(f"cannot put the image's files together: {of_error(error)}") from error


def bring(bench: Deployment, files: BootFiles) -> BootFiles:
    """Do what has to be done before the board is switched on; HostError or DeliveryError when it cannot be.

    Returns the files, with their URL where they are served by HTTP.
    """
    deploy = bench.board.deploy
    if deploy.command is not None:
        argv = [filled(word, files.names) for word in deploy.command]
        try:
            proc.run(located_argv(argv, bench.base), cwd=bench.base, timeout=deploy.timeout)
        except proc.CommandError as error:
            raise DeliveryError(f"the image cannot be brought there: {error.message}", details=error.details) from error
    elif deploy.http is not None:
        return _web(bench, files, deploy.http.address, deploy.http.port)
    elif deploy.netboot is not None:
        net = deploy.netboot
        files = _web(bench, files, address_of(net.interface), net.http) if net.http else files
        _serve(bench, net, files)
    return files


def _web(bench: Deployment, files: BootFiles, address: str, port: int) -> BootFiles:
    """Serve the files by HTTP until the boot is over, with a script for iPXE that starts them."""
    script = f"#!ipxe\nkernel kernel {unambiguous(CMDLINE, files.cmdline)}\ninitrd initrd\nboot\n"
    write(files.folder / IPXE, script)
    url = bench.stack.enter_context(serving(files.folder, address, port, bench.out / "http.log"))
    return replace(files, url=url)


def _by_url(net: Netboot, url: str) -> list[str]:
    """Return what tells clients of HTTP where to begin: iPXE its script, UEFI (its section 24.7) the file."""
    boot_file = [f"--dhcp-boot=tag:http,{url}/{net.file}"] if net.file else []
    return [
        "--dhcp-userclass=set:ipxe,iPXE", f"--dhcp-boot=tag:ipxe,{url}/{IPXE}",
        "--dhcp-vendorclass=set:http,HTTPClient", "--dhcp-option-force=tag:http,60,HTTPClient", *boot_file,
    ]  # fmt: skip


def _serve(bench: Deployment, net: Netboot, files: BootFiles) -> None:
    """Serve DHCP and TFTP by a dnsmasq that ends with the boot; HostError when it may not."""
    argv = [
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--log-facility=-", "--log-dhcp",
        "--no-hosts", "--no-resolv", "--port=0", f"--interface={net.interface}", "--bind-interfaces",
        f"--user={_user()}", f"--dhcp-range={net.range},10m", "--dhcp-authoritative",
        f"--dhcp-leasefile={bench.out / 'dnsmasq.leases'}", "--enable-tftp", f"--tftp-root={files.folder.absolute()}",
        *([f"--dhcp-boot={net.file}"] if net.file else []), *(_by_url(net, files.url) if files.url else []),
    ]  # fmt: skip
    server = QemuProcess(argv, bench.out / "dnsmasq.log")
    bench.stack.callback(server.kill)
    end = time.monotonic() + SERVED_S
    while "started" not in (words := server.words()):
        if server.poll() is not None or time.monotonic() > end:
            raise HostError(
                f"the image cannot be served on {net.interface}: dnsmasq does not listen",
                details=words,
                hint="DHCP and TFTP have ports below 1024: run as root, or setcap cap_net_bind_service,cap_net_admin,"
                "cap_net_raw+ep on dnsmasq; and nobody else may serve DHCP there",
            )
        time.sleep(0.05)


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def kexec(bench: Deployment, files: BootFiles) -> None:
    """Give the image to the system that runs on the board, and make that start it; MachineError when it does not."""
    target = bench.board.ssh
    assert target is not None
    shell = SshShell(Connection(target, bench.base))
    try:
        shell.start(bench.board.limits.resident)
        there = shell.run("mktemp -d", check=True).text.strip()
        paths = {name: f"{there}/{name}" for name in ("kernel", "initrd")}
        for name, path in paths.items():
            if (files.folder / name).exists():
                shell.put(files.folder / name, path)
        initrd = f"--initrd={paths['initrd']}" if (files.folder / "initrd").exists() else ""
        load = f"kexec -l {paths['kernel']} {initrd} --command-line={shlex.quote(files.cmdline)}"
        done = shell.run(load, LOAD_S)
        if done.code:
            raise MachineError(
                f"the system on the board does not take the image: kexec -l ended with exit code {done.code}",
                details=done.text,
                hint="has it kexec-tools, and is it root's login?",
            )
        # answered first: what it starts ends the connection
        shell.run("(sleep 1; kexec -e) </dev/null >/dev/null 2>&1 &", check=True)
    except IncapableShellError as error:  # of the system that is there, not of the image
        raise MachineError(
            f"the system on the board cannot be given the image: {error.message}", details=error.details
        ) from error
    finally:
        shell.close()
