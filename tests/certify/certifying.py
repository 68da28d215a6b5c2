"""The command as a person types it, and what it made."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness import paths
from harness.certify import keys

HARNESS = [sys.executable, "-c", "from harness.cli import main; main()"]
MINIMAL = paths.CASES / "images/minimal.yml"
PATIENCE = "4"


@dataclass(frozen=True)
class Ran:
    """What a command came to."""

    code: int
    stdout: str
    words: str

    @property
    def json(self) -> dict[str, Any]:
        """What it printed with --json."""
        found: dict[str, Any] = json.loads(self.stdout)
        return found


def harness(folder: Path, *words: str) -> Ran:
    """Run `harness WORDS` in a folder."""
    done = subprocess.run([*HARNESS, *words], cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


def merged(more: str) -> str:
    """The image `minimal` with more YAML: lists are appended, mappings are joined."""
    data = yaml.safe_load(MINIMAL.read_text())
    for key, value in (yaml.safe_load(more) or {}).items():
        if isinstance(value, list):
            data[key] = data.get(key, []) + value
        elif isinstance(value, dict):
            data[key] = {**data.get(key, {}), **value}
    return yaml.safe_dump(data)


@dataclass(frozen=True)
class Certified:
    """An evidence, the certificate in it, and who signed it."""

    path: Path
    code: int
    certificate: Mapping[str, Any]
    key: keys.SigningKey
    key_file: Path
    words: str

    def verdicts(self, *which: str) -> set[str]:
        """The requirements that came to one of these verdicts."""
        return {row["id"] for row in self.certificate["requirements"] if row["verdict"] in which}


Certify = Callable[..., Certified]
