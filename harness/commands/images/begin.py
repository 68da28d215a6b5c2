"""`harness init`: a project of one's own that passes at once, from the files beside this module."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from harness import files, tools
from harness.errors import EXIT_OK, UserError
from harness.spec.kinds import FileKind
from harness.spec.schema import editor_line

TEMPLATE = Path(__file__).with_name("project")
PACKAGES = "@PACKAGES@"  # in a file for CI: the Debian packages that a host needs
PROJECT: Mapping[str, str] = {
    "os.yml": "os.yml",
    "hello/component.yml": "hello/component.yml",
    "hello/index.html": "hello/index.html",
    "cases/test_hello.py": "test_hello.txt",
    "plan.yml": "plan.yml",
    "README.md": "README.md",
    ".gitignore": "gitignore",
}
# What runs the plan each night: the project's file, and that of the template.
CI: Mapping[str, Mapping[str, str]] = {
    "github": {".github/workflows/boot.yml": "ci/github.yml"},
    "gitlab": {".gitlab-ci.yml": "ci/gitlab.yml"},
    "jenkins": {"Jenkinsfile": "ci/Jenkinsfile"},
    "systemd": {"systemd/boot.service": "ci/boot.service", "systemd/boot.timer": "ci/boot.timer"},
    "cron": {"crontab": "ci/crontab"},
    "none": {},
}
KINDS: Mapping[str, FileKind] = {
    "os.yml": "image",
    "hello/component.yml": "component",
    "plan.yml": "plan",
}  # whose schema editors are told


def init(folder: Path, ci: str) -> int:
    """Write the project into `folder`, which is made where it is missing; UserError when one of its files is there."""
    made = {folder / name: source for name, source in {**PROJECT, **CI[ci]}.items()}
    if taken := [path for path in made if path.exists() or path.is_symlink()]:
        raise UserError(f"{taken[0]} is there already", hint="harness init FOLDER: another folder, or a new one")
    for path, source in made.items():
        text = (TEMPLATE / source).read_text(encoding="utf-8").replace(PACKAGES, " ".join(tools.packages()))
        kind = KINDS.get(source)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, f"{editor_line(kind, path)}\n{text}" if kind else text)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from error
        print(path)
    into = "" if folder == Path() else f"cd {shlex.quote(str(folder))}\n"
    print(f"\n{into}harness boot os.yml -m qemu-x86_64 --forward 8080\nharness matrix plan.yml")
    return EXIT_OK
