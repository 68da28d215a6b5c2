"""What tests that ask registries share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from servers import Fault, Liar, Reply

from harness.arch import by_name
from harness.oci.fetch import Images
from harness.oci.image import OciImage
from harness.store import file_digest

ARM64 = by_name("arm64")
HERE = Path()
Make = Callable[..., Images]


def index_of(layout: Path) -> dict[str, str]:
    """Return the digests of a layout's manifests by architecture, as it says itself."""
    top = json.loads((layout / "index.json").read_text())["manifests"][0]
    rows = json.loads((layout / "blobs" / top["digest"].replace(":", "/")).read_text())["manifests"]
    return {row["platform"]["architecture"]: row["digest"] for row in rows}


def docker_config(home: Path, **config: object) -> None:
    (home / ".docker").mkdir(exist_ok=True)
    (home / ".docker/config.json").write_text(json.dumps(config))


def conf(home: Path, text: str) -> None:
    path = home / ".config/containers/registries.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def fetch(images: Images, liar: Liar) -> OciImage:
    image = images.fetch(f"{liar.host}/app:1", ARM64, HERE)
    for layer in image.layers:
        assert layer.digest == f"sha256:{file_digest(layer.path)}"
    return image


def largest_layer(layout: Path) -> tuple[str, int]:
    """Return the digest of the largest blob, and its size."""
    path = max((layout / "blobs/sha256").iterdir(), key=lambda one: one.stat().st_size)
    return f"sha256:{path.name}", path.stat().st_size


def status(code: int, **headers: str) -> Fault:
    return lambda _, __: Reply(code, b"oh \x1b[31mno", {name.replace("_", "-"): text for name, text in headers.items()})
