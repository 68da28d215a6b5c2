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
        raise UserError(
            "certify takes an image and a machine",
            hint=f"harness certify {image or 'IMAGE'} -m qemu-arm64, or another of `harness machine list`",
        )
    request = module.CertifyRequest(output, key, waivers, results, timeout_multiplier, settings, as_json=json)
    return module.certify(image, machine, profile, request)


@command
def verify(
    evidence: Path,
    timeout_multiplier: float,
    key: Path | None,
    profile: str | None,
    image: str | None,
    machine: str | None,
    max_age: int | None,
    no_waivers: bool,
    any_speaker: bool,
    policy: Path | None,
    no_boot: bool,
    qemu: Path | None,
    rebuild: bool,
    settings: Settings,
    json: bool,
) -> int:
    """Check whether the evidence of a certificate is true.

    Offline; and its image is booted again where this host can.

    Exit 0 when it is true and certified, and who signed, which profile, which image, which machine and the boot were
    all checked; 1 when it is refused, was changed, or is not as it says or as you expect; 7 when something was not
    checked, which the last line names; 9 when another version of the harness has made it.

    \b
    Examples:
      harness verify evidence.tar.zst --key vendor.key.pub --profile base --image my-os.yml --rebuild
      harness verify evidence.tar.zst --policy ours.yml
      harness verify evidence.tar.zst --rebuild --policy ours.yml
      harness verify evidence.tar.zst --no-boot
    """
    from harness.certify.expect import Expectations
    from harness.commands.certificates import verify as module

    wanted = Expectations(
        profile=profile, image=image, machine=machine, max_age=max_age, waivers=not no_waivers, any_speaker=any_speaker
    )
    request = module.VerifyRequest(
        not no_boot, rebuild, qemu, key, policy, wanted, timeout_multiplier, as_json=json, settings=settings
    )
    return module.run(evidence, request)
