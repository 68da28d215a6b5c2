"""What an ELF file needs to run."""

from __future__ import annotations

import io
from dataclasses import dataclass

from harness.errors import HostError

MAGIC = b"\x7fELF"


@dataclass(frozen=True)
class Needs:
    """Sonames, further folders to look for them in, the loader's path, and the machine as pyelftools spells it."""

    needed: tuple[str, ...]
    folders: tuple[str, ...]
    loader: str
    machine: str


def needs(data: bytes, path: str) -> Needs:
    """Read an ELF file's needs; empty for a static one. HostError when it cannot be read as ELF."""
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.dynamic import DynamicSegment
    from elftools.elf.elffile import ELFFile
    from elftools.elf.segments import InterpSegment

    needed: list[str] = []
    folders: list[str] = []
    loader = ""
    try:
        elf = ELFFile(io.BytesIO(data))
        for segment in elf.iter_segments():
            if isinstance(segment, InterpSegment):
                loader = segment.get_interp_name()
            elif isinstance(segment, DynamicSegment):
                for tag in segment.iter_tags():
                    if tag.entry.d_tag == "DT_NEEDED":
                        needed.append(str(vars(tag)["needed"]))
                    elif tag.entry.d_tag in ("DT_RPATH", "DT_RUNPATH"):
                        folders += str(vars(tag)[tag.entry.d_tag[3:].lower()]).split(":")
        return Needs(tuple(needed), tuple(folders), loader, str(elf["e_machine"]))
    except (ELFError, ConstructError, ValueError, LookupError, AttributeError, OverflowError) as error:
        raise HostError(f"/{path} is a damaged ELF file: {error}") from error
