"""What is judged of a cluster's file beyond its shape, at each key's path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.spec.models.cluster import ClusterHosts
from harness.spec.text.complaints import Problem

KEY = "cluster"  # which no other kind of file has
REMOTE = ("ssh", "slurm")
LOOPBACK = ("tcp://127.", "tcp://localhost", "tcp://[::1]")


def cluster(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Judge a cluster's data."""
    hosts = data.get(KEY)
    if not isinstance(hosts, Mapping):
        return
    ways = ClusterHosts.one_of
    if sum(name in hosts for name in ways) != 1:
        yield Problem((KEY,), "has to say where the hosts come from", f"exactly one of {', '.join(ways)}")
    address = hosts.get("address")
    if isinstance(address, str) and (said := wrong_address(address)):
        yield Problem((KEY, "address"), *said)
    for name in REMOTE:
        if name in hosts and "certificates" not in data:
            yield Problem((KEY, name), "speaks over a network, which needs certificates", "certificates: FOLDER")
    for index, text in enumerate(data.get("boards") or ()):
        if isinstance(text, str) and not all(text.partition("@")[::2]):
            yield Problem(("boards", index), f"{text!r} does not say which host holds the board", "NAME@HOST")


def wrong_address(text: str) -> tuple[str, str] | None:
    """Return what is wrong with a scheduler's address and what is expected; None if nothing is."""
    scheme, parted, place = text.partition("://")
    if not parted or scheme not in ("tls", "tcp") or not place.rpartition(":")[2].isdigit():
        return f"{text!r} is not the address of a scheduler", "tls://HOST:PORT"
    if scheme == "tcp" and not text.startswith(LOOPBACK):
        return f"{text!r} would send all in the clear, to whoever listens", "tls://HOST:PORT, with certificates"
    return None
