"""The bills of all images that the harness ships, the library's among them, by everybody's checkers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from judges import library
from test_sbom import judge, refusal

from harness import paths
from harness.arch import by_name
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.commands.images import sbom
from harness.sbom import cyclonedx
from harness.spec import load_image

pytestmark = [pytest.mark.builds, pytest.mark.long]
IMAGES = sorted((paths.CASES / "images").glob("*.yml"))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.stem)
def test_the_checkers_take_the_bill(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(sbom.EPOCH, raising=False)
    image = Builder(Settings()).build(load_image([path]), by_name("arm64"))
    bill = sbom.of(image, "Robin Ltd <sbom@robin.example>")
    judge(bill)
    assert refusal(cyclonedx.document(bill)) is None
    (tmp_path / "bill.spdx.json").write_text(json.dumps(bill))
    checked = library("ntia_conformance_checker").NTIAChecker(str(tmp_path / "bill.spdx.json"))
    assert checked.compliant, checked.output_json()
