"""YAML that is no file yet: ``-`` is what comes on standard input, a URL is what is there."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from harness.errors import HostError, UserError
from harness.files import write
from harness.show.frame import progress
from harness.spec.rules.images import YAML
from harness.spec.text.reader import MAX_BYTES
from harness.text import of_error, one_line

STDIN = "-"
NAME = "image"  # of what comes without one
SCHEMES = ("https://", "http://")
TIMEOUT_S = 30.0  # for each answer of a server
MOST_SHOWN = 200  # characters of a URL


@contextmanager
def brought(images: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Give the names of an image's YAML, in which files stand for ``-`` and for URLs; they go with the block.

    What they name by a relative path is looked for in the current folder, as LinuxKit does. UserError where there is
    nothing to read or a URL has none, HostError where it cannot be reached.
    """
    if not any(one == STDIN or one.startswith(SCHEMES) for one in images):
        yield tuple(images)
        return
    if list(images).count(STDIN) > 1:
        raise UserError("standard input, `-`, was named twice", hint="it can be read once")
    with tempfile.TemporaryDirectory(prefix="harness-yaml-") as folder:
        yield tuple(_brought(one, Path(folder) / str(number)) for number, one in enumerate(images))


def _brought(word: str, folder: Path) -> str:
    if word == STDIN:
        name, content = NAME, _typed()
    elif word.startswith(SCHEMES):
        name, content = _name(word), _fetched(word)
    else:
        return word
    folder.mkdir()
    file = folder / f"{one_line(name, 100).replace('/', '_')}{YAML[0]}"
    return str(write(file, content))


def _name(url: str) -> str:
    return PurePosixPath(unquote(url.partition("?")[0]).rpartition("/")[2]).stem or NAME


def _typed() -> bytes:
    if sys.stdin.isatty():
        progress("reading YAML from standard input, to its end (Ctrl-D)")
    content = sys.stdin.buffer.read(MAX_BYTES + 1)  # of more than a YAML may have, the reader complains
    if not content.strip():
        raise UserError("nothing came on standard input, which `-` stands for")
    return content


def _fetched(url: str) -> bytes:
    import httpx2

    # without who asks, and with what password
    shown, content = one_line(re.sub("//[^/?#]*@", "//", url), MOST_SHOWN), bytearray()
    progress(f"fetching {shown}")
    try:
        with httpx2.stream("GET", url, timeout=TIMEOUT_S, follow_redirects=True) as answer:
            if answer.status_code != httpx2.codes.OK:
                raise UserError(f"{shown}: the server answers {answer.status_code}", hint="is it the file's own URL?")
            for piece in answer.iter_bytes():
                content += piece
                if len(content) > MAX_BYTES:
                    break
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, ValueError) as error:
        raise UserError(f"{shown} is no URL: {of_error(error)}") from None
    except httpx2.HTTPError as error:
        raise HostError(
            f"{shown} cannot be fetched: {of_error(error)}", hint="download it, and name the file"
        ) from None
    return bytes(content)
