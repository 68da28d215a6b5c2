"""`harness build`: images for some architectures, kept in the cache and, when asked, copied to a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.arch import parse_list
from harness.build import outputs
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.commands.images.folders import placed
from harness.commands.specs import private_part, read_image
from harness.errors import HostError, UserError
from harness.image import Image
from harness.show.frame import progress
from harness.store import damage_of


def build(
    images: Sequence[str],
    arches: str,
    settings: Settings,
    *,
    formats: Sequence[str] = (),
    verity: bool = False,
    output: Path | None = None,
    explain_size: bool = False,
    as_json: bool = False,
) -> int:
    """Build the image that `images` (merged in order) describe for each of `arches`, and print where it lies.

    In each of `formats`, the settings' own when there are none; an architecture that has not one of them is named.
    With `verity` the root is verified.
    """
    if output is not None and output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file", hint="-o names a folder: the images go to FOLDER/NAME-ARCH")
    spec, wanted = read_image(images, settings), parse_list(arches)
    built: list[Image] = []
    for name in dict.fromkeys(outputs.called(one, verity=verity) for one in formats or (settings.format,)):
        builder = Builder(replace(settings, format=name), progress=progress)
        have = [arch for arch in wanted if outputs.exists(name, arch)]
        if not have:
            raise UserError(f"there is no {name} for {', '.join(one.name for one in wanted)}")
        if lack := [arch.name for arch in wanted if arch not in have]:
            progress(f"there is no {name} for {', '.join(lack)}")
        built += builder.build_all(spec, have, read=output is not None)
    if output is not None:
        private = private_part(spec)
        built = [_copy(image, output, private=bool(private)) for image in built]
        if private:
            progress(f"{output}: the images are for you alone (0700): they hold {private}")
    if as_json:
        print(json.dumps([row(image) for image in built], indent=1))
        return 0
    for image in built:
        kind = f"  {image.manifest['format']}" if formats else ""
        print(f"{image.name} {image.arch.name:7} {image.size / 1e6:6.1f} MB{kind}  {image.folder}")
    if explain_size:
        from harness.build.explain import lines

        for image in built:
            print("", *lines(image.manifest, shutil.get_terminal_size().columns), sep="\n")
    return 0


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
