"""JSON Schemas of the files that people write, made from the models: for editors, and for other programs.

``python -m harness.spec.schema`` writes them to harness/spec/schemas/, from where they are shipped, for an editor finds
them by their path. A schema says less than ``harness lint``: it knows one file, and none of what that names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from harness.spec.kinds import MODELS, FileKind
from harness.spec.models.base import Model
from harness.spec.rules.annotations import PREFIX, SETTINGS
from harness.spec.text.shape import fields_of

FOLDER = Path(__file__).parent / "schemas"
EDITOR = "# yaml-language-server: $schema="  # the comment that language servers for YAML read
DIALECT = "https://json-schema.org/draft/2020-12/schema"
TITLES: dict[FileKind, str] = {
    "image": "Image",
    "component": "Component",
    "machine": "Machine",
    "plan": "Plan",
    "os": "Foreign OS",
    "profile": "Profile",
    "waivers": "Waivers",
    "policy": "Policy of a verifier",
    "cluster": "Cluster",
}


class _Generator(GenerateJsonSchema):
    """Pydantic's generator, less what no file may have: a key without a value is refused, a path is text."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        return {key: value for key, value in made.items() if key != "default" or value not in (None, "", [], {})}

    def path_schema(self, schema: core_schema.CoreSchema) -> JsonSchemaValue:
        return {"type": "string"}

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        model = cast(type[BaseModel], schema["cls"])
        return _of_a_file(made, model) if issubclass(model, Model) else made

    def get_title_from_name(self, name: str) -> str:
        return name


def _of_a_file(made: JsonSchemaValue, model: type[Model]) -> JsonSchemaValue:
    """Return a model's schema as that of what a file may hold: without what the loader gives or fills in."""
    keys = {key for key, field in fields_of(model).items() if key in model.given}
    properties = {key: value for key, value in made.get("properties", {}).items() if key not in keys}
    required = [key for key in made.get("required", ()) if key not in (*keys, *model.filled)]
    result = {**made, "properties": properties, "required": required}
    if not required:
        del result["required"]
    if model.one_of:
        result["oneOf"] = [_has(key, properties[key]) for key in model.one_of]
    return result


def _has(key: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {"required": [key]}
    return {**said, "properties": {key: {"const": True}}} if schema.get("type") == "boolean" else said


def schema(kind: FileKind) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a kind of file."""
    made = MODELS[kind].model_json_schema(by_alias=True, schema_generator=_Generator)
    for part in (made, *made.get("$defs", {}).values()):
        if "annotations" in part.get("properties", {}):
            part["properties"]["annotations"] |= _annotations()
    about = {"$schema": DIALECT, "title": f"{TITLES[kind]} of the boot harness"}
    return {**about, **{key: value for key, value in made.items() if key not in about}}


def _annotations() -> dict[str, Any]:
    """Return what is said of a container's annotations: ours are a few, all others are free."""
    ours = {key: {"type": "string", "description": f"{one.meaning}: {one.expected}"} for key, one in SETTINGS.items()}
    names = {"anyOf": [{"enum": list(SETTINGS)}, {"not": {"pattern": "^" + PREFIX.replace(".", "\\.")}}]}
    return {"properties": ours, "propertyNames": names}


def text(kind: FileKind) -> str:
    """Return a kind's schema as the file that is shipped has it."""
    return json.dumps(schema(kind), indent=1, ensure_ascii=False) + "\n"


def path(kind: FileKind) -> Path:
    """Return where a kind's schema lies for editors."""
    return FOLDER / f"{kind}.json"


def editor_line(kind: FileKind, yaml: Path | None) -> str:
    """Return the comment by which editors find the schema of the file `yaml`; None stands for a file that has no place.

    The schema is found without a network: by a relative path where one project holds both, in which everybody's copy
    has it in the same place (a checkout of the harness, or a project with its virtual environment), else by its path.
    """
    target = path(kind).resolve()
    if yaml is None:
        return f"{EDITOR}{target}"
    folder = yaml.absolute().parent.resolve()
    project = next((above for above in (folder, *folder.parents) if (above / ".git").exists()), None)
    shared = project is not None and target.is_relative_to(project)
    return f"{EDITOR}{os.path.relpath(target, folder) if shared else target}"


def write_all() -> Iterator[Path]:
    """Write every schema that is shipped, and yield where."""
    FOLDER.mkdir(exist_ok=True)
    for kind in MODELS:
        path(kind).write_text(text(kind), encoding="utf-8")
        yield path(kind)


if __name__ == "__main__":
    for written in write_all():
        print(written)
