"""`python -m harness.bench [NAME…]`, which `./run bench` calls."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from harness import paths
from harness.arch import ARCHES
from harness.bench import (
    attribution,
    boots,
    boottime,
    builds,
    certificates,
    clusters,
    evidence,
    histories,
    hosts,
    images,
    linuxkit,
    mutants,
    page,
    pools,
    reports,
    serial,
    supply,
    verity,
    wall,
)
from harness.bench.context import Context, Measurement
from harness.bench.figures import BenchFigure, Report
from harness.errors import EXIT_INTERRUPTED, HostError, UserError
from harness.show.frame import guarded
from harness.system import host

EXIT_MISSED = 1
PAGE = paths.TOP / "docs" / "measurements.md"
SCHEMA = 1

BENCHES = {
    bench.name: bench
    for bench in (
        Measurement("size", "shipped megabytes of both images", builds.size),
        Measurement("build", "seconds that `harness build` takes: nothing changed, one service changed", builds.build),
        Measurement("oci", "memory of merging a large OCI image, seconds of a build once one has changed", images.oci),
        Measurement("supply", "layers merged otherwise than by overlayfs; layers of very many entries", supply.supply),
        Measurement("exact", "exact milliseconds to ready, on every machine, by phase", boots.exact),
        Measurement("overhead", "wall time to ready through the harness over QEMU run bare", boots.overhead),
        Measurement("matrix", "seconds of the whole matrix, everything built", builds.warm),
        Measurement("cold", "seconds of the whole matrix, nothing downloaded yet", builds.cold),
        Measurement("boot-time", "small causes found and named, false alarms, sums of phases", boottime.boot_time),
        Measurement(
            "attribution", "causes injected and asked for, edits without one, rows that add up", attribution.attribution
        ),
        Measurement("history", "seconds of `harness history`, 100,000 boots stored", histories.history),
        Measurement(
            "report", "seconds of the pages of a run of six cells, and over time of 100,000 boots", reports.report
        ),
        Measurement("repeats", "distinct exact boots among a hundred, the host overloaded", boots.repeats),
        Measurement(
            "certify", "changed evidence accepted, true evidence that does not boot again", certificates.certify
        ),
        Measurement(
            "evidence", "changed fields accepted, hostile archives, images built again from evidence", evidence.evidence
        ),
        Measurement("hosts", "microseconds by which what is otherwise of a host moves an exact boot", hosts.hosts),
        Measurement("cluster", "per cent over the ideal that nights over many hosts take", clusters.clusters),
        Measurement("serial", "wrong results accepted of commands over a serial line that lies", serial.serial),
        Measurement("pool", "runs of a shared lab whose boards fail at random that do not end right", pools.pool),
        Measurement("mutants", "wrong versions of the pure judges that their quick tests let pass", mutants.survivors),
        Measurement("linuxkit", "LinuxKit's own tests of whole images that do not pass", linuxkit.linuxkit),
        Measurement("verity", "verified roots with one bit changed that are served all the same", verity.verity),
        Measurement("wall", "a boot slower by a tenth, found by wall time on a loaded host; false alarms", wall.wall),
    )
}


def main(words: Sequence[str] | None = None) -> int:
    """Run the benches that were asked for. 0: measured, 1: a goal was missed and --check given, 130: interrupted."""
    wish = _parser().parse_args(words)
    if wish.list:
        for bench in BENCHES.values():
            print(f"{bench.name:10} {bench.what}")
        return 0
    unknown = [name for name in wish.names if name not in BENCHES]
    if unknown:
        raise UserError(f"there is no bench {', '.join(unknown)}", hint=f"one of: {', '.join(BENCHES)}")
    reports, interrupted = [], False
    with tempfile.TemporaryDirectory(prefix="harness-bench-") as scratch:
        context = Context(Path(scratch), _say, quick=wish.quick, checkout=wish.checkout, journal=wish.journal)
        for name in wish.names or BENCHES:
            report = _begin(BENCHES[name], quick=wish.quick)
            reports.append(report)
            interrupted = _measure(BENCHES[name], context, report)
            _keep(report, wish.page)
            if interrupted:
                break
    if wish.json:
        _write(wish.json, json.dumps(_all(reports, interrupted=interrupted), indent=1) + "\n")
    missed = [figure for report in reports for figure in report.missed]
    for figure in missed:
        print(f"missed: {figure.subject}")
    if interrupted:
        return EXIT_INTERRUPTED
    return EXIT_MISSED if missed and wish.check else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("./run bench", description="Measures the figures of docs/measurements.md.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a bench (see --list); all when none is given")
    parser.add_argument("--list", action="store_true", help="say which benches there are")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions; the page stays as it is")
    parser.add_argument(
        "--checkout", type=Path, metavar="DIR", help="a checkout of LinuxKit's repository, for linuxkit"
    )
    parser.add_argument(
        "--journal", type=Path, metavar="FILE", help="keep attribution's answers in FILE: interrupted, it goes on there"
    )
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE as well")
    parser.add_argument("--page", type=Path, metavar="FILE", help=f"the page to write (docs/{PAGE.name})")
    return parser


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _begin(bench: Measurement, *, quick: bool) -> Report:
    versions = sorted({_qemu(name) for name in ARCHES} - {""})
    facts = {**host.facts(), "kernel": platform.release().partition("-")[0], "QEMU": " and ".join(versions)}
    command = f"./run bench {bench.name}{' --quick' if quick else ''}"
    return Report(bench.name, command, facts, time.strftime("%Y-%m-%d"))


def _qemu(arch: str) -> str:
    try:
        return host.qemu_version(ARCHES[arch])
    except HostError:
        return ""


def _measure(bench: Measurement, context: Context, report: Report) -> bool:
    """Fill the report; return whether it was interrupted."""
    print(f"\n{bench.name}: {bench.what}", flush=True)
    try:
        for finding in bench.run(context):
            if isinstance(finding, BenchFigure):
                report.figures.append(finding)
                print(f"  {' '.join(filter(None, page.figure_row(finding)))}", flush=True)
            else:
                report.tables.append(finding)
                print("\n".join(["", *page.titled(finding), ""]), flush=True)
    except KeyboardInterrupt:
        _say(f"interrupted in {bench.name}: what was done until then is kept")
        return True
    report.finished = True
    return False


def _keep(report: Report, wanted: Path | None) -> None:
    """Write the report into the page: the one asked for, else the project's own for a whole run in a checkout."""
    whole = report.finished and not report.command.endswith("--quick")
    target = wanted or (PAGE if whole and PAGE.exists() else None)
    if target and (report.figures or report.tables):
        before = target.read_text(encoding="utf-8") if target.exists() else "# Measurements\n"
        _write(target, page.put(before, report))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise HostError(f"cannot write {path}: {error.strerror}") from error


def _all(reports: Sequence[Report], *, interrupted: bool) -> dict[str, object]:
    return {"schema": SCHEMA, "interrupted": interrupted, "benches": [report.to_json() for report in reports]}


if __name__ == "__main__":
    sys.exit(guarded(main))
