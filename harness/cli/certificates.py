"""Certificates: what is asked for, evidence of it, and whether that is true."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.app import command

if TYPE_CHECKING:
    from harness.build.settings import Settings


@command
def profile(action: str, name: str | None, json: bool) -> int:
    """Show the profiles that certificates are judged by.

    \b
    Examples:
      harness profile list
      harness profile show hardened
    """
    from harness.commands.certificates import profile as module

    return module.profile(action, name, as_json=json)


@command
def certify(
    image: str | None,
    machine: str | None,
    results: Path | None,
    timeout_multiplier: float,
    profile: str,
    key: str | None,
    new_key: Path | None,
    waivers: Path | None,
    output: Path | None,
    settings: Settings,
    json: bool,
) -> int:
    """Judge an image by a profile, and write signed evidence.

    It is built, booted and judged on a machine; the evidence is one archive that others can check.

    Exit 0 when it is certified, 1 when it is refused: the evidence is written in both cases.

    \b
    Examples:
      harness certify my-os.yml -m qemu-arm64 -p base -o evidence.tar.zst
      harness certify my-os.yml -m qemu-arm64 -p hardened --waivers waivers.yml --key agent
      harness certify --new-key vendor.key
    """
    from harness.commands.certificates import certify as module
    from harness.errors import UserError

    if new_key is not None:
        return module.new_key(new_key)
    if image is None or machine is None:
        raise UserError("certify takes an image and a machine", hint="see harness certify --help")
    request = module.CertifyRequest(output, key, waivers, results, timeout_multiplier, settings, as_json=json)
    return module.certify(image, machine, profile, request)


@command
def verify(
    evidence: Path, timeout_multiplier: float, no_boot: bool, qemu: Path | None, key: Path | None, json: bool
) -> int:
    """Check whether the evidence of a certificate is true.

    Offline; and its image is booted again where this host can.

    Exit 0 when it is true and certified, 1 when it is refused, was changed, or boots otherwise than it says, 7 when
    all is true that could be checked but this host has another QEMU.

    \b
    Examples:
      harness verify evidence.tar.zst --key vendor.key.pub
      harness verify evidence.tar.zst --no-boot
    """
    from harness.commands.certificates import verify as module

    return module.run(evidence, module.VerifyRequest(not no_boot, qemu, key, timeout_multiplier, as_json=json))
