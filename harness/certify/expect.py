"""What a verifier expects of evidence, and whether it is so: who signed, which profile, image and machine, how old."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness import paths
from harness.certify import contents, recipe, sources
from harness.certify.contents import EvidenceFiles
from harness.certify.derive import Derived
from harness.certify.keys import PublicKey, public_key, trusted
from harness.certify.recipe import host_files
from harness.certify.speakers import others, shown
from harness.certify.verify import CheckResult
from harness.errors import EvidenceError, UserError
from harness.image import MANIFEST, ForeignImage, Image
from harness.spec import load_machine, machines
from harness.spec.models.image import ImageSpec
from harness.spec.named import image_named
from harness.spec.profile import Profile, load_profile, profiles
from harness.spec.rules.images import is_path, parts_of
from harness.spec.rules.policy import LINE
from harness.spec.rules.profile import case_file
from harness.store import file_digest

DIGEST = re.compile(r"(sha256:)?(?P<digest>[0-9a-f]{64})")
EARLY = timedelta(days=1)  # that a clock may be ahead
PROFILE, CASES, MACHINE = "which profile (--profile)", "the cases", "which machine (--machine)"
SPEAKER = "who said ready (--any-speaker)"
IMAGE = "which image (--image with its digest, or with its YAML and --rebuild)"


@dataclass(frozen=True)
class Expectations:
    """What is expected; None where nothing is. ``max_age`` in days; ``rebuild``: the image is built again as well;
    ``any_speaker``: that others than the image's init could have said `ready` is accepted."""

    keys: tuple[PublicKey, ...] = ()
    profile: str | None = None
    image: str | None = None
    machine: str | None = None
    max_age: int | None = None
    waivers: bool = True
    rebuild: bool = False
    any_speaker: bool = False


def keys_of(texts: tuple[str, ...]) -> tuple[PublicKey, ...]:
    """Return the public keys of some files, or of lines as OpenSSH writes them; UserError when one is none."""
    found: list[PublicKey] = []
    for text in texts:
        if not text.startswith(LINE):
            found += trusted(Path(text))
            continue
        try:
            found.append(public_key(text))
        except ValueError as error:
            raise UserError(f"{text[:60]!r} is not a public key: {error}", hint=f"a line as '{LINE}AAAA…'") from None
    return tuple(found)


def look_up(wanted: Expectations) -> None:
    """Read what is expected: a mistake in it is told before any evidence is looked at. UserError: there is one."""
    if wanted.profile is not None:
        load_profile(wanted.profile)
    if wanted.machine is not None:
        load_machine(wanted.machine)
    if wanted.image is not None and _names_files(wanted.image) and Path(wanted.image).name != MANIFEST:
        image_named(wanted.image)


def check(made: Derived, files: EvidenceFiles, wanted: Expectations, now: datetime) -> Iterator[CheckResult]:
    """Yield whether each expectation is met; EvidenceError names the first that is not.

    Where nothing is expected, it is said what the evidence is about, and whether that is the harness's own.
    """
    yield _profile(made, wanted.profile)
    yield _cases(made, files, wanted.profile)
    yield _image(made, files, wanted)
    yield _machine(made, wanted.machine)
    yield from _speakers(made, wanted)
    yield from _age(made, wanted.max_age, now)
    if not wanted.waivers:
        waived = [row.id for row in made.certificate.requirements if row.verdict == "waived"]
        if waived:
            raise EvidenceError(f"it rests on waivers: {', '.join(waived)}", hint="you accept none (--no-waivers)")
        yield CheckResult("checked", "the waivers: there is none")


def _label(profile: Profile) -> str:
    return f"{profile.name} {profile.version} ({profile.digest[:12]})"


def _profile(made: Derived, wanted: str | None) -> CheckResult:
    found = made.sources.profile
    if wanted is not None:
        own = load_profile(wanted)
        if own.digest != found.digest:
            raise EvidenceError(f"it was judged by the profile {_label(found)}, and you expect {_label(own)}")
        return CheckResult("checked", f"the profile {_label(found)}: it is the one that you expect")
    if not _is_own(found):
        text = f"the profile {_label(found)} is none of this harness's: read it in the archive"
        return CheckResult("not checked", text, PROFILE)
    return CheckResult(
        "not checked", f"the profile {_label(found)} is this harness's own, and you have not said which you expect",
        PROFILE,
    )  # fmt: skip


def _is_own(found: Profile) -> bool:
    """Say whether a profile is one of the harness's, looked up by its name among those alone."""
    return found.name in profiles() and load_profile(profiles()[found.name]).digest == found.digest


def _cases(made: Derived, files: EvidenceFiles, wanted: str | None) -> CheckResult:
    profile = load_profile(wanted) if wanted else None
    beside: dict[str, Path] = {}
    if profile:
        for one in profile.requirements:
            yaml = profile.written[one.id]
            beside |= {sources.case_name(case): case_file(case.partition("::")[0], yaml) for case in one.cases}
    differ = []
    names = files.below(contents.CASES)
    for name in names:
        own = beside.get(name) or paths.CASES / name.removeprefix(f"{contents.CASES}/")
        if name == f"{contents.OWN_CASES}/conftest.py" and profile:
            own = profile.files[0].parent / "conftest.py"
        if not own.is_file() or file_digest(own) != files.members[name].sha256:
            differ.append(name)
    if differ:
        whose = "yours" if profile else "this harness's"
        return CheckResult("not checked", f"cases that are not {whose}: {', '.join(differ)}", CASES)
    return CheckResult("checked", f"the cases: all {len(names)} files are this harness's own or beside your profile")


