"""Certificates: what is asked for, evidence of it, and whether that is true."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import command
from harness.commands import options
from harness.errors import UserError


@command
def certify(
    image: Annotated[
        Path | None, typer.Argument(metavar="IMAGE.yml", help="The image's YAML.", show_default=False)
    ] = None,
    machine: Annotated[str | None, typer.Option("--machine", "-m", help="A machine's name, or its YAML.")] = None,
    profile: Annotated[str, typer.Option("--profile", "-p", help="A profile's name, or its YAML.")] = "base",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE.tar.zst", help="The evidence.", show_default="IMAGE-MACHINE-PROFILE.tar.zst"
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|agent[:FINGERPRINT]",
            envvar="HARNESS_KEY",
            help="Who signs.",
            show_default="a key of your own, made once",
        ),
    ] = None,
    new_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Make a signing key, and do no more.")] = None,
    waivers: Annotated[Path | None, typer.Option(metavar="FILE", help="Excuses, with owner and end.")] = None,
    results: Annotated[Path | None, typer.Option(help="Where results go.", show_default="results/TIME")] = None,
    timeout_multiplier: Annotated[float, typer.Option(help="Multiply every time limit.", min=0.01)] = 1.0,
    lock: options.LockOption = None,
    offline: options.Offline = False,
    library: options.Library = False,
    json: options.Json = False,
) -> int:
    """Judge an image on a machine by a profile, and write the evidence: one signed archive that others can check.

    Exit 0 when it is certified, 1 when it is refused: the evidence is written in both cases.

    \b
    Examples:
      harness certify my-os.yml -m qemu-arm64 -p base -o evidence.tar.zst
      harness certify my-os.yml -m qemu-arm64 -p hardened --waivers waivers.yml --key agent
      harness certify --new-key vendor.key
    """
    from harness.commands.certificates import certify as module
    from harness.run.builds import BuildOptions

    if new_key is not None:
        return module.new_key(new_key)
    if image is None or machine is None:
        raise UserError("certify takes an image and a machine", hint="see harness certify --help")
    how = BuildOptions(lock=lock, offline=offline, library=library)
    request = module.CertifyRequest(output, key, waivers, results, timeout_multiplier, how, as_json=json)
    return module.certify(image, machine, profile, request)


@command
def verify(
    evidence: Annotated[Path, typer.Argument(metavar="EVIDENCE", help="What harness certify has written.")],
    no_boot: Annotated[bool, typer.Option("--no-boot", help="Only check; boot nothing.")] = False,
    qemu: Annotated[Path | None, typer.Option(metavar="PATH", help="The QEMU that it was booted with then.")] = None,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The public keys that you trust, one a line.")
    ] = None,
    timeout_multiplier: Annotated[float, typer.Option(help="Multiply every time limit.", min=0.01)] = 1.0,
    json: options.Json = False,
) -> int:
    """Check whether the evidence of a certificate is true, offline, and boot its image again where this host can.

    Exit 0 when it is true and certified, 1 when it is refused, was changed, or boots otherwise than it says, 7 when
    all is true that could be checked but this host has another QEMU.

    \b
    Examples:
      harness verify evidence.tar.zst --key vendor.key.pub
      harness verify evidence.tar.zst --no-boot
    """
    from harness.commands.certificates import verify as module

    return module.run(evidence, module.VerifyRequest(not no_boot, qemu, key, timeout_multiplier, as_json=json))


@command
def profile(
    action: Annotated[str, typer.Argument(metavar="list|show")],
    name: Annotated[str | None, typer.Argument(metavar="[NAME|FILE]", show_default=False)] = None,
    json: options.Json = False,
) -> int:
    """Show the profiles that certificates are judged by.

    \b
    Examples:
      harness profile list
      harness profile show hardened
    """
    from harness.commands.certificates import profile as module

    return module.profile(action, name, as_json=json)
