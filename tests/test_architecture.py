"""docs/architecture.md shows the order that the import contracts hold, and names are not used twice."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict

from trees import of_harness, sources

from harness import paths

CONTRACTS = tomllib.loads((paths.TOP / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def test_the_page_shows_the_layers_of_the_contract() -> None:
    layers = next(one["layers"] for one in CONTRACTS if one["type"] == "layers")
    text = (paths.TOP / "docs/architecture.md").read_text()
    table = text.partition("<!-- layers -->\n")[2].partition("\n\n")[0]
    shown = [re.findall(r"`(\w+)`", row.split("|")[1]) for row in table.splitlines()[2:]]
    assert shown == [re.split(r" \| ", layer) for layer in layers]


@sources
def test_no_two_public_classes_have_one_name() -> None:
    where = defaultdict(list)
    for name, tree in of_harness():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where[node.name].append(name)
    assert {name: files for name, files in where.items() if len(files) > 1} == {}


def test_no_file_passes_400_lines() -> None:
    files = [path for folder in ("harness", "tests", "cases") for path in (paths.TOP / folder).rglob("*.py")]
    assert len(files) > 100
    lengths = {str(path.relative_to(paths.TOP)): len(path.read_text().splitlines()) for path in files}
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}
