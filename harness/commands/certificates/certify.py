"""`harness certify`: an image on a machine, judged by a profile, and the evidence of it in one signed archive."""

from __future__ import annotations

import json as json_
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import paths
from harness.arch import by_name
from harness.build.settings import Settings
from harness.certify import archive, bill, contents, derive, evidence, identity, judge, keys, rebuild, statement
from harness.certify.certificate import Certificate
from harness.certify.evidence import ArchiveFiles, RunOfCell, Staged
from harness.certify.show import WORDS, badge, facts, lines
from harness.certify.verify import as_json
from harness.commands.images.sbom import of as sbom_of
from harness.commands.nights import matrix
from harness.commands.nights.request import Request
from harness.commands.specs import read_image
from harness.errors import EXIT_OK, EXIT_REFUSED, HostError, UserError
from harness.files import write_json
from harness.image import ForeignImage, Image
from harness.report.words import visible
from harness.run.folder import RunFolder
from harness.run.inputs import SIZE_BUDGET, Wanted
from harness.show.frame import progress
from harness.spec import load_machine
from harness.spec.models.foreign import OsSpec
from harness.spec.models.image import ImageSpec
from harness.spec.models.machine import MachineSpec
from harness.spec.models.plan import Budget
from harness.spec.models.profile import Waivers
from harness.spec.named import image_named
from harness.spec.profile import Profile, load_profile, load_waivers
from harness.spec.rules.images import PARTS

KEY = "certify.key"  # in the user's data folder
PLAN = "certify.yml"


@dataclass(frozen=True)
class CertifyRequest:
    """Where the evidence goes, who signs it, and how the cases are run."""

    output: Path | None = None
    key: str | None = None
    waivers: Path | None = None
    results: Path | None = None
    patience: float = 1.0
    settings: Settings = field(default_factory=Settings)
    as_json: bool = False


@dataclass(frozen=True)
class Order:
    """What is to be certified, all of it read."""

    yamls: tuple[Path, ...]
    image: Image | ForeignImage
    spec: ImageSpec | OsSpec
    machine: MachineSpec
    profile: Profile
    waivers: Waivers | None
    holds: Sequence[str]
    ingredients: ArchiveFiles  # what its image is built from again

    @property
    def budget(self) -> Budget:
        """What the profile allows."""
        said = self.profile.limits(self.machine.name, self.machine.arch)
        return said if said.size is not None else said.model_copy(update={"size": SIZE_BUDGET})


def new_key(path: Path) -> int:
    """Make a signing key and say what to give to others. Returns 0."""
    public = keys.make(path)
    print(f"{path}: the private key, for nobody else\n{path}.pub: {public.id}, for everybody")
    return EXIT_OK


def certify(name: str, machine: str, profile: str, request: CertifyRequest) -> int:
    """Build, run the profile's cases, judge, and write the evidence. Returns 0, or 1 when it is refused."""
    given = None if request.key is None else keys.load(request.key)  # a wrong one is told before anything is built
    order = _order(name, machine, profile, request)
    key = given or _own_key()
    out = request.output or Path(f"{order.image.name}-{order.machine.name}-{order.profile.name}.tar.zst")
    if keys.is_key(out):
        raise UserError(f"{out} is a key: evidence is not written over one", hint="-o FILE.tar.zst")
    wanted = judge.applicable(order.profile.requirements, order.machine.arch, order.holds)
    nodes = list(dict.fromkeys(node for one in wanted for node in order.profile.nodes(one)))
    folder = matrix.results_folder(request.results)
    cell = _run(order, nodes, folder, request)
    made = _packed(order, RunOfCell(folder, cell), key, out)
    if request.as_json:
        print(json_.dumps(made.to_json(), indent=1))
    else:
        print(*map(visible, lines(made.to_json())), sep="\n")
        print(f"image digest: {made.image.digest}")
        print(f"evidence: {out}, signed by {key.public.id}\nresults: {folder}")
    return EXIT_REFUSED if made.result == "FAILED" else EXIT_OK


