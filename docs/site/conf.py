"""The documentation as a site: sphinx-build -c docs/site . site, or `./run site`.

The pages are README.md, CHANGELOG.md, CONTRIBUTING.md and docs/, as they are; this names them and says how they look.
Search and theme work from the disk, and a page asks no foreign host for anything.
"""

import re
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
# Under which heading of the sidebar each page stands; tests ask for every page of docs/.
PAGES = {
    "Tutorials": ("tutorial-os-developer", "tutorial-performance", "tutorial-lab"),
    "How to": ("nightly", "cluster", "boards", "certify", "foreign", "from-linuxkit", "sbom", "history", "report",
               "oci"),
    "Reference": (
        "commands", "reference", "library", "components", "machines", "cases", "guest", "linuxkit", "formats",
        "build", "manifest", "results", "api", "errors", "stability",
    ),
    "Background": ("architecture", "measurements", "mutants"),
}  # fmt: skip
MORE = ("CONTRIBUTING", "CHANGELOG")

project = "bootharness"
author = project
release = re.search(r'version = "(.*)"', (TOP / "pyproject.toml").read_text())[1]
extensions = ["myst_parser"]
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md"]
root_doc = "README"
source_suffix = {".md": "markdown"}
myst_heading_anchors = 4
myst_links_external_new_tab = False
# what blocks say of themselves is for tests: `yaml image`, `console run`
suppress_warnings = ["misc.highlighting_failure", "myst.xref_missing"]
html_theme = "furo"
html_title = f"bootharness {release}"
html_show_sphinx = False
html_copy_source = False


def _add_contents(_app, docname, source):
    if docname == root_doc:
        trees = [(title, [f"docs/{name}" for name in names]) for title, names in PAGES.items()]
        for title, names in [*trees, ("The project", list(MORE))]:
            source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n" + "\n".join(names) + "\n```\n"


def _add_index(app, _exception):
    first = Path(app.outdir) / f"{root_doc}.html"
    if first.exists():
        first.with_name("index.html").write_bytes(first.read_bytes())  # what a server and a person look for


def setup(app):
    """Give the first page the list of all the others, which Markdown has no word for."""
    app.connect("source-read", _add_contents)
    app.connect("build-finished", _add_index)
