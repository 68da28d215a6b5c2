"""What is built and booted: images, their YAML, and the packages they come from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import command
from harness.commands import options


@command
def build(
    images: options.ImagesArgument,
    arch: Annotated[str, typer.Option(help="all, host, or some of x86_64,arm64,s390x.")] = "all",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Copy the images to DIR/NAME-ARCH.")] = None,
    explain_size: Annotated[bool, typer.Option("--explain-size", help="Show what makes it large.")] = False,
    lock: options.LockOption = None,
    mirror: options.MirrorOption = None,
    keyring: options.Keyring = None,
    registry: options.RegistryOption = None,
    suite: options.Suite = "bookworm",
    compression: options.Compression = "lz4-fast",
    refresh: options.Refresh = False,
    offline: options.Offline = False,
    library: options.Library = False,
    json: options.Json = False,
) -> int:
    """Build an image for some architectures.

    What has not changed is not built again; the images stay in the cache.

    \b
    Examples:
      harness build cases/images/minimal.yml
      harness build base.yml site.yml --arch arm64,s390x -o out
      harness build cases/images/default.yml --arch host --explain-size
      harness build linuxkit.yml --library
    """
    from harness.build.settings import Settings
    from harness.commands.images import build as module

    settings = Settings(suite=suite, mirror=mirror, keyring=keyring, registry=registry, compression=compression,
                        lock=lock, refresh=refresh, offline=offline, library=library)  # fmt: skip
    return module.build(images, arch, settings, output=output, explain_size=explain_size, as_json=json)


@command
def boot(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE…", help="Image YAML files, one built folder, or an OS's YAML.")
    ],
    machine: Annotated[str, typer.Option("--machine", "-m", help="A machine's name, or its YAML.")],
    exact: Annotated[bool, typer.Option("--exact", help="Two counted boots: exact times, and their proof.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Where its time goes, down to initcalls and modules.")
    ] = False,
    run: Annotated[str | None, typer.Option(help="Run this command in the system, print what it says, end.")] = None,
    append: Annotated[list[str] | None, typer.Option(help="A word more for the kernel's command line.")] = None,
    forward: Annotated[list[int] | None, typer.Option(help="Reach this TCP port of the guest on 127.0.0.1.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds until it must be ready.")] = 120.0,
    runs: Annotated[int, typer.Option(min=1, max=1000, help="Boot so often: wall times as medians.")] = 1,
    within: Annotated[
        float | None, typer.Option(min=0.1, max=100, help="Stop once ready is known to this percentage.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Keep transcript and record here.")] = None,
    disks: Annotated[Path | None, typer.Option(help="Keep the machine's disks here, from boot to boot.")] = None,
    library: options.Library = False,
    json: options.Json = False,
) -> int:
    """Boot an image on a machine.

    At a terminal the console is yours until Ctrl-]; else it boots to ready, shows the boot's steps, and powers off.

    \b
    Examples:
      harness boot cases/images/default.yml -m qemu-arm64 --forward 80
      harness boot cases/images/minimal.yml -m qemu-s390x --exact
      harness boot cases/images/default.yml -m qemu-arm64 --explain
      harness boot cases/images/default.yml -m qemu-x86_64 --run 'ps; mount'
      harness boot cases/images/minimal.yml -m desk-board.yml --runs 30 --within 5
    """
    from harness.build.settings import Settings
    from harness.commands.images import boot as module
    from harness.commands.images.bootable import BootRequest

    request = BootRequest(exact=exact, explain=explain, command=run, append=tuple(append or ()),
                          forwards=tuple(forward or ()), timeout=timeout, out=output, as_json=json, runs=runs,
                          within=within, disks=disks)  # fmt: skip
    return module.boot(images, machine, Settings(library=library), request)


@command
def lint(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="YAML of any kind, or folders of them.")],
    library: options.Library = False,
    json: options.Json = False,
) -> int:
    """Check YAML files without building: images, components, machines, plans.

    \b
    Examples:
      harness lint cases/images/default.yml
      harness lint machines cases
    """
    from harness.commands.images import lint as module

    return module.lint(files, library=library, as_json=json)


@command
def cache(
    action: Annotated[str, typer.Argument(metavar="export|import")],
    folder: Annotated[Path, typer.Argument(help="Where the downloads go to, or come from.")],
    json: options.Json = False,
) -> int:
    """Keep the downloaded packages and OCI images elsewhere, or take them back.

    With a lock (harness build --lock FILE) and an exported cache an image can be built again, byte for byte, when the
    mirror no longer has its packages, or the registry its images.

    \b
    Examples:
      harness cache export /backup/packages
      harness cache import /backup/packages
      harness build my-os.yml --lock my-os.lock --offline
    """
    from harness.commands.host import cache as module

    return module.cache(action, folder, as_json=json)


@command
def library(
    action: Annotated[str, typer.Argument(metavar="list|show|search")],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME… | WORD…]", show_default=False, autocompletion=options.components),
    ] = None,
    json: options.Json = False,
) -> int:
    """Show the components that images are made of.

    search finds those with all of the words in their name, description, packages, or the images they stand for.

    \b
    Examples:
      harness library list
      harness library search dns
      harness library show nginx dhcp
    """
    from harness.build.settings import Settings
    from harness.commands.images import library as module

    return module.library(action, words or [], Settings(), as_json=json)


@command
def new(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME…", help="Components, or container images.", autocompletion=options.components),
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Into this file, which must not exist.")] = None,
) -> int:
    """Begin an image: its YAML with a kernel, an init, a network, and what NAME names, ready to boot.

    \b
    Examples:
      harness new nginx sshd -o os.yml
      harness new registry.example/group/app:1.2 -o os.yml
    """
    from harness.commands.images import compose as module

    return module.new(names, output)


@command
def add(
    name: Annotated[
        str,
        typer.Argument(
            metavar="COMPONENT", help="A component, or a container image.", autocompletion=options.components
        ),
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE.yml", help="The image's YAML.")],
    section: Annotated[
        str, typer.Option(help="kernel, init, onboot, onshutdown or services.", show_default="the component's own")
    ] = "",
    as_: Annotated[str, typer.Option("--name", help="The container's name.", show_default="the component's")] = "",
    json: options.Json = False,
) -> int:
    """Add a component to an image's YAML; nothing else in the file changes, comments stay.

    What harness lint would complain about is not written.

    \b
    Examples:
      harness add rngd os.yml
      harness add busybox os.yml --section onshutdown --name goodbye
    """
    from harness.commands.images import compose as module

    return module.add_to(name, file, section=section, name=as_, as_json=json)


@command
def sbom(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="IMAGE.yml… | FOLDER | diff A B", show_default=False)
    ] = None,
    arch: Annotated[str, typer.Option(help="all, host, or some of x86_64,arm64,s390x.")] = "host",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Into this file; of several architectures, this folder.")
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="spdx or cyclonedx.")] = "spdx",
    lock: options.LockOption = None,
    offline: options.Offline = False,
    library: options.Library = False,
    json: options.Json = False,
) -> int:
    """Say what an image is made of, with versions and licences, as an SPDX or CycloneDX document.

    diff compares two: image YAML (A.yml+B.yml), built folders, or such files of any maker; --json is for it, a
    document is JSON anyway. Exit 0: the same packages, versions and licences, 1: they differ.

    \b
    Examples:
      harness sbom cases/images/default.yml --arch arm64 -o default.spdx.json
      harness sbom cases/images/default.yml --arch all --format cyclonedx -o sboms
      harness sbom diff yesterday.spdx.json cases/images/default.yml --arch arm64
    """
    from harness.build.settings import Settings
    from harness.commands.images import sbom as module

    request = module.SbomRequest(arch, output, format_, as_json=json)
    return module.sbom(words or [], Settings(lock=lock, offline=offline, library=library), request)
