"""An image that boards boot."""

from __future__ import annotations

import pytest

from harness import paths
from harness.arch import by_name
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.image import Image
from harness.spec import load_image


@pytest.fixture(scope="session")
def minimal() -> Image:
    """The image `minimal` for the stand-ins' architecture."""
    return Builder(Settings()).build(load_image([paths.CASES / "images/minimal.yml"]), by_name("arm64"))
