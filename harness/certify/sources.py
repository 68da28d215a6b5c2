"""What persons wrote, as an archive holds it: the machine, the profile, the waivers, and the image's YAML and manifest.

Nothing beside the archive is read: what a stranger's YAML names on this host stays untouched.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from harness.certify import contents
from harness.certify.contents import EvidenceFiles
from harness.certify.declared import agree
from harness.certify.manifest import MANIFEST_FACTS, ManifestFacts, strange_boot
from harness.errors import EvidenceError, HarnessError, UserError
from harness.image import MANIFEST, ROOT_IN_INITRD, ForeignImage, Image
from harness.run.inputs import SIZE_BUDGET
from harness.spec.foreign import describes_os
from harness.spec.load import check_machine
from harness.spec.models.base import SHIPPED
from harness.spec.models.foreign import OsSpec
from harness.spec.models.machine import MachineSpec
from harness.spec.models.plan import Budget
from harness.spec.models.profile import ProfileSpec, Waiver
from harness.spec.profile import Profile, check_profile, check_waivers, whole
from harness.spec.rules.foreign import foreign
from harness.spec.rules.profile import OWN, parts_of
from harness.spec.text.complaints import Complaint
from harness.spec.text.reader import Document, mapping_of, read
from harness.spec.text.shape import check
from harness.store import digest_of
from harness.tree import cpio

INITRD = "initrd"
_NUMBERED = re.compile(r"\d+-(.*)")


@dataclass(frozen=True)
class Sources:
    """All of it, read. ``spec`` is the digest of the image's YAML, ``yamls`` the names of its files without numbers."""

    machine: MachineSpec
    profile: Profile
    waivers: tuple[Waiver, ...]
    image: Image | ForeignImage
    spec: str
    yamls: tuple[str, ...]

    @property
    def budget(self) -> Budget:
        """What the profile allows on the machine: of the size what a plan would allow, unless it says otherwise."""
        said = self.profile.limits(self.machine.name, self.machine.arch)
        return said if said.size is not None else said.model_copy(update={"size": SIZE_BUDGET})


def read_all(files: EvidenceFiles) -> Sources:
    """Read what persons wrote; EvidenceError: it is wrong, or does not belong together."""
    try:
        machine, profile = _machine(files), _profile(files)
        image, digest, yamls = _image(files)
        if image.arch.name != machine.arch:
            raise EvidenceError(f"the image {image.name} is for {image.arch.name}, and its machine is {machine.arch}")
        return Sources(machine, profile, _waivers(files, profile), image, digest, yamls)
    except UserError as error:
        raise EvidenceError(f"the evidence holds what is wrong: {error.message}", details=error.details) from None


def _refuse(name: str, complaints: Iterable[Complaint]) -> EvidenceError:
    return EvidenceError(f"{name} is wrong", details="\n".join(map(str, complaints))[:4000])


def _read(files: EvidenceFiles, name: str) -> Document:
    try:
        return read(files.path(name))
    except HarnessError as error:
        raise EvidenceError(f"{name} cannot be read as YAML", details=str(error)[:4000]) from None


def _plain_name(name: str) -> str:
    match = _NUMBERED.fullmatch(name.rpartition("/")[2])
    return match[1] if match else ""


def _machine(files: EvidenceFiles) -> MachineSpec:
    names = files.below(contents.MACHINE)
    if len(names) != 1:
        raise EvidenceError(f"the archive has {len(names)} machines; one is judged")
    made, complaints = check_machine(_read(files, names[0]))
    if made is None:
        raise _refuse(names[0], complaints)
    return made


def _profile(files: EvidenceFiles) -> Profile:
    chain: list[ProfileSpec] = []
    names = files.below(contents.PROFILE)
    for name in names:
        own = Path(_plain_name(name)).stem
        if chain and Path(chain[-1].extends).stem != own:
            raise EvidenceError(f"{name} is not what {chain[-1].name} extends")
        made, complaints = check_profile(_read(files, name), name=own, with_cases=False)
        if made is None:
            raise _refuse(name, complaints)
        chain.append(made)
    if not chain or chain[-1].extends:
        raise EvidenceError("the archive does not hold the whole profile")
    profile = whole(chain)
    missing = [case for one in profile.requirements for case in one.cases if case_name(case) not in files.members]
    if missing:
        raise EvidenceError(f"the archive has no file of the case {missing[0]}")
    return profile


