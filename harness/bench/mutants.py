"""How many wrong versions of the pure judges their quick tests let pass: each change of one place in the source."""

from __future__ import annotations

import importlib.util
import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import paths
from harness.bench.context import Context, FigureOrTable
from harness.bench.figures import BenchFigure, Table
from harness.bench.mutation import Mutant, mutants
from harness.errors import HostError, UserError

# each judge, and the files of the quick tests that hold it
JUDGES: dict[str, tuple[str, ...]] = {
    "harness.certify.judge": ("certify/test_certify_judge.py",),
    "harness.certify.outcomes": ("certify/test_vendors_word.py",),
    "harness.certify.derive": ("certify/test_derived.py",),
    "harness.certify.recomputed": ("certify/test_recomputed.py",),
    "harness.certify.expect": ("certify/test_expectations.py",),
    "harness.suite.judge": ("suite/test_judge.py", "suite/test_results.py", "suite/test_mounts.py"),
    "harness.run.outcome": ("suite/test_outcome_words.py",),
    "harness.run.results": ("suite/test_folding.py",),
    "harness.run.shard": ("suite/test_shards.py",),
    "harness.run.known": ("suite/test_known.py",),
    "harness.hostfaults": ("test_hostfaults.py",),
    "harness.system.marks": ("boot/test_marks.py",),
    "harness.launch.exact": ("boot/test_exact_pair.py",),
    "harness.measure.compare": ("measure/test_compare.py",),
    "harness.measure.gate": ("measure/test_gate.py",),
    "harness.measure.floor": ("measure/test_compare.py", "measure/test_gate.py"),
    "harness.measure.paired": ("measure/test_paired.py",),
    "harness.measure.account": ("measure/test_account.py",),
    "harness.measure.phases": ("measure/test_phases.py", "boot/test_patterns.py"),
    "harness.measure.flaky": ("measure/test_flaky.py",),
    "harness.measure.trace": ("measure/test_trace.py", "measure/test_account.py"),
    "harness.measure.sizes": ("measure/test_sizes.py",),
    "harness.measure.medians": ("measure/test_medians.py",),
    "harness.measure.fit": ("measure/test_fit.py",),
    "harness.measure.systemd": ("boot/test_patterns.py",),
    "harness.measure.course": ("measure/test_course.py",),
    "harness.measure.blame": ("measure/test_blame.py",),
    "harness.measure.bisect": ("measure/test_bisect.py",),
    "harness.measure.waterfalls": ("measure/test_waterfall.py",),
    "harness.history.trends": ("history/test_trends.py",),
}
# of those, the functions that do something instead
EDGES = {"harness.launch.exact": ("exact_boot", "exact_pair"), "harness.run.results": ("write",)}
PAGE = paths.TOP / "docs" / "mutants.md"
SAMPLE = 1  # of each judge, with --quick
LONGEST_S = 7200.0
_LISTED = re.compile(
    r"^- `(?P<function>[\w.]+)`: `(?P<before>.+)` becomes `(?P<after>.+?)`: (?P<why>.+)$", re.MULTILINE
)


@dataclass(frozen=True)
class JudgeMutants:
    """What came of one judge's mutants: how many there were, and which its tests let pass."""

    judge: str
    tried: int
    survivors: tuple[Mutant, ...]


def listed(text: str) -> dict[str, str]:
    """Return the mutants that a page lists as of no consequence, by name, with the reason of each."""
    return {
        f"{row['function']}: `{row['before']}` becomes `{row['after']}`": row["why"] for row in _LISTED.finditer(text)
    }


def of(judge: str) -> list[Mutant]:
    """Return all mutants of a judge's source, but for its edges."""
    spec = importlib.util.find_spec(judge)
    assert spec is not None and spec.origin is not None
    found = mutants(Path(spec.origin).read_text(encoding="utf-8"), judge)
    return [one for one in found if one.function not in EDGES.get(judge, ())]


def sample(found: Sequence[Mutant], most: int, seed: str) -> list[Mutant]:
    """Return `most` of some mutants, the same ones each time."""
    return random.Random(seed).sample(list(found), min(most, len(found)))


def run(wanted: dict[str, list[Mutant]], scratch: Path) -> list[JudgeMutants]:
    """Run the quick tests of each judge on each of its wanted mutants; HostError when they fail without any."""
    tests = paths.TOP / "tests"
    if not tests.is_dir():
        raise UserError("there are no tests beside this harness", hint="run it in a checkout of the project")
    job, out = scratch / "job.json", scratch / "out.jsonl"
    judges = {name: ([asdict(one) for one in made], [f"tests/{file}" for file in JUDGES[name]])
              for name, made in wanted.items()}  # fmt: skip
    job.write_text(json.dumps({"judges": judges, "out": str(out), "top": str(paths.TOP)}), encoding="utf-8")
    done = subprocess.run([sys.executable, "-m", "harness.bench.mutation", str(job)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=LONGEST_S, check=False)  # fmt: skip
    rows = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    broken = [row["judge"] for row in rows if row.get("broken")]
    missing = sum(map(len, wanted.values())) - sum("mutant" in row for row in rows)
    if broken or missing:
        about = f"the tests of {', '.join(broken)} fail as they are" if broken else f"{missing} mutants were not tried"
        raise HostError(about, hint="./run test --quick", details=(done.stdout + done.stderr)[-2000:])
    return [_came_to(name, rows) for name in wanted]


def _came_to(judge: str, rows: Sequence[dict[str, Any]]) -> JudgeMutants:
    mine = [row for row in rows if row["judge"] == judge]
    return JudgeMutants(judge, len(mine), tuple(Mutant(**row["mutant"]) for row in mine if row["survives"]))


def survivors(context: Context) -> Iterator[FigureOrTable]:
    """Yield how many mutants of each judge pass its tests, less those that the page gives a reason for; and which."""
    known = listed(PAGE.read_text(encoding="utf-8"))
    rows = []
    for judge in JUDGES:
        made = of(judge)
        wanted = sample(made, SAMPLE, judge) if context.quick else made
        context.say(f"{judge}: {len(wanted)} mutants")
        (found,) = run({judge: wanted}, context.folder(judge))
        left = [one for one in found.survivors if one.name not in known]
        excused = len(found.survivors) - len(left)
        yield BenchFigure(judge, "mutants", (float(len(left)),), goal=0.0,
                          note=f"of {found.tried}; {excused} of no consequence")  # fmt: skip
        rows += [[f"{judge}:{one.line}", one.function, one.before, one.after] for one in left]
    if rows:
        yield Table("mutants that no test notices", ("where", "function", "before", "after"), tuple(map(tuple, rows)))
