"""An image that boards boot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tiers import needs

from harness import paths
from harness.arch import by_name
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.image import Image
from harness.spec import load_image


@pytest.fixture(scope="session")
@needs("builds")
def minimal() -> Image:
    """The image `minimal` for the stand-ins' architecture."""
    return Builder(Settings()).build(load_image([paths.CASES / "images/minimal.yml"]), by_name("arm64"))


@pytest.fixture(scope="session", autouse=True)
def _lab_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let the tests' locks and faults be elsewhere than the host's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_LAB", str(tmp_path_factory.mktemp("lab")))
        yield
