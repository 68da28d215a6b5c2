"""What is built and booted: images, their YAML, and the packages they come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.app import command

if TYPE_CHECKING:
    from harness.build.settings import Settings


@command
def init(folder: Path, ci: str) -> int:
    """Begin a project that passes at once.

    It has an image, a service of your own, a case, a plan, and a file for CI.

    \b
    Examples:
      harness init my-os
      harness init my-os --ci gitlab
    """
    from harness.commands.images import begin as module

    return module.init(folder, ci)


@command
def new(names: tuple[str, ...], output: Path | None) -> int:
    """Begin an image: a YAML that is ready to boot.

    It has a kernel, an init, a network, and what NAME names.

    \b
    Examples:
      harness new nginx sshd -o os.yml
      harness new registry.example/group/app:1.2 -o os.yml
    """
    from harness.commands.images import compose as module

    return module.new(names, output)


@command
def add(component: str, file: Path, section: str | None, name: str, json: bool) -> int:
    """Add a component to an image's YAML.

    Nothing else in the file changes, comments stay. What harness lint would complain about is not written.

    \b
    Examples:
      harness add rngd os.yml
      harness add busybox os.yml --section onshutdown --name goodbye
    """
    from harness.commands.images import compose as module

    return module.add_to(component, file, section=section or "", name=name, as_json=json)


@command
def library(action: str, words: tuple[str, ...], settings: Settings, json: bool) -> int:
    """Show the components that images are made of.

    search finds those with all of the words in their name, description, packages, or the images they stand for.

    \b
    Examples:
      harness library list
      harness library search dns
      harness library show nginx dhcp
    """
    from harness.commands.images import library as module

    return module.library(action, words, settings, as_json=json)


@command
def lint(files: tuple[Path, ...], library: bool, json: bool) -> int:
    """Check YAML files without building.

    Images, components, machines, plans, foreign OSes, profiles and waivers, each by itself.

    \b
    Examples:
      harness lint cases/images/default.yml
      harness lint machines cases
    """
    from harness.commands.images import lint as module

    return module.lint(files, library=library, as_json=json)


@command
def schema(kind: str, path: bool) -> int:
    """Print the JSON Schema of a kind of YAML file.

    Editors and other programs check a file by it, or complete it (JSON Schema 2020-12).

    \b
    Examples:
      harness schema image
      harness schema machine --path
    """
    from harness.commands.images import schema as module

    return module.schema(kind, path_only=path)


@command
def build(
    images: tuple[str, ...],
    arch: tuple[str, ...],
    explain_size: bool,
    output: Path | None,
    format_: tuple[str, ...],
    verity: bool,
    name: str | None,
    dry_run: bool,
    settings: Settings,
    json: bool,
) -> int:
    """Build an image for one or several architectures.

    What has not changed is not built again; the images stay in the cache. IMAGE may be `-`, standard input, and a URL.

    \b
    Examples:
      harness build cases/images/minimal.yml
      harness build base.yml site.yml --arch arm64,s390x -o out
      harness build cases/images/default.yml --arch host --explain-size
      harness build linuxkit.yml --library
      harness build base.yml site.yml --name site --dry-run
      harness build cases/images/minimal.yml --format iso,raw -o out
      harness build cases/images/minimal.yml --format raw --verity -o out
    """
    from harness.commands.images import build as module

    request = module.BuildRequest(
        arches=",".join(arch) if arch else "all",
        formats=[part for text in format_ for part in text.split(",") if part],
        verity=verity,
        output=output,
        name=name,
        dry_run=dry_run,
        explain_size=explain_size,
        as_json=json,
    )
    return module.build(images, settings, request)


@command
def boot(
    images: tuple[str, ...],
    machine: str | None,
    exact: bool,
    explain: bool,
    run: str | None,
    append: tuple[str, ...],
    forward: tuple[int, ...],
    publish: tuple[tuple[int, int, str], ...],
    timeout: float,
    runs: int,
    within: float | None,
    disks: Path | None,
    memory: str | None,
    cpus: int | None,
    disk: tuple[str, ...],
    data: Path | None,
    output: Path | None,
    format_: str,
    verity: bool,
    settings: Settings,
    json: bool,
) -> int:
    """Boot an image on a machine.

    IMAGE may be `-`, standard input, and a URL, and is built where it is not.

    At a terminal the console is yours until Ctrl-]: it says when the system is ready, where the transcript is, and
    how it ended. Else it boots to ready, shows the boot's steps, and powers off.

    \b
    Examples:
      harness boot cases/images/default.yml -m qemu-arm64 --forward 80
      harness boot cases/images/minimal.yml -m qemu-s390x --exact
      harness boot cases/images/default.yml -m qemu-arm64 --explain
      harness boot cases/images/default.yml -m qemu-x86_64 --run 'ps; mount'
      harness boot cases/images/default.yml -m qemu-s390x --memory 1G --disk 512M --disk 2G
      harness boot cases/images/minimal.yml -m desk-board.yml --runs 30 --within 5
      harness boot cases/images/minimal.yml -m qemu-x86_64-uefi --format raw
    """
    from dataclasses import replace

    from harness.commands.images import boot as module
    from harness.commands.images.bootable import BootRequest

    request = BootRequest(exact=exact, explain=explain, command=run, append=append, forwards=forward,
                          published=publish, timeout=timeout, cpus=cpus,
                          out=output, as_json=json, runs=runs, within=within, disks=disks,
                          memory=memory, more_disks=disk, data=data)  # fmt: skip
    return module.boot(images, machine, replace(settings, format=format_), request, verity=verity)


@command
def metadata(action: str, file: Path, data: Path) -> int:
    """Write a CD with user-data, as a cloud without a network gives it.

    It is labelled cidata (NoCloud). harness boot --data FILE makes one by itself; this one is for other machines.

    \b
    Examples:
      harness metadata create data.iso user-data.json
    """
    from harness.commands.images import metadata as module

    return module.create(file, data)


@command
def sbom(
    words: tuple[str, ...],
    arch: tuple[str, ...],
    format_: str,
    output: Path | None,
    supplier: str,
    scanner: str,
    attestations: Path | None,
    vex: tuple[Path, ...],
    settings: Settings,
    json: bool,
) -> int:
    """Say what an image is made of, with versions and licences.

    As an SPDX or CycloneDX document; --vex puts beside it what is known of vulnerabilities.

    diff compares two: image YAML (A.yml+B.yml), built folders, or such files of any maker; --json is for it, a
    document is JSON anyway. Exit 0: the same packages, versions and licences, 1: they differ.

    scan hands the bill to a scanner of vulnerabilities that this host has. Exit 1: the scanner did not end with 0.

    \b
    Examples:
      harness sbom cases/images/default.yml --arch arm64 -o default.spdx.json
      harness sbom cases/images/default.yml --arch all --format cyclonedx -o sboms
      harness sbom scan cases/images/default.yml --arch arm64
      harness sbom diff yesterday.spdx.json cases/images/default.yml --arch arm64
    """
    from harness.commands.images import sbom as module

    request = module.SbomRequest(",".join(arch) if arch else "host", output, format_, as_json=json,
                                 supplier=supplier, scanner=scanner, vex=vex, attestations=attestations)  # fmt: skip
    return module.sbom(words, settings, request)


@command
def push(
    words: tuple[str, ...],
    arch: tuple[str, ...],
    format_: str,
    key: str | None,
    evidence: tuple[Path, ...],
    settings: Settings,
    json: bool,
) -> int:
    """Put an image into a registry, for others to pull and boot.

    With it go its bills of materials, and what `--evidence` certifies. It prints the reference with its digest, which
    is the same whenever the same image is pushed. Logins are those of docker and podman.

    \b
    Examples:
      harness push os.yml registry.example/team/os:1.2 --arch all --key release
      harness push os.yml registry.example/team/os:1.2-raw --format raw
      harness push out/os-arm64 registry.example/team/os:1.2 --evidence os.tar.zst
    """
    from harness.commands.images import share as module

    request = module.PushRequest(
        arches=",".join(arch) or "host", format=format_, key=key, evidence=evidence, as_json=json
    )
    return module.push(words, settings, request)


@command
def pull(
    reference: str,
    arch: tuple[str, ...],
    output: Path | None,
    key: tuple[str, ...],
    registry: str | None,
    json: bool,
) -> int:
    """Bring an image that was pushed, as its build left it.

    Each architecture comes to a folder, which every command takes for an image. With `--key` it must have been signed
    by one of these keys.

    \b
    Examples:
      harness pull registry.example/team/os:1.2 -o os --key release.pub
      harness boot os/os-arm64 -m qemu-arm64
    """
    from harness import options
    from harness.commands.images import share as module

    request = module.PullRequest(arches=",".join(arch) or None, out=output or Path(), keys=key, as_json=json)
    return module.pull(reference, options.settings_of({"registry": registry}), request)
