"""Where packages come from: the host's own apt sources, or a mirror setting, as one deb822 text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import HostError, UserError
from harness.text import of_error

APT = Path("/etc/apt")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# Suites that Debian names; a host on one of them serves any other from the same mirror.
DEBIAN_SUITES = frozenset(
    {"stable", "oldstable", "oldoldstable", "testing", "unstable", "sid"}
    | {"bullseye", "bookworm", "trixie", "forky", "duke"}
)
ROLLING = frozenset({"sid", "unstable", "experimental"})  # these have no -updates and no -security
SECURITY = ("-security", "/updates")
SUFFIXES = ("-updates", *SECURITY)
# The options that say how an index is trusted or how old it may be; all others of the host are not ours to copy.
OPTIONS = ("Check-Valid-Until", "Check-Date", "Valid-Until-Max", "By-Hash")


@dataclass(frozen=True)
class PackageSource:
    """One repository: where, which suites and components, and the key (a path, or an inline block) it is signed by."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...] = ("main",)
    signed_by: str = ""
    options: tuple[tuple[str, str], ...] = ()

    def stanza(self) -> str:
        """Return the deb822 paragraph."""
        fields = [("Types", "deb"), ("URIs", " ".join(self.uris)), ("Suites", " ".join(self.suites))]
        fields.append(("Components", " ".join(self.components)))
        if self.signed_by:
            fields.append(("Signed-By", self.signed_by))
        return "".join(f"{name}: {value}\n" for name, value in (*fields, *self.options))


def text_of(sources: Iterable[PackageSource]) -> str:
    """Return the deb822 text of `sources`: apt's input, and part of what a resolution depends on."""
    return "\n".join(source.stanza() for source in sources)


def from_mirror(setting: str, suite: str, keyring: Path | None = None) -> tuple[PackageSource, ...]:
    """Turn a mirror setting into sources: ``URL SUITE…``, several parted by commas, signed by `keyring`.

    Without a keyring the key is Debian's own. Without suites, a URL that ends in ``-security`` serves
    ``suite-security``, any other ``suite``. Expired indexes are accepted, since a snapshot's are expired by nature.
    Raises UserError when it names no URL or the keyring is not there.
    """
    if keyring and not keyring.is_file():
        raise UserError(f"there is no keyring {keyring}", hint="a file of OpenPGP keys, .gpg or .asc")
    if keyring and re.search(r"\s", str(keyring.absolute())):
        raise UserError(f"the keyring's path has a blank in it: {keyring.absolute()}", hint="apt takes none: move it")
    key = str(keyring.absolute()) if keyring else str(KEYRING) if KEYRING.is_file() else ""
    found = []
    for part in filter(str.strip, setting.split(",")):
        uri, *suites = part.split()
        if not re.match(r"[a-z+]+:/", uri):
            raise UserError(f"the mirror setting {uri!r} is not a URL", hint="such as https://mirror.example/debian")
        default = f"{suite}-security" if uri.rstrip("/").endswith("-security") else suite
        found.append(
            PackageSource(
                uris=(uri,),
                suites=tuple(suites) or (default,),
                signed_by=key,
                options=(("Check-Valid-Until", "no"),),
            )
        )
    if not found:
        raise UserError("the mirror setting is empty", hint="such as https://mirror.example/debian")
    return tuple(found)


def from_host(suite: str, etc: Path = APT) -> tuple[PackageSource, ...]:
    """Return the host's sources for `suite` with its updates and security suites, component main only.

    A Debian host on another suite lends its mirrors to `suite`. Raises HostError when no source fits.
    """
    offered = tuple(read_host(etc))
    family = {suite, *(suite + suffix for suffix in SUFFIXES)}
    fitting = [_narrow(source, {name: name for name in source.suites if name in family}) for source in offered]
    if not any(fitting):
        fitting = [_narrow(source, _moved(source, suite)) for source in offered]
    found = tuple(source for source in fitting if source is not None)
    if not found:
        raise HostError(
            f"the host's apt sources have nothing for the suite {suite}",
            details=f"looked in {etc}/sources.list and {etc}/sources.list.d",
            hint="name a Debian mirror in the mirror setting",
        )
    return found


def _moved(source: PackageSource, suite: str) -> dict[str, str]:
    moved = {}
    for name in source.suites:
        ending = next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")
        if name.removesuffix(ending) in DEBIAN_SUITES and not (ending and suite in ROLLING):
            moved[name] = suite + ending
    return moved


def _narrow(source: PackageSource, suites: dict[str, str]) -> PackageSource | None:
    if not suites or "main" not in source.components:
        return None
    return replace(source, suites=tuple(dict.fromkeys(suites.values())), components=("main",))


def read_host(etc: Path = APT) -> Iterator[PackageSource]:
    """Yield every enabled binary source under `etc`, of both formats, in apt's order."""
    parts = sorted((etc / "sources.list.d").glob("*")) if (etc / "sources.list.d").is_dir() else []
    for path in (etc / "sources.list", *parts):
        reader = {".list": _read_lines, ".sources": _read_stanzas}.get(path.suffix)
        if reader is None or not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise HostError(
                f"cannot read the host's apt sources: {of_error(error)}", hint="or set the mirror setting"
            ) from error
        yield from reader(text)


def _read_lines(text: str) -> Iterator[PackageSource]:
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<rest>[^#]+)", line)
        words = match["rest"].split() if match else []
        if match is None or len(words) < 3:
            continue
        options = dict(pair.split("=", 1) for pair in shlex.split(match["options"] or "") if "=" in pair)
        known = {name.lower(): name for name in OPTIONS}
        yield PackageSource(
            uris=(words[0],),
            suites=(words[1],),
            components=tuple(words[2:]),
            signed_by=options.get("signed-by", "").replace(",", " "),
            options=tuple((known[key], value) for key, value in options.items() if key in known),
        )


def _read_stanzas(text: str) -> Iterator[PackageSource]:
    for fields in stanzas(text):
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").strip().lower() == "no":
            continue
        yield PackageSource(
            uris=tuple(fields.get("uris", "").split()),
            suites=tuple(fields.get("suites", "").split()),
            components=tuple(fields.get("components", "").split()),
            signed_by=fields.get("signed-by", ""),
            options=tuple((name, fields[name.lower()]) for name in OPTIONS if name.lower() in fields),
        )


def stanzas(text: str) -> Iterator[dict[str, str]]:
    """Yield the paragraphs of deb822 `text`: lower-case field names, continuation lines kept as they are."""
    fields: dict[str, list[str]] = {}  # the lines of each: a stranger's may have millions
    last = ""
    for line in (*text.splitlines(), ""):
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields:
                yield {name: "\n".join(lines) for name, lines in fields.items()}
            fields, last = {}, ""
        elif line[0] in " \t" and last:
            fields[last].append(line)
        else:
            name, _, value = line.partition(":")
            last = name.strip().lower()
            fields[last] = [value.strip()]


def base_uris(sources: Sequence[PackageSource]) -> tuple[str, ...]:
    """Return the bases below which a package's pool path may lie, in order, without repeats."""
    return tuple(dict.fromkeys(uri.rstrip("/") for source in sources for uri in source.uris))
