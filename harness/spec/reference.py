"""docs/reference.md, made from the models: ``python -m harness.spec.reference`` prints it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from harness.spec.models.base import Login, Model
from harness.spec.models.board import (
    Board,
    BoardConsole,
    Deploy,
    Lab,
    LabgridPlace,
    LoaderStep,
    Netboot,
    SshConsole,
    SshTarget,
    Typing,
    Web,
)
from harness.spec.models.cluster import Cluster, ClusterHosts, LocalHosts, SlurmHosts, SshHosts
from harness.spec.models.component import ComponentSpec, Concatenate, KernelPart, User
from harness.spec.models.container import BindNS, Device, Entry, File, IDMapping, Interface, Mount, Runtime
from harness.spec.models.foreign import MilestonePattern, Os, OsSpec
from harness.spec.models.image import Expect, ImageFile, KernelKeys, Trust, Volume
from harness.spec.models.machine import MachineFile, Qemu
from harness.spec.models.plan import Budget, DiskLimits, Email, KnownFailure, Notify, Plan, PlanImage
from harness.spec.models.policy import Policy
from harness.spec.models.power import BoardPower
from harness.spec.models.profile import ApplicabilityRule, ProfileSpec, Requirement, Waiver, Waivers
from harness.spec.models.resources import (
    BlockIO,
    Cpu,
    DeviceCgroup,
    HugepageLimit,
    Memory,
    Network,
    Pids,
    Priority,
    Resources,
    ThrottleDevice,
    WeightDevice,
)
from harness.spec.rules.annotations import SETTINGS
from harness.spec.text.shape import alternatives, fields_of, words


def _switches() -> Iterator[tuple[str, type[Model]]]:
    """Yield the kinds of power switch that have keys of their own."""
    for key, field in BoardPower.model_fields.items():
        for kind in alternatives(field.annotation):
            if isinstance(kind, type) and issubclass(kind, Model):
                yield key, kind


# Which tables there are, under which heading, and where in the YAML each stands.
PARTS: dict[str, tuple[tuple[str, type[Model]], ...]] = {
    "Image": (
        ("the file", ImageFile),
        ("`kernel`", KernelKeys),
        ("each of `onboot`, `onshutdown`, `services`", Entry),
        ("each of `mounts`", Mount),
        ("each of `devices`", Device),
        ("each of `uidMappings`, `gidMappings`, `uidmappings`, `gidmappings`", IDMapping),
        ("`resources`", Resources),
        ("each of `resources.devices`", DeviceCgroup),
        ("`resources.memory`", Memory),
        ("`resources.cpu`", Cpu),
        ("`resources.pids`", Pids),
        ("`resources.blockio`", BlockIO),
        ("each of `resources.blockio.weightDevice`", WeightDevice),
        ("each of `resources.blockio.throttle…`", ThrottleDevice),
        ("each of `resources.hugepageLimits`", HugepageLimit),
        ("`resources.network`", Network),
        ("each of `resources.network.priorities`", Priority),
        ("`runtime`", Runtime),
        ("each of `runtime.interfaces`", Interface),
        ("`runtime.bindNS`", BindNS),
        ("each of `files`", File),
        ("each of `volumes`", Volume),
        ("`trust`", Trust),
        ("`expect`", Expect),
    ),
    "Component": (
        ("the file", ComponentSpec),
        ("each of `users`", User),
        ("each of `concatenate`", Concatenate),
        ("`kernel`", KernelPart),
    ),
    "Machine": (
        ("the file", MachineFile),
        ("`qemu`", Qemu),
        ("`board`", Board),
        ("`board.console`", BoardConsole),
        ("`board.console.ssh`", SshConsole),
        ("each of `board.loader`", LoaderStep),
        ("`board.typing`", Typing),
        ("`board.deploy`", Deploy),
        ("`board.deploy.netboot`", Netboot),
        ("`board.deploy.http`", Web),
        ("`board.login`", Login),
        ("`board.ssh`", SshTarget),
        ("`board.lab`", Lab),
        ("`board.lab.labgrid`", LabgridPlace),
        ("`board.power`", BoardPower),
        *((f"`board.power.{key}`", model) for key, model in _switches()),
    ),
    "Plan": (
        ("the file", Plan),
        ("each of `images`", PlanImage),
        ("`budget`, each of `budgets`", Budget),
        ("each of `known`", KnownFailure),
        ("`disk`", DiskLimits),
        ("`notify`", Notify),
        ("`notify.email`", Email),
    ),
    "Foreign OS": (
        ("the file", OsSpec),
        ("`os`", Os),
        ("each of `milestones`", MilestonePattern),
        ("`login`", Login),
    ),
    "Profile": (
        ("the file", ProfileSpec),
        ("each of `requirements`", Requirement),
        ("each of `not_applicable`", ApplicabilityRule),
    ),
    "Waivers": (("the file", Waivers), ("each of `waivers`", Waiver)),
    "Policy": (("the file", Policy),),
    "Cluster": (
        ("the file", Cluster),
        ("`cluster`", ClusterHosts),
        ("`cluster.local`", LocalHosts),
        ("`cluster.ssh`", SshHosts),
        ("`cluster.slurm`", SlurmHosts),
    ),
}
_INTRODUCTION = """\
# Reference: every key of every file

