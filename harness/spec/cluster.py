"""A cluster's file: read, judged and made an object."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UserError
from harness.spec.components import Checked, checked
from harness.spec.models.cluster import Cluster, ClusterHosts
from harness.spec.rules import cluster as checks_cluster
from harness.spec.text.complaints import SpecError
from harness.spec.text.reader import Document, mapping_of, read


def load_cluster(text: str, certificates: Path | None = None) -> Cluster:
    """Return the cluster that a scheduler's address or a file describes; `certificates` stand in place of the file's.

    SpecError with every complaint, UserError when it cannot be read.
    """
    if "://" in text:
        if said := checks_cluster.wrong_address(text):
            raise UserError(said[0], hint=said[1])
        return Cluster(name=text, path=Path(), cluster=ClusterHosts(address=text), certificates=certificates)
    from harness.spec.kinds import refuse_other_kinds

    document = read(Path(text))
    refuse_other_kinds(document, "cluster")
    made, complaints = check_cluster(document)
    if made is None:
        raise SpecError(complaints)
    return made if certificates is None else made.model_copy(update={"certificates": certificates})


def check_cluster(document: Document) -> Checked[Cluster]:
    """Return a document's cluster and every complaint about it; its paths come out relative to the current folder."""
    path = document.file
    given = {"name": path.stem, "path": path}
    made, complaints = checked(Cluster, document, given, checks_cluster.cluster(mapping_of(document)))
    if made is None or complaints:
        return None, complaints
    hosts = made.cluster
    if hosts.ssh is not None:
        moved = {key: path.parent / value for key in ("key", "known_hosts") if (value := getattr(hosts.ssh, key))}
        hosts = hosts.model_copy(update={"ssh": hosts.ssh.model_copy(update=moved)})
    folder = made.certificates and path.parent / made.certificates
    return made.model_copy(update={"cluster": hosts, "certificates": folder}), []
