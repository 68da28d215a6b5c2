"""The HTML itself: whole, self-contained, and with strangers' texts as nothing but text."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import hostile
import pytest
from listening import Listener
from made import cell, results, run

from harness.errors import UserError
from harness.measure.changepoints import exact_changes
from harness.measure.series import Point, Series
from harness.report import files, overtime, page, words
from harness.report.chart import ChartLine, FigureMove
from harness.run.folder import RunFolder

VOID = {"meta", "br", "link", "img", "base", "input", "hr"}
TAGS = {"html", "head", "meta", "title", "style", "body", "main", "header", "section", "article", "footer", "figure",
        "figcaption", "h1", "h2", "h3", "h4", "p", "b", "br", "a", "span", "div", "dl", "dt", "dd", "ul", "li", "pre",
        "code", "details", "summary", "table", "thead", "tbody", "tfoot", "tr", "th", "td", "svg", "symbol", "use", "g",
        "path", "rect", "line", "text", "desc"}  # fmt: skip


class Page(HTMLParser):
    """What a page consists of; complains about tags that are closed in another order than opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.names: list[tuple[str, str, str]] = []  # tag, attribute, value
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.names += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.names += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.getpos())
        self.text += " " * (tag in ("td", "th", "dt"))

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, wanted: str) -> list[str]:
        return [value for _, name, value in self.names if name == wanted]


def checked(path: Path) -> Page:
    """Parse a page and check what holds for all of them."""
    text = path.read_text(encoding="utf-8")
    found = Page(text)
    assert found.tags <= TAGS
    assert {name for _, name, _ in found.names if name.startswith("on") or name in ("style", "src", "srcset")} == set()
    references = found.values("href")
    assert references and all(re.fullmatch(r"#[a-z0-9-]+", one) for one in references)
    ids = found.values("id")
    assert len(ids) == len(set(ids)) and {one[1:] for one in references} <= set(ids)
    assert {one for value in found.values("aria-labelledby") for one in value.split()} <= set(ids)
    assert all("http" not in value for _, name, value in found.names if name not in ("aria-label", "content"))
    assert [value for value in found.values("content") if value.startswith("default-src")] == [page.policy()]
    assert "url(" not in page._style() and "@import" not in page._style()
    return found


@pytest.fixture
def plain(tmp_path: Path) -> Page:
    """The page of a run as it should be."""
    return checked(files.write(RunFolder(run(tmp_path / "out"))))


def test_the_page_of_a_run_says_what_the_run_found(plain: Page) -> None:
    text = " ".join(plain.text.split())
    for said in ("Run of 2026-11-24 09:35 UTC", "1 of 1 cell passed; cases: 29 passed, 4 skipped",
                 "555555555555 A change", "plan.yml", "412.132", "318.718", "80% of 400 ms allowed", "12.10",
                 "3163", "firmware", "0.000 93.414", "services/web", "385.287 26.083 9.000", "9 000 000",
                 "harness: ready", "two boots agreed to the microsecond", "no KVM"):  # fmt: skip
        assert said in text, said
    assert plain.values("aria-label").count("Sizes of minimal-qemu-arm64") == 2


def test_failures_and_cells_that_could_not_run_are_told(tmp_path: Path) -> None:
    bad = cell("bad", status="failed", exact_repeats=False, root_readonly=False,
               failures=[{"case": "test_root", "message": "it was\nwritable",
                          "transcript": "/far/cells/bad/wall/transcript.txt"}],
               cases={"passed": 3, "failed": 1, "skipped": 0})  # fmt: skip
    absent = cell("absent", status="not run", reason="no qemu-system-s390x: install qemu-system-misc", size=None,
                  sizes={}, exact_repeats=None, boot={})  # fmt: skip
    found = checked(files.write(RunFolder(run(tmp_path / "out", results(bad, absent, exit=1)))))
    for said in ("✗ failed", "test_root", "it was\nwritable", "✗ NO", "318.718?", "did not agree", "– not run",
                 "install qemu-system-misc", "0 of 2 cells passed",
                 "transcript: cells/bad/wall/transcript.txt"):  # fmt: skip
        assert said in re.sub(r"\n(?!writable)", "", found.text), said


def test_a_run_that_found_nothing_has_a_page(tmp_path: Path) -> None:
    folder = run(tmp_path / "out", results(cell(boot={}, sizes={}, size=None, exact_repeats=None, root_readonly=None)))
    for path in folder.glob("cells/*/*/**/*.*"):
        path.unlink()
    assert "there is no waterfall" in checked(files.write(RunFolder(folder))).text
    (folder / "results.json").write_text('{"cells": []}')
    Page(files.write(RunFolder(folder)).read_text())


def points(values: list[int]) -> tuple[Point, ...]:
    return tuple(
        Point(f"r{number}", f"2026-01-{number + 1:02}T00:00:00Z", value, f"{number // 3}" * 40, f"Change {number // 3}",
              f"{number // 4}" * 64)
        for number, value in enumerate(values)
    )  # fmt: skip


def line(values: list[int], mode: str = "exact", figure: str = "total", **changes: object) -> ChartLine:
    series = Series("images/minimal.yml", "qemu-arm64", "arm64", mode, figure, "k", points(values))
    return replace(ChartLine(series, tuple(exact_changes(values, 500)), 500), **changes)