def case_name(case: str) -> str:
    """Return the name in an archive of the file that a profile's case is in."""
    file, _ = parts_of(case)
    return f"{contents.OWN_CASES}/{Path(file).name}" if file.startswith(OWN) else f"{contents.CASES}/{file}"


def _waivers(files: EvidenceFiles, profile: Profile) -> tuple[Waiver, ...]:
    if contents.WAIVERS not in files.members:
        return ()
    made, complaints = check_waivers(_read(files, contents.WAIVERS), [one.id for one in profile.requirements])
    if made is None:
        raise _refuse(contents.WAIVERS, complaints)
    return made.waivers


def _image(files: EvidenceFiles) -> tuple[Image | ForeignImage, str, tuple[str, ...]]:
    names = files.below(contents.SPEC)
    documents = [_read(files, name) for name in names]
    plain = tuple(map(_plain_name, names))
    digest = hashlib.sha256(b"".join(one.content for one in documents)).hexdigest()
    if not documents:
        raise EvidenceError("the archive does not hold the image's YAML")
    if describes_os(documents[0]):
        return _foreign(files, documents, digest), digest, plain
    made = Image(files.folder / contents.IMAGE)
    name = f"{contents.IMAGE}/{MANIFEST}"
    content = files.content(name)
    contents.loads(content, name)
    try:
        facts = MANIFEST_FACTS.validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise EvidenceError(f"{name}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if facts.substitutions:
        digest = digest_of([digest, [one.model_dump() for one in facts.substitutions]])
    agree(name, documents, facts, plain, digest)
    _same_files(files, facts)
    files.path(contents.SBOM)
    _ = made.manifest  # EvidenceError or UserError when its schema is another
    return made, digest, plain


def _same_files(files: EvidenceFiles, facts: ManifestFacts) -> None:
    shipped = {f"{contents.IMAGE}/{row.name}": row for row in facts.files if row.shipped}
    if strange := strange_boot(facts):
        raise EvidenceError(f"the manifest boots {strange}, which is none of its files")
    there = set(files.below(contents.IMAGE)) - {f"{contents.IMAGE}/{MANIFEST}"}
    if there != set(shipped) or f"{contents.IMAGE}/kernel" not in there:
        raise EvidenceError("the manifest lists other files than the archive has of the image")
    for name, row in shipped.items():
        member = files.members[name]
        if (member.size, member.sha256) != (row.size, row.sha256):
            raise EvidenceError(f"the manifest speaks of another {row.name} than the archive has")
    initrd = f"{contents.IMAGE}/{INITRD}"
    if initrd in there and files.members[initrd].size <= contents.MOST_SEARCHED:
        _same_root(files.content(initrd), facts)


def _same_root(initrd: bytes, facts: ManifestFacts) -> None:
    """Compare the root in an initrd, which cases judge by its digest, with what the manifest says of it."""
    try:
        place = cpio.find(initrd, ROOT_IN_INITRD)
    except ValueError:
        place = None
    found = initrd[place.begin : place.begin + place.size] if place else b""
    if (len(found), hashlib.sha256(found).hexdigest()) != (facts.root.size, facts.root.sha256):
        raise EvidenceError(f"the manifest speaks of another root than {contents.IMAGE}/{INITRD} holds")


def _foreign(files: EvidenceFiles, documents: list[Document], digest: str) -> ForeignImage:
    """Return a foreign OS by its YAML, its files being those of the archive."""
    (document, *more) = documents
    there = {name.partition("/")[2] for name in files.below(contents.IMAGE)}
    data = mapping_of(document)
    if more or there != {part for part in SHIPPED if part in data}:
        raise EvidenceError("the OS's YAML names other files than the archive has of it")
    spec, problems = check(OsSpec, document, {"path": document.file, "digest": digest})
    # that its files do not lie beside it is as it should be
    problems += [one for one in foreign(data, document.file) if one.path[:1] not in [(part,) for part in SHIPPED]]
    if spec is None or problems:
        raise _refuse(document.file.name, map(document.complain, problems))
    parts = {part: files.folder / contents.IMAGE / part for part in there}
    return ForeignImage(spec.model_copy(update=parts))


def image_digest(image: Image | ForeignImage, files: EvidenceFiles, spec: str) -> str:
    """Return what stands for all of an image: its manifest's SHA-256, or one over a foreign OS's files and YAML."""
    if image.foreign:
        return digest_of([spec, files.described(files.below(contents.IMAGE))])
    return files.members[f"{contents.IMAGE}/{MANIFEST}"].sha256
