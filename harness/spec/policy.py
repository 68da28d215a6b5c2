"""A verifier's policy: read, judged and made an object."""

from __future__ import annotations

from pathlib import Path

from harness.files import is_there
from harness.spec.components import Checked, checked, digest_of_bytes
from harness.spec.models.policy import Policy
from harness.spec.rules import plan as checks_plan
from harness.spec.rules import policy as checks_policy
from harness.spec.rules.images import PARTS, parts_of
from harness.spec.rules.policy import LINE
from harness.spec.text.complaints import SpecError
from harness.spec.text.reader import Document, mapping_of, read


def load_policy(path: Path) -> Policy:
    """Read a policy; its paths come out relative to the current folder.

    SpecError with every complaint, UserError when it cannot be read.
    """
    made, complaints = check_policy(read(Path(path)))
    if made is None:
        raise SpecError(complaints)
    return made


def check_policy(document: Document) -> Checked[Policy]:
    """Return a document's policy and every complaint about it."""
    path = document.file
    given = {"name": path.stem, "path": path, "digest": digest_of_bytes(document.content)}
    made, complaints = checked(Policy, document, given, checks_policy.policy(mapping_of(document), path))
    if made is None or complaints:
        return None, complaints

    def located(text: str) -> str:
        there = is_there(path.parent / text) and (path.parent / text).is_dir()  # a built image's folder
        return str(path.parent / text) if text and (there or checks_plan.is_path(text)) else text

    keys = tuple(one if one.startswith(LINE) else str(path.parent / one) for one in made.signed_by)
    update = {
        "signed_by": keys,
        "profile": made.profile and located(made.profile),
        "image": made.image and PARTS.join(map(located, parts_of(made.image, path.parent))),
        "machine": made.machine and located(made.machine),
    }
    return made.model_copy(update=update), []
