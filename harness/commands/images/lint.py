"""`harness lint`: YAML files checked without building anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness.errors import EXIT_OK, EXIT_USER
from harness.spec.lint import lint as judged
from harness.spec.rules.images import shipped
from harness.spec.rules.references import machines


def lint(files: Sequence[Path], *, library: bool = False, as_json: bool = False) -> int:
    """Print every complaint about `files`, and what each reference was taken for.

    A folder stands for all YAML in it, a name for what ships with the harness.

    `library` lets the library's components stand for images of others.
    """
    ships = {**machines(), **shipped()}
    named = [ships.get(str(path), path) if not path.exists() else path for path in files]
    findings = judged(named, library=library)
    complaints = [str(complaint) for finding in findings for complaint in finding.complaints]
    if as_json:
        print(json.dumps([_row(finding) for finding in findings], indent=1))
        return EXIT_USER if complaints else EXIT_OK
    for finding in findings:
        for complaint in finding.complaints:
            print(complaint)
        if not finding.complaints:
            print(f"{finding.path}: {finding.kind}, fine")
        for note in finding.notes:
            print(f"{finding.path}: note: {note}")
        for reference in finding.references:
            taken = f"the library's {reference.component}" if reference.component else _TAKEN[reference.kind]
            print(f"  {reference.key_path}: {reference.text} is {taken}")
    if complaints:
        print(f"{len(complaints)} complaint{'s' if len(complaints) > 1 else ''}")
    return EXIT_USER if complaints else EXIT_OK


_TAKEN = {"component": "a component of the library", "package": "a local component", "oci": "an OCI image"}


def _row(finding: object) -> dict[str, object]:
    from dataclasses import asdict

    return json.loads(json.dumps(asdict(finding), default=str))  # type: ignore[no-any-return, call-overload]
