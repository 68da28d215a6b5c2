"""Whole plans: every image on every machine, night after night."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.cli.app import command

if TYPE_CHECKING:
    from pathlib import Path

    from harness.build.settings import Settings


@command
def matrix(
    words: tuple[str, ...],
    explain: bool,
    image: tuple[str, ...],
    machine: tuple[str, ...],
    results: Path | None,
    keyword: str,
    workers: int | None,
    timeout_multiplier: float,
    resume: bool,
    deadline: str | None,
    quarantine: bool,
    shard: str | None,
    durations_of: Path | None,
    cluster: str | None,
    certificates: Path | None,
    against: str | None,
    pair_minutes: float,
    slack: bool,
    no_history: bool,
    history: str | None,
    format_: tuple[str, ...],
    verity: bool,
    settings: Settings,
    json: bool,
) -> int:
    """Build, boot and check all images of a plan; one table.

    Each image boots on each of its machines, where the cases look at it.

    Without PLAN, the two images that ship with the harness on all three architectures. With --image and --machine
    and no PLAN, an image's YAML (A.yml+B.yml are merged) on a machine.

    Exit 0 when all passed, 1 when cases failed or something became worse (--against), 4 when only machines or this
    host failed, 3 when some cells were not run, 8 when not all could be judged, 130 when interrupted.

    \b
    Examples:
      harness matrix
      harness matrix nightly.yml --machine qemu-arm64 --results out
      harness matrix nightly.yml --lock nightly.lock
      harness matrix nightly.yml --results out --deadline 06:30
      harness matrix nightly.yml --results out --resume
      harness matrix nightly.yml --cluster lab.yml
      harness matrix --image default -k root -- -x
      harness matrix cases/formats.yml --format iso
      harness matrix --explain --against latest-baseline
    """
    from datetime import datetime

    from harness.commands.nights import gate, watch
    from harness.commands.nights import matrix as module

    until = watch.deadline(deadline, datetime.now()) if deadline else None
    after = gate.After(keep=not no_history, where=history, against=against)
    return module.from_words(
        words,
        images=image,
        machines=machine,
        formats=[name for text in format_ for name in text.split(",") if name],
        verity=verity,
        results=results,
        keyword=keyword,
        workers=workers,
        patience=timeout_multiplier,
        settings=settings,
        explain=explain,
        as_json=json,
        after=after,
        resume=resume,
        deadline=until,
        shard=shard or "",
        durations=durations_of,
        quarantine=quarantine,
        pair_minutes=pair_minutes,
        slack=slack,
        cluster=cluster or "",
        certificates=certificates,
    )
