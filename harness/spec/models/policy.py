"""What a verifier expects of evidence."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from harness.spec.models.base import Model, Strings


class Policy(Model):
    """A verifier's policy."""

    given = ("name", "path", "digest")

    name: str
    path: Path
    digest: str
    signed_by: Strings = Field(
        (), description="whom you trust: public keys as OpenSSH writes them (`ssh-ed25519 AAAA…`), or files of them"
    )
    profile: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="the profile you expect: one of the harness's by name, or a path from here"
    )
    image: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="the image you expect: its digest, its YAML or built folder (a path from here), or its name"
    )
    machine: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="the machine you expect: one of the harness's by name, or a path from here"
    )
    max_age: Annotated[int, Field(ge=1)] | None = Field(None, description="how many days old evidence may be")
    waivers: bool = Field(True, description="whether evidence may rest on waivers")
    rebuild: bool = Field(False, description="whether the image has to be built again from its YAML and lock")
    any_speaker: bool = Field(
        False,
        description="whether others than the image's init may have said `ready`: containers that may act as it does",
    )
