"""Certificates of real images, made once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from certifying import PATIENCE, Certified, Certify, harness, merged
from tiers import needs

from harness.certify import keys


@pytest.fixture(scope="session")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signing key's file; its public half is beside it."""
    path = tmp_path_factory.mktemp("key") / "vendor.key"
    keys.make(path)
    return path


@pytest.fixture(scope="session")
@needs("boots", "builds")
def certify(tmp_path_factory: pytest.TempPathFactory, signing: Path) -> Certify:
    """Certify the image `minimal` with more YAML: ``certify(yaml, profile="base", machine="qemu-arm64", *words)``."""

    def run(more: str = "", *words: str, profile: str = "base", machine: str = "qemu-arm64",
            files: Mapping[str, str | bytes] | None = None) -> Certified:  # fmt: skip
        folder = tmp_path_factory.mktemp("certify")
        for name, content in (files or {}).items():
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        (folder / "image.yml").write_text(merged(more))
        ran = harness(folder, "certify", "image.yml", "-m", machine, "-p", profile, "-o", "evidence.tar.zst", "--key",
                      str(signing), "--timeout-multiplier", PATIENCE, "--results", "out", "--json", *words)  # fmt: skip
        assert ran.code in (0, 1) and ran.stdout, ran.words
        return Certified(folder / "evidence.tar.zst", ran.code, ran.json, keys.load(str(signing)), signing, ran.words)

    return run


@pytest.fixture(scope="session")
def certified(certify: Certify) -> Certified:
    """The evidence of the image `minimal` by the profile `base`."""
    return certify()
