"""`harness schema`: the JSON Schema of a kind of file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.errors import EXIT_OK, UserError
from harness.run import describe
from harness.spec import schema as files
from harness.spec.kinds import MODELS
from harness.spec.text.complaints import nearest


@dataclass(frozen=True)
class SchemaSource:
    """Where a schema comes from: its text, and the file that is shipped with it, if there is one."""

    text: Callable[[], str]
    path: Path | None = None


# A schema of something else is a row more.
SCHEMAS: dict[str, SchemaSource] = {
    **{kind: SchemaSource(partial(files.text, kind), files.path(kind)) for kind in MODELS},
    "results": SchemaSource(describe.schema_text),
}


def schema(name: str, *, path_only: bool = False) -> int:
    """Print the schema called `name`, or the path of the file that is shipped; UserError where there is none."""
    source = SCHEMAS.get(name)
    if source is None:
        near, listed = nearest(name, SCHEMAS), f"one of: {', '.join(SCHEMAS)}"
        hint = f"did you mean {near}? ({listed})" if near else listed
        raise UserError(f"there is no schema called {name!r}", hint=hint)
    if not path_only:
        print(source.text(), end="")
        return EXIT_OK
    if source.path is None:
        raise UserError(f"the schema {name!r} is not shipped as a file", hint=f"harness schema {name} > {name}.json")
    print(source.path)
    return EXIT_OK
