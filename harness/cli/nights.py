"""The subcommands about runs of many hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import command
from harness.commands import options


@command
def results(
    action: Annotated[str, typer.Argument(metavar="merge")],
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER…", help="What each host's --results wrote.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where the whole run goes.")],
    partial: Annotated[bool, typer.Option("--partial", help="Do without the shards that are missing.")] = False,
    json: options.Json = False,
) -> int:
    """Put the results of one plan from several hosts together, as if one host had run it.

    Refused are parts that contradict each other: a cell twice, other images, another commit or harness, a shard of
    another split or none.

    Exit code of the whole run, as `harness matrix`.

    \b
    Examples:
      harness matrix nightly.yml --shard 1/2 --durations-of last/results.json --results one     (on a host)
      harness matrix nightly.yml --shard 2/2 --durations-of last/results.json --results two     (on another)
      harness results merge one two -o night
    """
    from harness.commands.runs import results as module
    from harness.errors import UserError

    if action != "merge":
        raise UserError(f"unknown action {action!r}", hint="harness results merge FOLDER… -o DIR")
    return module.merge_results(folders, output, partial=partial, as_json=json)