def _image(made: Derived, files: EvidenceFiles, wanted: Expectations) -> CheckResult:
    found, text = made.certificate.image, wanted.image
    about = f"the image {found.name} ({found.digest[:12]})"
    if text is None:
        return CheckResult("not checked", f"{about}: you have not said which you expect", IMAGE)
    if match := DIGEST.fullmatch(text):
        return _same(about, found.digest, match["digest"], "digest")
    path = Path(text)
    if path.name == MANIFEST:
        return _same(about, found.digest, file_digest(_manifest(path.parent)), "built image")
    if _names_files(text):
        return _of_file(made, files, text, rebuild=wanted.rebuild)
    if text != found.name:
        raise EvidenceError(f"{about} is not {text}, which you expect")
    return CheckResult("not checked", f"{about}: it has the name that you expect, which any image may have", IMAGE)


def _names_files(text: str) -> bool:
    """Say whether an image is expected by its files or its built folder, not by a digest or a mere name."""
    return Path(text).is_dir() or any(map(is_path, parts_of(text)))


def _of_file(made: Derived, files: EvidenceFiles, wanted: str, *, rebuild: bool) -> CheckResult:
    """Compare with a built folder, an OS's YAML and its files, or an image's YAML, which only a rebuild compares."""
    found = made.certificate.image
    about = f"the image {found.name} ({found.digest[:12]})"
    named = image_named(wanted)
    if named.kind == "built":
        return _same(about, found.digest, file_digest(_manifest(named.paths[0])), "built image")
    if named.kind == "os":
        own = ForeignImage(named.load_os())
        _same_name(about, found.name, own.name)
        _same(about, found.spec, own.spec_digest, "YAML")
        for part, path in own.evidence.items():
            _same(about, found.files[f"{contents.IMAGE}/{part}"].sha256, file_digest(path), part)
        return CheckResult("checked", f"{about}: it is of the YAML and the files that you expect")
    read = [named.load_image(library=library) for library in (False, True)]
    _same_name(about, found.name, read[0].name)
    digests = [spec.digest for spec in read]
    _same(about, found.spec, found.spec if found.spec in digests else digests[0], "YAML")
    _same_sources(about, files, read[0])
    if rebuild:
        return CheckResult("checked", f"{about}: it is of the YAML that you expect, as far as the rebuild shows")
    text = f"{about}: it says that it is of the YAML that you expect, which only --rebuild shows"
    return CheckResult("not checked", text, IMAGE)


def _same_sources(about: str, files: EvidenceFiles, spec: ImageSpec) -> None:
    """Compare the files that a YAML takes, as the archive has them, with those beside the one that is expected."""
    if contents.REBUILD not in files.members:
        return  # of what cannot be built again
    theirs = recipe.read(files).sources
    for source, own in host_files(spec).items():
        name = theirs.get(source, "")
        if name not in files.members or file_digest(own) != files.members[name].sha256:
            raise EvidenceError(f"{about} takes another {source} than your YAML does: {own}")


def _same_name(about: str, found: str, wanted: str) -> None:
    if wanted != found:
        raise EvidenceError(f"{about} is not {wanted}, which you expect")


def _manifest(folder: Path) -> Path:
    _ = Image(folder).manifest  # UserError when it is none
    return folder / MANIFEST


def _same(about: str, found: str, wanted: str, what: str) -> CheckResult:
    if found != wanted:
        raise EvidenceError(
            f"{about} is not the one that you expect", details=f"{what} expected: {wanted}\n{what} of it:   {found}"
        )
    return CheckResult("checked", f"{about}: it is of the {what} that you expect")


def _machine(made: Derived, wanted: str | None) -> CheckResult:
    found = made.certificate.machine
    if wanted is not None:
        own = load_machine(wanted)
        if own.digest != found.digest:
            raise EvidenceError(f"it was judged on another machine {found.name} than {own.name}, which you expect")
        return CheckResult("checked", f"the machine {found.name}: it is the one that you expect")
    known = machines()
    if found.name in known and file_digest(known[found.name]) == found.digest:
        return CheckResult("checked", f"the machine {found.name}: it is this harness's own")
    text = f"the machine {found.name} is none of this harness's: read it in the archive"
    return CheckResult("not checked", text, MACHINE)


def _speakers(made: Derived, wanted: Expectations) -> Iterator[CheckResult]:
    """Yield who else could have said `ready`, of an image whose exact time is told; nothing where nobody could."""
    found = others(made.sources.image.manifest) if made.exact else []
    if found and wanted.any_speaker:
        yield CheckResult("checked", f"who said ready: you accept that these could have: {shown(found)}")
    elif found:
        yield CheckResult("not checked", f"who said ready: {shown(found)} could have in the init's place", SPEAKER)


def _age(made: Derived, most: int | None, now: datetime) -> Iterator[CheckResult]:
    try:
        when = datetime.strptime(made.certificate.when, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise EvidenceError(f"it says that it was made at {made.certificate.when}, which is not a time") from None
    if when > now + EARLY:
        raise EvidenceError(f"it says that it was made on {made.certificate.when}, which is yet to come")
    if most is None:
        return
    days = (now - when) / timedelta(days=1)
    if days > most:
        raise EvidenceError(f"it was made on {made.certificate.when}, {days:.0f} days ago; you accept {most}")
    yield CheckResult("checked", f"its age: it says that it was made on {made.certificate.when}")