def _order(name: str, machine_name: str, profile_name: str, request: CertifyRequest) -> Order:
    from harness.build.pipeline import Builder

    profile, machine = load_profile(profile_name), load_machine(machine_name)
    waivers = load_waivers(request.waivers, [one.id for one in profile.requirements]) if request.waivers else None
    image: Image | ForeignImage
    spec: ImageSpec | OsSpec
    ingredients: ArchiveFiles = {}
    named = image_named(name)
    if named.kind == "os":
        spec = named.load_os()
        image = ForeignImage(spec)
        if image.arch.name != machine.arch:
            raise UserError(f"{image.name} is for {image.arch.name}, but {machine.name} is {machine.arch}")
    else:
        settings = request.settings
        spec = read_image(name, settings)
        with tempfile.TemporaryDirectory(prefix="harness-lock-") as scratch:
            lock = settings.lock or Path(scratch) / contents.LOCK
            builder = Builder(replace(settings, lock=lock), progress=progress)
            image = builder.build(spec, by_name(machine.arch))
            builder.save_lock()
            ingredients = rebuild.ingredients(spec, settings, lock)
    holds = derive.conditions(machine, image)
    return Order(named.paths, image, spec, machine, profile, waivers, holds, ingredients)


def _own_key() -> keys.SigningKey:
    own = paths.data_dir() / KEY
    if not own.exists():
        own.parent.mkdir(parents=True, exist_ok=True)
        progress(f"made a signing key: {own}, {keys.make(own).id}")
    return keys.load(str(own))


def _run(order: Order, nodes: Sequence[str], folder: RunFolder, request: CertifyRequest) -> str:
    """Run the cases and return the name of the one cell."""
    plan = folder.path / PLAN
    budget = order.budget.model_dump(exclude_none=True)
    write_json(plan, {  # which is YAML
        "machines": [str(order.machine.path.resolve())],
        "images": [{"path": PARTS.join(str(path.resolve()) for path in order.yamls), "budget": budget}],
    })  # fmt: skip
    cells = Request(Wanted(plan, library=request.settings.library), patience=request.patience,
                           settings=request.settings)  # fmt: skip
    results = matrix.run_cases(cells, nodes, folder)
    (cell,) = results.cells
    if cell.reason:
        raise HostError(f"{cell.id} could not be run", details=cell.reason)
    return cell.id


def _packed(order: Order, run: RunOfCell, key: keys.SigningKey, out: Path) -> Certificate:
    """Derive the certificate from what a run has left, and write the archive."""
    given: ArchiveFiles = {
        **evidence.image_files(order.image),
        **evidence.written(order.spec.sources, order.machine, order.profile, order.waivers),
        **(cases := evidence.case_files(order.profile)),
        **order.ingredients,
    }
    if isinstance(order.image, Image):
        given[contents.SBOM] = bill.spelled(sbom_of(order.image))
    if changed := evidence.own_label(evidence.changed_cases(cases)):
        progress(changed)
    found = identity.of(by_name(order.machine.arch), order.machine, order.image) if order.machine.qemu else None
    with tempfile.TemporaryDirectory(prefix=".evidence-", dir=run.folder.path) as scratch:
        staged = evidence.stage(given, run, evidence.facts_of(found), Path(scratch) / "files")
        _write(staged, key, out, Path(scratch) / "body")
    return staged.derived.certificate


def _write(staged: Staged, key: keys.SigningKey, out: Path, body: Path) -> None:
    plain = staged.derived.certificate.to_json()
    files: ArchiveFiles = {
        **evidence.as_files(staged),
        contents.CERTIFICATE: as_json(plain),
        contents.PAGE: rendered(plain, key.public.id),
        contents.BADGE: badge(plain).encode(),
    }
    described = archive.pack(files, body)
    archive.join(statement.envelope(described, plain, key), body, out)


def rendered(made: Mapping[str, Any], key: str) -> bytes:
    """Return a certificate as a page for people."""
    from harness.report import page

    text = page.render("certificate.html", made=made, facts=facts(made, key), words=WORDS)
    return text.encode(errors="backslashreplace")
