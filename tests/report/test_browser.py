"""Pages in a real browser: nothing is fetched or run, they fit a phone, print whole, and are dark where wanted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browser import CHROMIUM, look, open_, printed
from listening import Listener
from made import MANIFEST, boot, cell, image, results, run

from harness.report import files
from harness.run.folder import RunFolder

pytestmark = [pytest.mark.servers, pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")]

# what does not fit and has no box of its own to scroll in
WIDE = """
  const width = page.documentElement.clientWidth;
  seen.page = page.documentElement.scrollWidth;
  seen.width = width;
  seen.wide = [...page.querySelectorAll("body *")].filter(one => !one.closest(".scroll") && !one.closest("svg")
    && !one.closest(".unseen") && !one.closest("thead") && one.getBoundingClientRect().right > width + 0.5)
    .map(one => one.tagName + "." + one.className);
  seen.drawn = [...page.querySelectorAll("svg.treemap, svg.chart, svg.bar")]
    .filter(one => one.checkVisibility()).map(one => [one.getAttribute("class"), one.getBoundingClientRect().width]);
  seen.text = parseFloat(page.defaultView.getComputedStyle(page.body).fontSize);
  seen.colours = ["backgroundColor", "color"].map(name => page.defaultView.getComputedStyle(page.body)[name]);
"""


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run of six cells, with names and lines as long as they come."""
    folder = tmp_path_factory.mktemp("page")
    cells = [cell(f"an-image-with-a-rather-long-name-{number}-qemu-x86_64-microvm") for number in range(5)]
    failure = {
        "case": "cases/test_root.py::test_" + "x" * 200,
        "message": "y" * 500 + "\n" + "z " * 300,
    }
    cells.append(cell("failed", status="failed", failures=[failure]))
    made = run(folder / "out", results(*cells, exit=1))
    record = image(folder / "image")
    for row in cells:
        (made / "cells" / row["id"] / "exact/1/record.json").write_text(record.dumps())
    boot(made / "cells/failed/own", "w" * 5000 + "\n" + "console line\n" * 50)
    return files.write(RunFolder(made))


def test_the_detectors_of_these_tests_detect(tmp_path: Path, listener: Listener) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(f"<img src={listener.address}/detector onerror=\"document.title='hacked'\"><p id=x>")
    assert "<title>hacked</title>" in open_(bad).dom and "/detector" in listener.heard
    bad.write_text("<meta http-equiv=Content-Security-Policy content=\"default-src 'none'\"><p style='color: red'>")
    assert any("Content Security Policy" in line for line in open_(bad).console)
    bad.write_text("<body style='margin: 0'><div class=x style='width: 900px; height: 9px'>")
    seen = look(bad, WIDE)
    assert seen["page"] == 900 and seen["wide"] == ["DIV.x"]


@pytest.mark.parametrize("name", ["hostile_run", "hostile_overtime"])
def test_hostile_text_fetches_and_runs_nothing(name: str, listener: Listener, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(name)
    listener.heard.clear()
    seen = open_(path)
    assert re.match(r'<!DOCTYPE html>\s*<html lang="en">', seen.dom)  # which a script would have marked
    assert "<script" not in seen.dom and "<iframe" not in seen.dom and "<img" not in seen.dom
    assert listener.heard == [] and seen.console == []


def test_a_page_is_as_its_policy_allows(page: Path) -> None:
    seen = open_(page)
    assert seen.console == [] and 'class="waterfall"' in seen.dom


@pytest.mark.parametrize("name", ["page", "hostile_run", "hostile_overtime"])
def test_pages_fit_a_phone(name: str, request: pytest.FixtureRequest) -> None:
    seen = look(request.getfixturevalue(name), WIDE)
    assert seen["page"] <= seen["width"] <= 390
    assert seen["wide"] == [] and seen["text"] >= 14
    assert seen["drawn"] and all(80 < width <= 390 for _, width in seen["drawn"])


def test_a_narrow_page_has_another_treemap_than_a_wide_one(page: Path) -> None:
    phone, desk = (look(page, WIDE, width=width)["drawn"] for width in (390, 1200))
    assert {kind for kind, _ in phone} == {"bar", "treemap narrow"}
    assert {kind for kind, _ in desk} == {"bar", "treemap wide"}


def test_what_is_drawn_lies_where_it_was_laid_out(page: Path) -> None:
    code = """
      const boxes = selector => [...page.querySelectorAll(selector)].map(one => one.getBoundingClientRect());
      const whole = boxes("svg.bar")[0];
      seen.bars = boxes("#cell-1 ~ figure rect.main").map(one =>
        [(one.left - whole.left) / whole.width, one.width / whole.width]);
      seen.tiles = boxes("#cell-1 ~ figure svg.wide > g:not(.inner) > rect").map(one => one.width * one.height);
    """
    seen = look(page, code, width=1200)
    shares = [(start / 412_132, us / 412_132) for start, us in
              ((0, 93_414), (93_414, 171_556), (264_970, 116_780), (381_750, 30_382))]  # fmt: skip
    for found, wanted in zip(seen["bars"], shares, strict=True):
        assert found == pytest.approx(wanted, abs=1e-3)
    total = sum(cell()["sizes"].values())
    assert [area / sum(seen["tiles"]) for area in seen["tiles"]] == pytest.approx(
        [9_000_000 / total, 3_000_000 / total, 100_000 / total], abs=0.01
    )
    assert MANIFEST["components"][0]["name"] == "web"


def test_pages_are_light_or_dark_as_the_reader_wants(page: Path) -> None:
    light, dark = (look(page, WIDE, f"--blink-settings=preferredColorScheme={scheme}")["colours"] for scheme in (1, 0))
    assert light == ["rgb(255, 255, 255)", "rgb(22, 25, 29)"]
    assert dark == ["rgb(15, 19, 23)", "rgb(228, 232, 236)"]


@pytest.mark.parametrize(("name", "least"), [("page", 7), ("hostile_overtime", 2)])
def test_pages_print(name: str, least: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    found = printed(request.getfixturevalue(name), tmp_path / "page.pdf")
    assert found.startswith(b"%PDF") and len(re.findall(rb"/Type\s*/Page\b", found)) >= least


def test_on_paper_facts_are_open_and_transcripts_are_not_there(page: Path) -> None:
    # the print style sheet, told that it is for screens as well
    code = """
      for (const sheet of page.styleSheets) for (const rule of [...sheet.cssRules])
        if (rule.media && rule.media.mediaText === "print") rule.media.mediaText = "all";
      const visible = selector => [...page.querySelectorAll(selector)].map(one => one.checkVisibility());
      seen.facts = visible("details.about dd").every(Boolean) && visible("details.about dd").length > 20;
      seen.said = visible("details.said pre, details.said summary").some(Boolean);
      seen.note = visible(".on-paper").every(Boolean);
    """
    assert look(page, code, width=800) == {"facts": True, "said": False, "note": True}
