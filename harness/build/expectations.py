"""What a manifest says that a booted image should look like, container by container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.build.bundle import Bundle, make
from harness.build.ids import labels, named_ids
from harness.build.promises import promises
from harness.build.reach import is_ours, links_of, own_paths, turned
from harness.build.rootfs import ResolvedImage
from harness.spec import library
from harness.spec.models.container import Entry
from harness.spec.models.image import ImageSpec
from harness.spec.rules.annotations import settings
from harness.spec.rules.common import SECTIONS


def expectations(spec: ImageSpec, parts: Mapping[str, ResolvedImage]) -> dict[str, Any]:
    """Say what a booted image should look like: what cases compare the running system with."""
    ids = named_ids(spec)
    volumes = {volume.name: volume.readonly for volume in spec.volumes}
    links = links_of(own_paths(spec))
    made: dict[str, dict[str, tuple[Entry, Bundle]]] = {}
    for section in SECTIONS:
        entries = getattr(spec, section)
        made[section] = {
            label: (entry, make(entry, parts[entry.image].config_for(entry), ids, volumes))
            for entry, label in zip(entries, labels([one.name for one in entries]), strict=True)
        }
    followed = [bundle.paths for found in made.values() for _, bundle in found.values()]
    return {
        section: {
            label: {
                "capabilities": bundle.config["process"]["capabilities"]["bounding"],
                "reach": sorted({*bundle.reach, *turned(bundle.paths, followed, links)}),
                "ours": is_ours(entry, library(), links),
                "follows": list(bundle.paths.follows),
                "readonly": bundle.readonly,
                "binds": [list(pair) for pair in bundle.binds],
                **promises(settings(bundle.annotations), section),
            }
            for label, (entry, bundle) in found.items()
        }
        for section, found in made.items()
    }