Made by `python -m harness.spec.reference > docs/reference.md`; change the models instead (`harness/spec/`).

Files are YAML 1.2 with its core types: `on`, `yes`, `1:30` and dates are text. A key that is not listed here is
refused, as are a key written twice, a key without a value, more than one document, more than 1 MiB, more than 64
levels and more than 50,000 values with aliases expanded. `harness lint FILE…` checks without building. An image may
be several files: of the kernel's keys the last one counts, lists are joined in order.

Editors complete and check these files by a JSON Schema: `harness schema KIND` prints that of `image`, `component`,
`machine`, `plan`, `os`, `profile` and `waivers`, and `harness schema KIND --path` says where it lies, which needs no
network. `harness new` begins its file with the line by which they find it; in another file it is the first one, too:

```text
# yaml-language-server: $schema=/path/that/harness/schema/--path/has/printed.json
```
"""
_ANNOTATIONS = """\
### Image: `annotations` that are ours
Their values are text: put numbers in quotes.

| key | where | default | meaning | value |
| --- | --- | --- | --- | --- |
"""


def keys_of(model: type[Model]) -> dict[str, FieldInfo]:
    """Return a model's fields by key, without those that the loader gives."""
    return {key: field for key, field in fields_of(model).items() if key not in model.given}


def _default(model: type[Model], key: str, field: FieldInfo) -> str:
    if key in model.filled:
        return "the architecture's"
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value in (None, "", (), {}) or isinstance(value, BaseModel):
        return "–"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _cell(text: Any) -> str:
    return str(text).replace("|", "\\|")


def _table(model: type[Model]) -> Iterator[str]:
    yield "| key | type | default | meaning |\n| --- | --- | --- | --- |\n"
    # what is required comes first, as in the table of a container, whose name and image are inherited last
    for key, field in sorted(keys_of(model).items(), key=lambda item: not item[1].is_required()):
        kind = words(field.annotation)
        row = (f"`{key}`", kind, _default(model, key, field), field.description)
        yield f"| {' | '.join(map(_cell, row))} |\n"


def reference() -> str:
    """Return the whole page."""
    page = [_INTRODUCTION]
    for part, tables in PARTS.items():
        page.append(f"\n## {part}\n")
        for where, model in tables:
            page += [f"\n### {part}: {where}\n", *_table(model)]
        if part == "Image":
            page += ["\n", _ANNOTATIONS]
            for key, setting in SETTINGS.items():
                row = (
                    f"`{key}`",
                    ", ".join(setting.sections),
                    setting.default or "–",
                    setting.meaning,
                    setting.expected,
                )
                page.append(f"| {' | '.join(map(_cell, row))} |\n")
    return "".join(page)


if __name__ == "__main__":
    print(reference(), end="")