def test_the_page_over_time_says_what_changed_and_what_was_changed_then(tmp_path: Path) -> None:
    values = [400_000] * 3 + [420_000] * 3
    found = overtime.page(
        [line(values, causes={3: (FigureMove("kernel", 19_000), FigureMove("services/web cpu", -700))},
              told={3: ("the image's YAML changed: 00000000 → 11111111", "no commit is known")}),
         line([9_000_000] * 4 + [8_000_000] * 2, "size"), line([5_000_000] * 6, "wall", "ready", changes=())],
        [line(values, figure="kernel")], "a history")  # fmt: skip
    told = [(one.mode, one.point.when[:10]) for one in found.changes]
    assert told == [("size", "2026-01-05"), ("exact", "2026-01-04")]
    written = page.write(tmp_path / "history.html", page.render("overtime.html", page=found, limit=6))
    text = " ".join(checked(written).text.split())
    for said in ("6 runs of 1 image on a machine, 2026-01-01 to 2026-01-06; 2 changes", "a history",
                 "power-on to ready, exact: 420.000 ms", "wall time to ready: 5000 ms", "8.00 MB", "+5.00 %",
                 "+20.000 ms", "kernel +19.000 ms", "services/web cpu −0.700 ms",
                 "2026-01-03 00000000 → 2026-01-04 11111111",
                 "the image's YAML changed: 00000000 → 11111111"):  # fmt: skip
        assert said in text, said


def test_causes_are_what_moved_beyond_its_floor_and_no_sums() -> None:
    before = {
        "total": 100,
        "ready": 90,
        "kernel": 50,
        "drivers": 20,
        "services/web": 9,
        "services/web cpu": 5,
        "gone": 9,
    }
    after = {
        "total": 140,
        "ready": 130,
        "kernel": 55,
        "drivers": 60,
        "services/web": 30,
        "services/web cpu": 2,
        "new": 8,
    }
    found = overtime.causes("exact", before, after, lambda name, *_: 5 if name == "kernel" else 2)
    assert [(one.figure, one.by) for one in found] == [("drivers", 40), ("gone", -9), ("new", 8)]
    told = {"cpu/services/web": 5}, {"cpu/services/web": 50}
    found = overtime.causes("exact", before | told[0], after | told[1], lambda *_: 2)
    assert [(one.figure, one.by) for one in found] == [("cpu/services/web", 45)]
    found = overtime.causes("size", before, after, lambda *_: 9)
    assert [(one.figure, one.by) for one in found] == [("drivers", 40), ("services/web", 21)]


def test_hostile_texts_of_a_run_are_only_text(hostile_run: Path, listener: Listener) -> None:
    found = checked(hostile_run)
    assert found.text.count(f"<script>{hostile.SCRIPT}</script>") > 50
    for text in hostile.texts(listener.address):
        assert words.visible(text) in found.text or words.visible(text).replace("\\udcff \\ud800", "") in found.text, (
            text
        )
    for bad in "\u202e\u2066\u200b\x07\x00\x1b\x7f\x85\u2028\ufeff":
        assert bad not in hostile_run.read_text()


def test_hostile_texts_over_time_are_only_text(hostile_overtime: Path, listener: Listener) -> None:
    found = checked(hostile_overtime)
    for text in hostile.texts(listener.address):
        assert words.visible(text) in found.text, text


def test_numbers_and_invisible_letters() -> None:
    assert words.visible("tab\tand\nline \x1b\u202e\udcff\U000e0001") == "tab\tand\nline \\x1b\\u202e\\udcff\\U000e0001"
    assert words.amount("exact", -1234, signed=True) == "−1.234 ms" and words.amount("wall", 5_000_400) == "5000 ms"
    assert [words.amount("size", size) for size in (9_000_000, 9_100, 12)] == ["9.00 MB", "9.1 kB", "12 bytes"]
    assert words.part(100, 99) == "−1.00 %" and words.part(0, 5) == "new"
    assert words.plural(16_667, "run") == "16 667 runs" and words.plural(1, "run") == "1 run"
    assert words.moment("2026-11-24T09:35:01Z") == "2026-11-24 09:35 UTC" and words.moment("never") == "never"


def test_a_page_that_cannot_be_written_is_the_user_s_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write"):
        page.write(tmp_path / "nowhere" / "report.html", "")
    (tmp_path / "report.html").mkdir()
    with pytest.raises(UserError, match="cannot write"):
        page.write(tmp_path / "report.html", "")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_text_has_contrast_in_light_and_in_dark() -> None:
    for block in re.findall(r":root \{(.*?)\}", page._style(), re.S)[:2]:
        colours = dict(re.findall(r"--([\w-]+): (#\w{6})", block))
        pairs = [(text, behind) for text in ("ink", "soft", "link", "good", "bad") for behind in ("page", "panel")]
        pairs += [("good", "good-page"), ("bad", "bad-page"), ("even", "even-page")]
        pairs += [("ink", name) for name in ("kernel", "stage", "init", "service", "other")]
        for text, behind in pairs:
            assert contrast(colours[text], colours[behind]) >= 4.5, (text, behind)
        for shape in ("main", "side", "exact", "wall", "size"):  # what is drawn rather than written
            assert contrast(colours[shape], colours["page"]) >= 3, shape


def test_headings_go_down_one_level_at_a_time(hostile_run: Path, hostile_overtime: Path) -> None:
    for path in (hostile_run, hostile_overtime):
        levels = [int(level) for level in re.findall(r"<h([1-4])[ >]", path.read_text())]
        assert levels[0] == 1 and all(other <= one + 1 for one, other in pairwise(levels))
