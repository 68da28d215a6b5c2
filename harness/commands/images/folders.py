"""A folder with an image's files, made whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from harness.build.settings import Settings
from harness.errors import UserError
from harness.hostfaults import explained
from harness.image import MANIFEST, Image
from harness.text import of_error


def folder_of(image: Image) -> str:
    """Return what an image's folder is called: in another format than the usual with that, so that several lie side
    by side."""
    kind = image.manifest["format"]
    return "-".join([image.name, image.arch.name, *([] if kind == Settings.format else [kind])])


def placed(out: Path, fill: Callable[[Path], Image]) -> Image:
    """Let `fill` make a folder, and give it the name of the image that it returns, by one rename.

    Returns the image there. What was of that name before goes if it is an image. UserError where it is not, or where
    `out` cannot be written.
    """
    scratch = out / f".image.{os.getpid()}"
    final = out
    try:
        out.mkdir(parents=True, exist_ok=True)
        with explained(out):
            final = out / folder_of(fill(scratch))
        if final.exists():
            if not (final / MANIFEST).is_file():
                raise UserError(f"{final} is there, and is no image", hint="-o names another folder")
            shutil.rmtree(final)
        scratch.rename(final)
    except (OSError, shutil.Error) as error:
        raise UserError(f"cannot write the image to {final}: {of_error(error)}",
                        hint="-o names a folder that you may write") from error  # fmt: skip
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Image(final)
