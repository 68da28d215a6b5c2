"""What all models have in common. Annotations are evaluated as code here, as in model.py."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Strings = tuple[str, ...]
NonEmptyText = Annotated[str, Field(min_length=1)]
LoosePath = Annotated[Path, Field(strict=False)]  # text in the YAML
Limit = Annotated[float, Field(gt=0, allow_inf_nan=False)]
SHIPPED = ("kernel", "initrd", "disk", "iso")  # the files that an image may be, by part


class Model(BaseModel):
    """A frozen mapping that refuses keys it does not know; built when first used, for imports must be quick."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, strict=True, defer_build=True)


class Login(Model):
    """How to get a root shell on the console."""

    user: str = "root"
    password: str | None = None
    password_env: str | None = None
    prompt: NonEmptyText = "login: "
    password_prompt: NonEmptyText = "assword: "
    shell: NonEmptyText = "# "
