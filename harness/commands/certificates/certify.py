"""`harness certify`: an image on a machine, judged by a profile, and the evidence of it in one signed archive."""

from __future__ import annotations

import json as json_
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import paths
from harness.arch import by_name
from harness.build.settings import Settings
from harness.certify import archive, evidence, identity, judge, keys, statement
from harness.certify.certificate import WORDS, badge, budget_of, certificate, conditions, facts, lines
from harness.commands.images.sbom import of as sbom_of
from harness.commands.nights import matrix
from harness.commands.specs import read_image
from harness.errors import EXIT_OK, EXIT_REFUSED, HostError, UserError
from harness.image import ForeignImage, Image
from harness.report.words import visible
from harness.run import events
from harness.run.cells import Wanted
from harness.show.frame import progress
from harness.spec import load_machine, load_os
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

    @property
    def budget(self) -> Budget:
        """What the profile allows."""
        return budget_of(self.profile, self.machine.name, self.machine.arch)


def new_key(path: Path) -> int:
    """Make a signing key and say what to give to others. Returns 0."""
    public = keys.make(path)
    print(f"{path}: the private key, for nobody else\n{path}.pub: {public.id}, for everybody")
    return EXIT_OK


def certify(name: str, machine: str, profile: str, request: CertifyRequest) -> int:
    """Build, run the profile's cases, judge, and write the evidence. Returns 0, or 1 when it is refused."""
    order = _order(name, machine, profile, request)
    key = _key(request.key)
    out = request.output or Path(f"{order.image.name}-{order.machine.name}-{order.profile.name}.tar.zst")
    wanted = judge.applicable(order.profile.requirements, order.machine.arch, order.holds)
    nodes = list(dict.fromkeys(node for one in wanted for node in order.profile.nodes(one)))
    folder = matrix.results_folder(request.results)
    found = _run(order, nodes, folder, request)
    made, files = _judged(order, nodes, folder, found)
    _write(made, files, key, out, folder)
    if request.as_json:
        print(json_.dumps(made, indent=1))
    else:
        print(*map(visible, lines(made)), sep="\n")
        print(f"evidence: {out}, signed by {key.public.id}\nresults: {folder}")
    return EXIT_REFUSED if made["result"] == "FAILED" else EXIT_OK


def _order(name: str, machine_name: str, profile_name: str, request: CertifyRequest) -> Order:
    from harness.build.pipeline import Builder

    profile, machine = load_profile(profile_name), load_machine(machine_name)
    waivers = load_waivers(request.waivers, [one.id for one in profile.requirements]) if request.waivers else None
    image: Image | ForeignImage
    spec: ImageSpec | OsSpec
    named = image_named(name)
    if named.kind == "os":
        spec = load_os(named.paths[0])
        image = ForeignImage(spec)
        if image.arch.name != machine.arch:
            raise UserError(f"{image.name} is for {image.arch.name}, but {machine.name} is {machine.arch}")
    else:
        settings = request.settings
        spec = read_image(name, settings)
        image = Builder(settings, progress=progress).build(spec, by_name(machine.arch))
    return Order(named.paths, image, spec, machine, profile, waivers, conditions(machine, image))


def _key(given: str | None) -> keys.SigningKey:
    if given is not None:
        return keys.load(given)
    own = paths.data_dir() / KEY
    if not own.exists():
        own.parent.mkdir(parents=True, exist_ok=True)
        progress(f"made a signing key: {own}, {keys.make(own).id}")
    return keys.load(str(own))


def _run(order: Order, nodes: Sequence[str], folder: Path, request: CertifyRequest) -> dict[str, Any]:
    """Run the cases and return the results of the one cell."""
    plan = folder / PLAN
    budget = order.budget.model_dump(exclude_none=True)
    plan.write_text(json_.dumps({  # which is YAML
        "machines": [str(order.machine.path.resolve())],
        "images": [{"path": PARTS.join(str(path.resolve()) for path in order.yamls), "budget": budget}],
    }))  # fmt: skip
    cells = matrix.Request(Wanted(plan, library=request.settings.library), patience=request.patience,
                           settings=request.settings)  # fmt: skip
    results = matrix.run_cases(cells, nodes, folder)
    (cell,) = results["cells"]
    if cell["reason"]:
        raise HostError(f"{cell['id']} could not be run", details=cell["reason"])
    return {"when": results["when"], **cell}


def _judged(
    order: Order, nodes: Sequence[str], folder: Path, cell: Mapping[str, Any]
) -> tuple[dict[str, Any], evidence.ArchiveFiles]:
    """Return the certificate and the archive's files."""
    told = events.read(folder)
    judged = judge.judge(
        order.profile.requirements, judge.outcomes(told), arch=order.machine.arch, conditions=order.holds,
        waivers=order.waivers.waivers if order.waivers else (), today=cell["when"][:10],
    )  # fmt: skip
    images, cases = evidence.image_files(order.image), evidence.case_files(nodes)
    files = {
        **images,
        **evidence.sources(order.spec.sources, order.machine, order.profile, order.waivers),
        **cases,
        **evidence.run_files(folder, cell["id"]),
    }
    if isinstance(order.image, Image):
        files[evidence.SBOM] = json_.dumps(sbom_of(order.image), indent=1, ensure_ascii=False).encode() + b"\n"
    about = {
        "when": cell["when"],
        "waivers": [one.model_dump() for one in order.waivers.waivers] if order.waivers else [],
        "image": {"name": order.image.name, "arch": order.image.arch.name, "size": order.image.size,
                  "spec": order.spec.digest, "os": evidence.told_of(order.image), "files": evidence.described(images)},
        "machine": {"name": order.machine.name, "arch": order.machine.arch, "digest": order.machine.digest},
        "cases": {"files": evidence.described(cases), "changed": evidence.changed_cases(cases)},
        "qemu": identity.of(by_name(order.machine.arch), order.machine, order.image) if order.machine.qemu else None,
        "host": cell["host"],
        "figures": {"exact": cell["boot"]["exact"], "wall": cell["boot"]["wall"]["ready"]},
    }  # fmt: skip
    return certificate(order.profile, judged, order.holds, order.budget, about), files


def _write(made: dict[str, Any], files: evidence.ArchiveFiles, key: keys.SigningKey, out: Path, folder: Path) -> None:
    plain = json_.loads(statement.canonical(made))  # as a reader has it: the page is compared with what was signed
    files = {
        **files,
        evidence.CERTIFICATE: evidence.as_json(plain),
        evidence.PAGE: rendered(plain, key.public.id),
        evidence.BADGE: badge(plain).encode(),
    }
    images = [name for name in files if name.startswith(f"{evidence.IMAGE}/")]
    judged_by = [name for name in files if name.split("/")[0] in
                 (evidence.SPEC, evidence.PROFILE, evidence.CASES, evidence.MACHINE, evidence.WAIVERS)]  # fmt: skip
    body = folder / f".evidence.{os.getpid()}"
    try:
        described = archive.pack(files, body)
        archive.join(statement.envelope(described, plain, images, judged_by, key), body, out)
    finally:
        body.unlink(missing_ok=True)


def rendered(made: Mapping[str, Any], key: str) -> bytes:
    """Return a certificate as a page for people."""
    from harness.report import page

    text = page.render("certificate.html", made=made, facts=facts(made, key), words=WORDS)
    return text.encode(errors="backslashreplace")
