"""`harness build`: images for some architectures, kept in the cache and, when asked, copied to a folder."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.arch import Arch, parse_list
from harness.build import outputs
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.commands.images.brought import brought
from harness.commands.images.folders import placed
from harness.commands.specs import private_part, read_image
from harness.errors import HostError, UserError
from harness.image import Image
from harness.show.frame import progress
from harness.spec.merge import merged
from harness.spec.models.image import ImageSpec
from harness.store import damage_of
from harness.text import one_line

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # it becomes a folder's, with the architecture after it


@dataclass(frozen=True)
class BuildRequest:
    """What to build, and what to say of it. ``formats``: the settings' own when there are none, with ``verity`` with a
    verified root; ``name``: what the image is called in place of the first YAML's name."""

    arches: str = "all"
    formats: Sequence[str] = ()
    verity: bool = False
    output: Path | None = None
    name: str | None = None
    dry_run: bool = False
    explain_size: bool = False
    as_json: bool = False


def build(images: Sequence[str], settings: Settings, request: BuildRequest) -> int:
    """Build the image that `images` (merged in order) describe for each architecture, and print where it lies.

    An architecture that has not one of the formats is named. A dry run prints what the files make together.
    """
    if request.output is not None and request.output.exists() and not request.output.is_dir():
        raise UserError(f"{request.output} is a file", hint="-o names a folder: the images go to FOLDER/NAME-ARCH")
    wanted = parse_list(request.arches)
    with brought(images) as names:
        spec = read_image(names, settings)
        if request.name is not None:
            spec = spec.model_copy(update={"name": _called(request.name)})
        if request.dry_run:
            print(merged(spec), end="")
            return 0
        built = _built(spec, wanted, settings, request)
    if request.as_json:
        print(json.dumps([row(image) for image in built], indent=1))
        return 0
    for image in built:
        kind = f"  {image.manifest['format']}" if request.formats else ""
        print(f"{image.name} {image.arch.name:7} {image.size / 1e6:6.1f} MB{kind}  {image.folder}")
    if request.explain_size:
        from harness.build.explain import lines

        for image in built:
            print("", *lines(image.manifest, shutil.get_terminal_size().columns), sep="\n")
    return 0


def _called(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UserError(f"--name {one_line(name, 100)!r}: no name of an image",
                        hint="letters, digits, and `.`, `_`, `-` after the first, 100 at most")  # fmt: skip
    return name


def _built(spec: ImageSpec, wanted: Sequence[Arch], settings: Settings, request: BuildRequest) -> list[Image]:
    built: list[Image] = []
    formats = request.formats or (settings.format,)
    for name in dict.fromkeys(outputs.called(one, verity=request.verity) for one in formats):
        builder = Builder(replace(settings, format=name), progress=progress)
        have = [arch for arch in wanted if outputs.exists(name, arch)]
        if not have:
            raise UserError(f"there is no {name} for {', '.join(one.name for one in wanted)}")
        if lack := [arch.name for arch in wanted if arch not in have]:
            progress(f"there is no {name} for {', '.join(lack)}")
        built += builder.build_all(spec, have, read=request.output is not None)
    if request.output is not None:
        private = private_part(spec)
        built = [_copy(image, request.output, private=bool(private)) for image in built]
        if private:
            progress(f"{request.output}: the images are for you alone (0700): they hold {private}")
    return built


def _copied(source: Path, target: Path, *, private: bool) -> None:
    """Copy a folder and what is in it, for anybody's eyes within the umask, or for this user's alone."""
    target.mkdir(mode=0o700 if private else 0o777)
    for path in source.iterdir():
        if path.is_dir():
            _copied(path, target / path.name, private=private)
        else:
            (target / path.name).touch(0o600 if private else 0o666)
            shutil.copyfile(path, target / path.name)


def row(image: Image) -> dict[str, object]:
    """Return what a program wants to know of a built image."""
    return {"name": image.name, "arch": image.arch.name, "size": image.size, "folder": str(image.folder),
            "format": image.manifest["format"], "cmdline": image.cmdline,
            **{part: str(path) for part, path in image.parts.shipped.items()}}  # fmt: skip


def _copy(image: Image, output: Path, *, private: bool) -> Image:
    """Copy the image to OUTPUT/NAME-ARCH by one rename, replacing what an earlier build left there."""

    def fill(scratch: Path) -> Image:
        _copied(image.folder, scratch, private=private)
        if wrong := damage_of(scratch):
            # it looked as it should, and does not read so
            raise HostError(f"{image.folder} is damaged: {wrong}", hint="`harness cache verify`, then build again")
        return image

    return placed(output, fill)
