"""Turns what a page shows into HTML: one file, no script, nothing from anywhere else, every text escaped."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness import __version__, files
from harness.errors import UserError
from harness.report import words

TEMPLATES = Path(__file__).parent / "templates"
STYLE = "style.css"
FILTERS = (words.ms, words.megabytes, words.data, words.plural, words.moment, words.amount, words.part)


@cache
def environment() -> Environment:
    """Return the templates: what a guest, a file or a commit says is escaped, and made visible where it is not."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {function.__name__: function for function in FILTERS}
    made.filters["px"] = lambda value: f"{value:.2f}".rstrip("0").rstrip(".")
    return made


def _finalized(value: Any) -> Any:
    """Make the text of one ``{{ }}`` visible; what is markup by now has gone through here in its parts."""
    return words.visible(value) if type(value) is str else value


@cache
def _style() -> str:
    lines = (TEMPLATES / STYLE).read_text(encoding="utf-8").splitlines()
    return "\n".join(line.strip() for line in lines if line.strip())


def policy() -> str:
    """Return the page's Content-Security-Policy: its own style sheet and nothing else."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def render(template: str, **what: Any) -> str:
    """Return a page as HTML."""
    own = {"style": Markup(_style()), "policy": policy(), "version": __version__}
    return environment().get_template(template).render(own | what)


def write(path: Path, text: str) -> Path:
    """Write a page by one rename; return its path. UserError where it cannot be written."""
    try:
        files.write(path, text)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}", hint="-o FILE.html") from None
    return path
