"""Headless Chromium, without a network: what it makes of a page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")
WORDS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-logging=stderr", "--allow-file-access-from-files",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)  # fmt: skip
# beside the page, for a page allows no script: it looks into a frame as wide as a phone
LOOKING = """<!doctype html><meta charset="utf-8"><body><iframe src="{src}" width="{width}" height="900"></iframe>
<pre id="seen"></pre><script>
addEventListener("load", () => {{
  const page = document.querySelector("iframe").contentDocument;
  const seen = {{}};
  {code}
  document.getElementById("seen").textContent = JSON.stringify(seen);
}});
</script>"""


@dataclass(frozen=True)
class Seen:
    """What a page came to: its DOM as text, and what the browser complained about."""

    dom: str
    console: list[str]


def open_(page: Path, *words: str) -> Seen:
    """Open a page and return its DOM once it is loaded."""
    done = _run("--dump-dom", *words, page.as_uri())
    return Seen(done.stdout, re.findall(r"^\[.*CONSOLE.*$", done.stderr, re.M))


def look(page: Path, code: str, *words: str, width: int = 390) -> Any:
    """Return what `code` has put into `seen`; the page is its `page`, in a frame of that width."""
    beside = page.with_name(f"looking-{page.name}")
    beside.write_text(LOOKING.format(src=escape(page.name), width=width, code=code))
    found = open_(beside, f"--window-size={width + 100},1000", *words)
    match = re.search(r'<pre id="seen">(.+?)</pre>', found.dom, re.S)
    assert match, found
    return json.loads(match[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


def printed(page: Path, target: Path) -> bytes:
    """Print a page and return the PDF."""
    _run("--no-pdf-header-footer", f"--print-to-pdf={target}", page.as_uri())
    return target.read_bytes()


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        return subprocess.run(
            [CHROMIUM, *WORDS, f"--user-data-dir={profile}", *words],
            capture_output=True, text=True, errors="replace", timeout=120, check=True,
        )  # fmt: skip
