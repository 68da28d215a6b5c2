"""What all models have in common.

Annotations are evaluated as code in this folder, not from text as elsewhere: pydantic would compile each of 200, 30 ms
in all.
"""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from harness.spec.models.forms import VariableName

Strings = tuple[str, ...]
NonEmptyText = Annotated[str, Field(min_length=1)]
LoosePath = Annotated[Path, Field(strict=False)]  # text in the YAML
Limit = Annotated[float, Field(gt=0, allow_inf_nan=False)]
IMAGE_REFERENCE = "a component's name (no `/`, `:` or `@`), `@pkg:FOLDER` of a local one, or an OCI image"
SHIPPED = ("kernel", "initrd", "disk", "iso")  # the files that an image may be, by part


class Model(BaseModel):
    """A frozen mapping that refuses keys it does not know; built when first used, for imports must be quick."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, strict=True, defer_build=True)

    given: ClassVar[tuple[str, ...]] = ()  # fields that the loader gives, and no file may hold
    filled: ClassVar[tuple[str, ...]] = ()  # fields that the loader fills in where the file has none
    one_of: ClassVar[tuple[str, ...]] = ()  # fields of which a file has exactly one; `false` does not count


class Login(Model):
    """How to get a root shell on the console."""

    user: str = Field("root", description="who logs in")
    password: str | None = Field(None, description="the password; without one none is awaited")
    password_env: VariableName | None = Field(
        None, description="the environment's variable that holds the password, in its place"
    )
    prompt: NonEmptyText = Field("login: ", description="the end of what asks for the user, as it is")
    password_prompt: NonEmptyText = Field("assword: ", description="the end of what asks for the password")
    shell: NonEmptyText = Field("# ", description="the end of the shell's prompt")
