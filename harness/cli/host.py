"""This host: what it has, and what the cache holds."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.app import command
from harness.commands import options


@command
def doctor(json: options.Json = False) -> int:
    """Say what this host has and lacks.

    Tools with their versions and packages, KVM, the cache, room for guests, package sources.

    Exit 0 when everything indispensable is there, 3 otherwise.

    \b
    Examples:
      harness doctor
      harness doctor --json
    """
    from harness.commands.host import doctor as module

    return module.doctor(as_json=json)


@command
def clean(
    everything: Annotated[bool, typer.Option("--all", help="Downloads too: the next build needs the network.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    to: Annotated[
        float | None, typer.Option(metavar="MB", min=0, help="Only until it takes so much, the longest unused first.")
    ] = None,
    json: options.Json = False,
) -> int:
    """Free the cache of what can be made again.

    Never while a build or a boot is using it.

    \b
    Examples:
      harness clean --dry-run
      harness clean --all
      harness clean --to 20000
    """
    from harness.commands.host import clean as module

    return module.clean(everything=everything, dry_run=dry_run, to_mb=to, as_json=json)
