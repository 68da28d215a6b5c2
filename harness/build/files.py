"""The content of what an image's YAML lists under `files`."""

from __future__ import annotations

import json
from pathlib import Path

from harness.errors import UserError
from harness.spec.model import File, ImageSpec


def source_path(file: File, spec: ImageSpec) -> Path:
    """Return where a file's `source` lies: `~/` is the caller's home, else relative to the first YAML."""
    return spec.sources[0].parent / Path(file.source).expanduser()


def executable(path: Path) -> bool:
    """Say whether a file that ships with the harness is a program; its other mode bits are the checkout's umask."""
    return bool(path.stat().st_mode & 0o100)


def content(file: File, spec: ImageSpec) -> bytes | None:
    """Return a file's bytes; None for an optional one whose source is missing. Raises UserError."""
    if file.contents is not None:
        return file.contents.encode()
    if file.metadata:
        return _metadata(file.metadata, spec)
    if not file.source:
        raise UserError(f"files: {file.path} has neither contents, source, symlink, directory nor metadata")
    try:
        return source_path(file, spec).read_bytes()
    except OSError as error:
        if file.optional:
            return None
        raise UserError(
            f"files: {file.path}: cannot read its source {file.source}: {error.strerror}",
            hint="or say `optional: true`",
        ) from error


def _metadata(form: str, spec: ImageSpec) -> bytes:
    import yaml

    ours = {"name", "sources", "digest"}
    data = spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True, exclude=ours)
    text = json.dumps(data, indent=2) if form == "json" else yaml.safe_dump(data, sort_keys=False)
    return text.encode() + (b"" if text.endswith("\n") else b"\n")
