"""Answers of a bench that takes hours, kept as they come: one that was interrupted goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from harness import paths
from harness.errors import HostError
from harness.store import digest_of, file_digest

# what an answer depends on: all that builds, boots and judges
SOURCES = ("build", "components", "emulator", "guest", "launch", "measure", "suite", "system")
SHOWN = 200  # letters of a question, for who reads the file


class Journal:
    """A file of JSON Lines, an answer each; without a file nothing is kept. HostError where it cannot be written."""

    def __init__(self, file: Path | None) -> None:
        """Read what is there; a line that is not whole, as of a bench that was killed, is no answer."""
        self._file, self._answers = file, {}
        if file is None or not file.exists():
            return
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
                self._answers[str(row["question"])] = dict(row["answer"])
            except (ValueError, KeyError, TypeError):
                continue

    def answer(self, ask: Callable[[], dict[str, Any]], *question: object) -> dict[str, Any]:
        """Return the answer to a question, which names all that it depends on but the harness itself."""
        if self._file is None:
            return ask()
        name = self._name(question)
        if name not in self._answers:
            self._answers[name] = ask()
            row = json.dumps(
                {"question": name, "asked": [str(one)[:SHOWN] for one in question], "answer": self._answers[name]}
            )
            try:
                with self._file.open("a+b") as stream:
                    whole = not stream.tell() or self._file.read_bytes().endswith(b"\n")
                    stream.write(f"{'' if whole else chr(10)}{row}\n".encode())
            except OSError as error:
                raise HostError(f"cannot write {self._file}: {error.strerror}") from error
        return self._answers[name]

    def known(self, *question: object) -> dict[str, Any] | None:
        """Return the answer to a question where it is there already."""
        return self._answers.get(self._name(question)) if self._answers else None

    def _name(self, question: tuple[object, ...]) -> str:
        return digest_of([sources(), *map(str, question)])


@cache
def sources() -> str:
    """Return the digest of the files that answers depend on."""
    top = paths.TOP / "harness"
    files = sorted(path for name in SOURCES for path in (top / name).rglob("*") if path.is_file())
    return digest_of(
        {str(path.relative_to(top)): file_digest(path) for path in files if path.suffix not in (".pyc", ".pyo")}
    )
