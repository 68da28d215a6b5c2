"""`harness clean`: gives back what the cache holds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import paths
from harness.store import Store, usage


@dataclass(frozen=True)
class Kind:
    """What the cache holds under `pattern`. ``download``: to have it again takes the network."""

    name: str
    pattern: str  # names what is ours and nothing else, should HARNESS_CACHE point at a folder with other things
    download: bool = False


KEY = "[0-9a-f]" * 24 + "*"  # results bear a digest as their name
KINDS = (
    Kind("images", f"images/{KEY}"),
    Kind("layers", f"layers/{KEY}"),
    Kind("kernels", f"kernels/{KEY}"),
    Kind("kernel-index", f"kernel-index/{KEY}"),
    Kind("leftovers", "tmp/[0-9]*-*"),
    Kind("crash reports", "crashes/crash-*.txt"),
    Kind("KVM verdict", "accel.json"),
    Kind("packages", f"debs/{KEY}", download=True),
    Kind("package lists", f"apt/{KEY}", download=True),
    Kind("resolutions", f"resolved/{KEY}", download=True),
)


def clean(*, everything: bool, dry_run: bool) -> int:
    """Remove what can be built again, with `everything` the downloads too; print what was freed. Returns 0.

    Raises HostError while another process is using the cache.
    """
    store = Store(paths.cache_dir())
    if not store.root.is_dir():
        print(f"nothing to clean: there is no {store.root}")
        return 0
    kinds = [kind for kind in KINDS if everything or not kind.download]
    if dry_run:
        _report(_remove(store, kinds, dry_run=True), "would free", store.root)
        return 0
    with store.telling("the cache"), store.alone():
        _report(_remove(store, kinds, dry_run=False), "freed", store.root)
    return 0


def _remove(store: Store, kinds: list[Kind], *, dry_run: bool) -> Iterator[tuple[str, int, int]]:
    """Yield (kind, entries, bytes) of what goes."""
    for kind in kinds:
        entries = sorted(store.root.glob(kind.pattern))
        if not entries:
            continue
        size = usage(*entries)
        if not dry_run:
            for entry in entries:
                _discard(store, entry)
        yield kind.name, len(entries), size


def _discard(store: Store, entry: Path) -> None:
    if entry.parent.name == "tmp":
        shutil.rmtree(entry, ignore_errors=True)
    else:
        store.discard(entry)


def _report(rows: Iterator[tuple[str, int, int]], verb: str, root: Path) -> None:
    total = 0
    for name, count, size in rows:
        print(f"  {name:14} {count:6} {'entry' if count == 1 else 'entries':7} {_mb(size):>12}")
        total += size
    print(f"{verb} {_mb(total)} in {root}")


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
