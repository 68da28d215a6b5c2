"""An image's own configuration (its label) under the YAML's entry: which of the two counts, key by key."""

from __future__ import annotations

from harness.spec.models.container import BindNS, EntryConfig, Runtime

DEFAULT_ENV = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)
# where LinuxKit takes empty text for "not written": the label's or the default's value counts
_EMPTY_IS_UNWRITTEN = ("net", "pid", "ipc", "uts", "userns", "cwd", "hostname")


def merge(label: EntryConfig, entry: EntryConfig) -> EntryConfig:
    """Put the entry's keys over the label's; ``.add`` keys append to the label's list, ``runtime`` merges by key."""
    merged = {key: value for key in EntryConfig.model_fields if (value := getattr(label, key)) is not None}
    for key in EntryConfig.model_fields:
        value = getattr(entry, key)
        if value is not None and not (value == "" and key in _EMPTY_IS_UNWRITTEN):
            merged[key] = value
    if label.runtime and entry.runtime:
        merged["runtime"] = _merge_runtime(label.runtime, entry.runtime)
    for key in ("capabilities", "binds"):
        more = getattr(entry, f"{key}_add")
        if more is not None and getattr(entry, key) is None:
            old = getattr(label, key) or ()
            merged[key] = tuple(dict.fromkeys((*old, *more)))
        merged.pop(f"{key}_add", None)
    return EntryConfig(**merged)


def _merge_runtime(label: Runtime, entry: Runtime) -> Runtime:
    said = {key: getattr(entry, key) for key in entry.model_fields_set}
    if label.bind_ns and entry.bind_ns:
        both = {**_said(label.bind_ns), **_said(entry.bind_ns)}
        said["bind_ns"] = BindNS(**both)
    return label.model_copy(update=said)


def _said(paths: BindNS) -> dict[str, str]:
    return {key: getattr(paths, key) for key in paths.model_fields_set}
