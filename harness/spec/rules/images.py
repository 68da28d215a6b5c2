"""What an image's name stands for, up to files: the words of the grammar, and what is said of a wrong one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, takewhile
from pathlib import Path

from harness import paths
from harness.errors import UserError
from harness.files import is_there, read_json
from harness.spec.rules.references import machines
from harness.spec.text.complaints import nearest
from harness.text import LONGEST_LINE, of_error

MANIFEST = "manifest.json"  # what makes a folder a built image
BOOTED = "image.json"  # what a boot leaves beside its record: which image it was
YAML = (".yml", ".yaml")
PARTS = "+"  # between files that are merged
LARGEST = 64 << 10  # bytes of BOOTED
LONGEST_PATH = 4096  # bytes that Linux takes
Fits = Callable[[Path], bool]  # whether what is there may be an image
EXPECTED = "a YAML (A.yml, A.yml+B.yml), a built folder, one that harness boot -o has left, or a shipped image's name"


def shipped() -> dict[str, Path]:
    """Return the images that ship with the harness: their YAML files by name."""
    return {path.stem: path for path in sorted((paths.CASES / "images").glob("*.yml"))}


def is_path(text: str) -> bool:
    """Say whether a word is a path rather than a name."""
    return "/" in text or text.endswith(YAML)


def parts_of(text: str, folder: Path = Path()) -> Iterator[str]:
    """Yield the names that `text` merges, seen from `folder`: each as long as one that is there, for a path may have
    the sign between them in it (``/home/me/c++/A.yml``)."""
    words = text.split(PARTS)
    while words:
        count = _length_of_first(words, folder)
        yield PARTS.join(words[:count])
        words = words[count:]


def _length_of_first(words: Sequence[str], folder: Path) -> int:
    """Return how many words are the first name; of one that is not there, those of a file in a folder that is."""
    longer = accumulate(words, lambda name, word: f"{name}{PARTS}{word}")
    names = list(enumerate(takewhile(lambda name: len(name) <= LONGEST_PATH, longer), 1))
    there = [count for count, name in names if name and is_there(folder / name)]
    if there:
        return there[-1]
    misspelt = (
        count for count, name in names if "/" in name and name.endswith(YAML) and is_there((folder / name).parent)
    )
    return next(misspelt, 1)


def files_of(name: str | Sequence[str], folder: Path = Path(), fits: Fits = is_there) -> tuple[Path, ...]:
    """Return the YAML files, or the one built folder, that `name` names, seen from `folder`; UserError for none.

    Several words are files that are merged, each of the same grammar. What is offered in the place of a wrong name
    `fits`.
    """
    words = [name] if isinstance(name, str) else name or [""]
    try:
        found = tuple(_located(part, folder, fits) for word in words for part in parts_of(word, folder))
    except OSError as error:  # a name that is too long, a folder that this user may not look into
        text = PARTS.join(words)[:LONGEST_LINE]
        raise UserError(f"there is no image {text!r}: {error.strerror}", hint=EXPECTED) from None
    if len(found) > 1 and (built := next((path for path in found if path.is_dir()), None)):
        raise UserError(f"{built} is a folder: only YAML files are merged", hint=EXPECTED)
    return found


def _located(word: str, folder: Path, fits: Fits) -> Path:
    path = folder / word
    if not word:
        raise UserError("the name of an image is empty", hint=EXPECTED)
    if path.is_dir():
        return _built(path)
    if path.is_file() or (path.is_symlink() and not path.exists()):
        return path
    if path.exists():
        raise UserError(f"{path} is not a regular file", hint="an image's YAML is read more than once: write it to one")
    if not is_path(word) and word in shipped():
        return shipped()[word]
    if word in machines():
        raise UserError(f"there is no image {word!r}: it is a machine", hint=f"give it with -m, after {EXPECTED}")
    near = _near(word, folder, fits)
    raise UserError(f"there is no image {word!r}", hint=f"did you mean {near}?" if near else EXPECTED)


def _near(word: str, folder: Path, fits: Fits) -> str:
    place, _, name = word.rpartition("/")
    try:
        there = [path for path in (folder / place).iterdir() if path.suffix in YAML or _is_image(path)]
    except OSError:
        there = []
    files = {path.name: f"{place}/{path.name}" if place else path.name for path in there}
    names = {path.stem: files[path.name] for path in there if path.suffix in YAML}
    known = {**({} if place else {one: one for one in shipped()}), **files, **names}
    while near := nearest(name, known):
        path = known.pop(near)
        if path in shipped() or fits(folder / path):
            return path
    return ""


def _is_image(folder: Path) -> bool:
    return (folder / MANIFEST).is_file() or (folder / BOOTED).is_file()


def _built(folder: Path) -> Path:
    """Return a built folder, the one that a boot's folder tells of; UserError when it is neither."""
    if (folder / MANIFEST).is_file():
        return folder
    if (folder / BOOTED).is_file():
        return _booted(folder / BOOTED)
    if (folder / paths.RESULTS).is_file():
        raise UserError(f"{folder} holds the results of a run, not an image", hint=EXPECTED)
    inside = sorted(path.name for path in folder.iterdir() if (path / MANIFEST).is_file() or path.suffix in YAML)[:6]
    hint = f"it has {', '.join(inside)}" if inside else EXPECTED
    raise UserError(f"{folder} is not a built image: it has no {MANIFEST}", hint=hint)


def _booted(file: Path) -> Path:
    try:
        path = Path(read_json(file, limit=LARGEST)["image"])
    except (UserError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"{file} does not say which image was booted: {of_error(error)}", hint=EXPECTED) from None
    if not (path / MANIFEST).is_file() and not path.is_file():
        raise UserError(f"the image that was booted there, {path}, has gone", hint="name its YAML: it is built again")
    return path
