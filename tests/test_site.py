"""The documentation as a site: built without a warning, whole, searched from the disk, and asking no foreign host."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from harness import paths

DOCS = paths.TOP / "docs"
CONF = DOCS / "site/conf.py"


def test_every_page_has_its_place_in_the_site() -> None:
    named = [name for names in runpy.run_path(str(CONF))["PAGES"].values() for name in names]
    assert sorted(named) == sorted(path.stem for path in DOCS.glob("*.md"))


@pytest.mark.slow
def test_the_site_is_whole_and_asks_no_foreign_host(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", tmp_path / "trees", "-c", CONF.parent,
            paths.TOP, tmp_path / "site"]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    made = {str(path.relative_to(tmp_path / "site")) for path in tmp_path.glob("site/**/*.html")}
    assert {"index.html", "CHANGELOG.html", *(f"docs/{path.stem}.html" for path in DOCS.glob("*.md"))} <= made
    for name in made:
        page = (tmp_path / "site" / name).read_text()
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]*\ssrc=\"([^\"]*)|<link[^>]*\shref=\"([^\"]*)", page)
        assert [one for pair in loaded for one in pair if re.match(r"(https?:)?//", one)] == [], name
    index = (tmp_path / "site/searchindex.js").read_text()
    assert index.startswith("Search.setIndex(") and "microsecond" in index
