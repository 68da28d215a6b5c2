"""`harness clean`: gives back what the cache holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from harness import paths
from harness.retention import MB, entry, surplus
from harness.store import Store, usage


@dataclass(frozen=True)
class CacheKind:
    """What the cache holds under `pattern`. ``download``: to have it again takes the network."""

    name: str
    pattern: str  # names what is ours and nothing else, should HARNESS_CACHE point at a folder with other things
    download: bool = False


KEY = "[0-9a-f]" * 24 + "*"  # results bear a digest as their name
KINDS = (
    CacheKind("images", f"images/{KEY}"),
    CacheKind("roots", f"roots/{KEY}"),
    CacheKind("notes", f"checked/{KEY}.json"),
    CacheKind("layers", f"layers/{KEY}"),
    CacheKind("OCI layers", f"oci-layers/{KEY}"),
    CacheKind("kernels", f"kernels/{KEY}"),
    CacheKind("kernel-index", f"kernel-index/{KEY}"),
    CacheKind("loaders", f"loaders/{KEY}"),
    CacheKind("leftovers", "tmp/[0-9]*-*"),
    CacheKind("crash reports", "crashes/crash-*.txt"),
    CacheKind("KVM verdict", "accel.json"),
    CacheKind("packages", f"debs/{KEY}", download=True),
    CacheKind("OCI blobs", f"blobs/{KEY}", download=True),
    CacheKind("partial blobs", f"partial/{KEY}", download=True),
    CacheKind("package lists", f"apt/{KEY}", download=True),
    CacheKind("resolutions", f"resolved/{KEY}", download=True),
)


@dataclass(frozen=True)
class Freed:
    """What goes of one kind; ``size`` in bytes."""

    name: str
    entries: int
    size: int


def clean(*, everything: bool, dry_run: bool, to_mb: float | None = None, as_json: bool = False) -> int:
    """Remove what can be built again, with `everything` the downloads too; print what was freed. Returns 0.

    With `to_mb` of all that only what was longest unused, until the cache takes so many MB.

    Raises HostError while another process is using the cache.
    """
    store = Store(paths.cache_dir())
    kinds = [kind for kind in KINDS if everything or not kind.download]
    if to_mb is not None:
        freed = shrink(store, round(to_mb * MB), dry_run=dry_run)
    elif dry_run or not store.root.is_dir():
        freed = list(_remove(store, kinds, dry_run=True))
    else:
        with store.telling("the cache"), store.alone():
            freed = list(_remove(store, kinds, dry_run=False))
    if as_json:
        rows = [{"kind": one.name, "entries": one.entries, "size": one.size} for one in freed]
        total = sum(one.size for one in freed)
        print(json.dumps({"folder": str(store.root), "dry_run": dry_run, "freed": total, "kinds": rows}, indent=1))
    elif not store.root.is_dir():
        print(f"nothing to clean: there is no {store.root}")
    else:
        _report(freed, "would free" if dry_run else "freed", store.root)
    return 0


def _remove(store: Store, kinds: Iterable[CacheKind], *, dry_run: bool) -> Iterator[Freed]:
    """Yield what goes of each kind."""
    for kind in kinds:
        entries = sorted(store.root.glob(kind.pattern))
        if not entries:
            continue
        size = usage(*entries)
        if not dry_run:
            for entry in entries:
                _discard(store, entry)
        yield Freed(kind.name, len(entries), size)


def shrink(store: Store, limit: int, *, dry_run: bool) -> list[Freed]:
    """Remove what was longest unused until the cache takes `limit` bytes; return what went, by kind.

    HostError while another process is using the cache.
    """
    if not store.root.is_dir():
        return []
    with nullcontext() if dry_run else store.alone():
        kinds = {path: kind.name for kind in KINDS for path in store.root.glob(kind.pattern)}
        gone = surplus(map(entry, kinds), limit)
        if not dry_run:
            for one in gone:
                _discard(store, one.path)
    rows = [(kinds[one.path], one.size) for one in gone]
    names = dict.fromkeys(name for name, _ in rows)
    sizes = {name: [size for kind, size in rows if kind == name] for name in names}
    return [Freed(name, len(found), sum(found)) for name, found in sizes.items()]


def _discard(store: Store, entry: Path) -> None:
    if entry.parent.name == "tmp":
        shutil.rmtree(entry, ignore_errors=True)
    else:
        store.discard(entry)


def _report(rows: Sequence[Freed], verb: str, root: Path) -> None:
    for one in rows:
        print(f"  {one.name:14} {one.entries:6} {'entry' if one.entries == 1 else 'entries':7} {_mb(one.size):>12}")
    print(f"{verb} {_mb(sum(one.size for one in rows))} in {root}")


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
