"""What guests, YAML and commits may say to whoever reads a page about them."""

from __future__ import annotations

from typing import Any

from made import FIGURES, cell, results

from harness.measure.changepoints import exact_changes
from harness.measure.series import Point, Series
from harness.report.chart import ChartLine, FigureMove
from harness.run.results import sound

SCRIPT = "document.documentElement.setAttribute('data-hacked','1')"


def texts(address: str) -> tuple[str, ...]:
    """Return texts that break out of what is not escaped, and then mark the page or call `address`."""
    return (
        f"<script>{SCRIPT}</script>",
        f'"><img src="{address}/attribute" onerror="{SCRIPT}">',
        f"'><svg onload={SCRIPT}><image href={address}/svg>",
        f"</title></style></pre></textarea><script src={address}/closing></script>",
        f"]]><!-- --><link rel=stylesheet href={address}/comment>",
        f"<iframe src={address}/frame></iframe><meta http-equiv=refresh content='0;url={address}/refresh'>",
        f"<style>@import '{address}/import'; body {{ background: url({address}/css) }}</style>",
        f"{{{{ 7 * 7 }}}} {{% include '/etc/passwd' %}} ${{{SCRIPT}}}",
        f"<a href=javascript:{SCRIPT}>click</a><form action={address}/form><base href={address}/>",
        "right to left \u202e and back \u202c, isolated \u2066 \u2069, mark \u200f, nothing \u200b\ufeff",
        "bell \x07, null \x00, escape \x1b[31m, delete \x7f, next line \x85, \u2028 \u2029, half \udcff \ud800",
    )


def all_of(address: str) -> str:
    """Return all of them as one."""
    return " ".join(texts(address))


def run(address: str) -> dict[str, Any]:
    """Return results that have them wherever there is text; ids of cells are names of folders, so one each."""
    text = all_of(address)
    cells = [
        cell(
            sound(one).replace("/", "∕").replace("\0", "␀")[:80],
            image=text, machine=text, arch=text, status=text if number else "failed", reason=text,
            sizes={text: 5_000_000, f"services/{text}": 4_000_000},
            files={text: text}, spec=text,
            boot={"exact": {"ready": 318.718, "power_on": 93.414, "figures": {**FIGURES, text: 5},
                            "key": {"qemu": text}, "moved": text},
                  "wall": {"ready": 5.0, "key": {"cmdline": text}}},
            exact_repeats=not number, root_readonly=False,
            failures=[{"case": text, "message": text, "transcript": text}], host={"cpu": text, "load": text},
        )
        for number, one in enumerate(texts(address))
    ]  # fmt: skip
    source = {"commit": text, "subject": text, "changed": True}
    failures = [{"case": text, "message": text, "transcript": text}]
    return results(*cells, when=text, harness=text, run=text, plan=text, source=source, error=text, exit=1,
                   other={"cases": {"failed": 1}, "failures": failures})  # fmt: skip


def lines(address: str) -> tuple[list[ChartLine], list[ChartLine]]:
    """Return lines over time that have them in every name and subject."""
    text = all_of(address)
    values = [100_000, 100_000, 150_000, 150_000]
    points = tuple(
        Point(f"{text}{number}", f"2026-01-0{number + 1}T00:00:00Z", value, f"{number}{text}", text, f"{number}{text}")
        for number, value in enumerate(values)
    )
    found = []
    for key in "ab":
        series = Series(text, text, text, "exact", text, key, points)
        cause = {2: (FigureMove(text, 5),)}
        found.append(ChartLine(series, tuple(exact_changes(values, 500)), 500, {"qemu": f"{key}{text}"}, cause))
    return found, [
        ChartLine(Series(text, text, text, "size", f"part {text}", "", points), tuple(exact_changes(values, 5)))
    ]
