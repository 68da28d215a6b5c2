"""OCI images as parts of a build: their files, and what the YAML and they together say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.build import attestations, inventory
from harness.build.namespaces import modules
from harness.build.rootfs import ResolvedImage
from harness.errors import UserError
from harness.oci.config import LICENCES, config_of, labels, user_of
from harness.oci.image import OciImage
from harness.oci.layers import Alive, Limits, idle
from harness.oci.merge import merge as merge_layers
from harness.spec.labels import merge
from harness.spec.models.image import ImageSpec
from harness.spec.rules import common as checks
from harness.spec.text.complaints import spell
from harness.store import Store
from harness.tree.tree import Tree


def make_part(
    image: OciImage,
    limits: Limits,
    store: Store,
    alive: Alive = idle,
    note: Callable[[str], None] = lambda _: None,
) -> ResolvedImage:
    """Return an image's part of a build; `alive` is called as layers are unpacked, `note` told of what is left out.

    Raises ImageError when a layer is hostile, SpecError when its label is wrong.
    """
    tree = merge_layers(image, limits, store, alive, note)
    return ResolvedImage(image.reference, tree, config_of(image), user=user_of(image, tree))


def judge(spec: ImageSpec, parts: Mapping[str, ResolvedImage], images: Mapping[str, OciImage]) -> None:
    """Refuse what only shows once images have been fetched: an entry without a command, a label that fits nothing.

    Raises UserError. The YAML's own keys, and components', have been judged before anything was built.
    """
    names = [entry.name for section in checks.SECTIONS for entry in getattr(spec, section)]
    around = checks.Around({volume.name: volume.readonly for volume in spec.volumes}, names)
    for section in checks.SECTIONS:
        for entry in getattr(spec, section):
            if entry.image not in images:
                continue
            config, at = merge(parts[entry.image].config, entry), f"{section}: {entry.name}"
            if not config.command:
                raise UserError(f"{at}: {entry.image} has no command", hint="give it one: `command: […]`")
            mounts = tuple(
                {"type": one.type, "source": one.source, "options": one.options} for one in config.mounts or ()
            )
            says = {"uid": config.uid, "gid": config.gid, "additionalGids": config.additional_gids,
                    "binds": config.binds, "mounts": mounts}  # fmt: skip
            for found in checks.named(says, (), around):
                hint = f"expected {found.expected}: give the key in the YAML" if found.expected else ""
                raise UserError(f"{at}: the label of {entry.image}: {spell(found.path)}: {found.what}", hint=hint)


def interface_modules(spec: ImageSpec, parts: Mapping[str, ResolvedImage]) -> dict[str, str]:
    """Return the kernel modules that entries' interfaces need, each with the image of the first such entry."""
    found: dict[str, str] = {}
    for entry in (entry for section in checks.SECTIONS for entry in getattr(spec, section)):
        for module in modules(merge(parts[entry.image].config, entry).runtime):
            found.setdefault(module, entry.image)
    return found


def record(image: OciImage, part: ResolvedImage | None = None) -> dict[str, Any]:
    """Return what the manifest says of an image; `part` is its part of the build, where it was unpacked for one."""
    said = labels(image)
    return {
        "reference": image.reference,
        "digest": image.digest,
        "platform": str(image.platform),
        "layers": [
            {"digest": blob.digest, "size": blob.size, "diff_id": diff_id}
            for blob, diff_id in zip(image.layers, image.config["rootfs"]["diff_ids"], strict=True)
        ],
        "licences": said.get(LICENCES, ""),
        "labels": dict(sorted(said.items())),
        "contents": inventory.take(part.tree if part else Tree()).to_json(),
        "attached": attestations.rows(image),
    }
