"""The certificate that an archive's files give: `certify` writes it, `verify` compares it with what was signed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.certify import contents, judge, outcomes, records
from harness.certify.certificate import SCHEMA, VENDORS_WORD, Certificate, QemuFacts, validated
from harness.certify.contents import EvidenceFiles
from harness.certify.outcomes import Word
from harness.certify.sources import Sources, image_digest
from harness.errors import EvidenceError
from harness.image import ForeignImage, Image
from harness.launch.exact import compare
from harness.measure.phases import figures
from harness.spec.models.machine import MachineSpec
from harness.system.record import BootRecord

SAME_HOST = ("cpu", "machine", "kernel")  # of the facts of a host, those that stay while it certifies


@dataclass(frozen=True)
class Derived:
    """All that follows from an archive's files."""

    sources: Sources
    records: Mapping[str, BootRecord]  # by the boot's folder
    word: Word
    certificate: Certificate

    @property
    def exact(self) -> dict[str, BootRecord]:
        """The records of the exact boots, by their folders."""
        return {boot: self.records[boot] for boot in contents.EXACT if boot in self.records}


def conditions(machine: MachineSpec, image: Image | ForeignImage) -> list[str]:
    """Return which of the conditions that a profile's rules name hold, sorted."""
    exact = machine.counts and not image.parts.has_medium
    foreign = bool(image.milestones)
    holds = {
        "foreign": foreign,
        "built": not foreign,
        "no network": not machine.network,
        "no login": foreign and image.login is None,
        "no exact time": not exact,
        "exact time": exact,
        "no exact power-off": not (exact and image.off_words),
        "exact power-off": bool(exact and image.off_words),
        "no lasting volumes": not any(row.get("mounts") for row in image.expect["onboot"].values()),
    }
    return sorted(name for name, is_so in holds.items() if is_so)


def derive(
    files: EvidenceFiles, sources: Sources, found: Mapping[str, BootRecord], word: Word, qemu: QemuFacts | None
) -> Certificate:
    """Return the certificate of some files, the records of their boots, and the vendor's word.

    EvidenceError where they give none.
    """
    image, machine, profile = sources.image, sources.machine, sources.profile
    holds = conditions(machine, image)
    judged = judge.judge(
        profile.requirements, word.found, arch=machine.arch, conditions=holds, waivers=sources.waivers,
        today=_day(word.when),
    )  # fmt: skip
    made = {
        "schema": SCHEMA,
        "result": judge.result(judged),
        "harness": word.harness,
        "when": word.when,
        "profile": {
            "name": profile.name,
            "version": profile.version,
            "digest": profile.digest,
            "description": profile.description,
            "requirements": [one.model_dump(mode="json") for one in profile.requirements],
        },
        "conditions": holds,
        "budget": sources.budget.model_dump(mode="json"),
        "requirements": [one.to_json() for one in judged],
        "verdicts": judge.counts(judged),
        "waivers": [one.model_dump(mode="json") for one in sources.waivers],
        "image": {
            "name": image.name,
            "arch": image.arch.name,
            "size": image.size,
            "digest": image_digest(image, files, sources.spec),
            "spec": sources.spec,
            "foreign": image.foreign,
            "files": files.described(files.below(contents.IMAGE)),
        },
        "machine": {"name": machine.name, "arch": machine.arch, "digest": machine.digest},
        "cases": {"files": files.described(files.below(contents.CASES))},
        "qemu": qemu.model_dump(mode="json") if qemu else None,
        "host": _host(found),
        "figures": {"exact": _exact(found), "wall": _wall(found)},
        "vendors_word": list(VENDORS_WORD),
    }
    return validated(made)


def _day(when: str) -> str:
    day = when[:10]
    try:
        from datetime import date

        return date.fromisoformat(day).isoformat()
    except ValueError:
        raise EvidenceError(f"it says that it was made at {when[:40]!r}, which is not a time") from None


def _host(found: Mapping[str, BootRecord]) -> dict[str, Any]:
    """Return the host of the boot in wall time, else of any."""
    one = found.get(outcomes.WALL) or next(iter(found.values()), None)
    return outcomes.host_of(one) if one else {}


def _exact(found: Mapping[str, BootRecord]) -> dict[str, Any]:
    exact = [found[boot] for boot in contents.EXACT if boot in found]
    if len(exact) != len(contents.EXACT):
        return {"ready": None, "power_on": None, "figures": {}, "repeats": None, "moved": "", "told": None}
    pair, first = compare(*exact), exact[0]
    return {
        "ready": _ms(first.ready_us),
        "power_on": _ms(first.power_on_us),
        "figures": figures(first),
        "repeats": pair.repeats,
        "moved": pair.moved,
        "told": first.ready_clock if first.ready_clock in ("emulator", "guest") else None,
    }


def _wall(found: Mapping[str, BootRecord]) -> float | None:
    one = found.get(outcomes.WALL)
    return None if one is None or one.host_ready_s is None else round(one.host_ready_s * 1000, 3)


def _ms(us: int | None) -> float | None:
    return None if us is None else round(us / 1000, 3)


def checked(files: EvidenceFiles, sources: Sources, qemu: QemuFacts | None) -> Derived:
    """Return what follows from an archive's files; EvidenceError names what contradicts what."""
    found = {boot: records.check(files, boot, sources.image, sources.machine) for boot in records.boots_of(files)}
    _one_host(found)
    word = outcomes.read(files)
    outcomes.check(word, files, sources)
    rows = outcomes.events(word, sources, found)
    for name, content in ((contents.EVENTS, outcomes.as_lines(rows)), (contents.RESULTS, outcomes.folded(rows))):
        if files.content(name) != content:
            raise EvidenceError(
                f"{name} is not what the files beside it give", details=_first(files.content(name), content)
            )
    return Derived(sources, found, word, derive(files, sources, found, word, qemu))


def _one_host(found: Mapping[str, BootRecord]) -> None:
    """Check that all boots were on one host; EvidenceError names one that was on another."""
    hosts = {boot: [record.host.get(key) for key in SAME_HOST] for boot, record in found.items()}
    first = next(iter(hosts), "")
    for boot, host in hosts.items():
        if host != hosts[first]:
            raise EvidenceError(f"{contents.BOOTS}/{boot} was on another host than {contents.BOOTS}/{first}")


def _first(said: bytes, found: bytes) -> str:
    """Return the first line that differs."""
    pairs = zip(said.splitlines(), found.splitlines(), strict=False)
    for number, (one, other) in enumerate(pairs, 1):
        if one != other:
            start = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
            piece = slice(max(0, start - 40), start + 80)
            return (
                f"line {number}: …{one[piece].decode(errors='replace')}…, not …{other[piece].decode(errors='replace')}…"
            )
    return "one is longer than the other"


def differences(said: Any, found: Any, at: str = "") -> Iterator[str]:
    """Yield the places at which two certificates, as plain data, differ, and what each says there."""
    if isinstance(said, dict) and isinstance(found, dict):
        for key in sorted(said.keys() | found.keys()):
            yield from differences(said.get(key), found.get(key), f"{at}.{key}" if at else str(key))
    elif isinstance(said, list) and isinstance(found, list) and len(said) == len(found):
        for number, (one, other) in enumerate(zip(said, found, strict=True)):
            yield from differences(one, other, f"{at}[{number}]")
    elif type(said) is not type(found) or said != found:
        yield f"{at}: it says {json.dumps(said)[:300]}, the files give {json.dumps(found)[:300]}"
