"""A stranger's image is booted in variations of its counted boot: what it does only where it is counted shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from certifying import merged

from harness.arch import by_name
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.certify import variations
from harness.certify.variations import KIND, Stranger
from harness.certify.verify import CheckResult
from harness.errors import EvidenceError, ImageError
from harness.launch.exact import exact_boot
from harness.spec import load_image, load_machine
from harness.system.milestones import Milestone
from harness.system.record import BootRecord

Boot = Callable[..., BootRecord]


def booted(ready_ms: int, *, mode: str = "exact", scale: int = 1) -> BootRecord:
    """A boot whose kernel takes 200 ms, times `scale`, before its first process."""
    marks = (Milestone("init", 200_000 * scale, 0.2 * scale), Milestone("ready", ready_ms * 1000, ready_ms / 1000))
    return BootRecord(image="i", arch="arm64", machine="m", mode=mode, probed=False, accel="tcg", accel_reason="",  # type: ignore[arg-type]
                      argv=(), cmdline="", cpu="", machine_type="", qemu_version="7.2", host={}, milestones=marks,
                      ready_us=ready_ms * 1000, host_ready_s=ready_ms / 1000)  # fmt: skip


def fails(*args: object, **keys: object) -> BootRecord:
    raise ImageError("it hangs")


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[CheckResult]]:
    def check(
        seeded: BootRecord | None, wall: Sequence[BootRecord | None], *, claimed: bool = True
    ) -> list[CheckResult]:
        walls = iter(wall)

        def boot(*args: object, **keys: object) -> BootRecord:
            one = next(walls)
            return one if one else fails()

        monkeypatch.setattr(variations, "exact_boot", (lambda *args, **keys: seeded) if seeded else fails)
        monkeypatch.setattr(variations, "_wall", boot)
        one = Stranger(Any, Any, tmp_path, 1.0, 1.0)  # type: ignore[arg-type]
        results = list(variations.check(booted(700), one, claimed=claimed))
        assert list(walls) == []
        return results

    return check


def test_what_does_the_same_holds_in_kind(found: Callable[..., list[CheckResult]]) -> None:
    made = found(booted(710), [booted(5000, mode="wall", scale=12)])
    assert [(one.how, one.lacks) for one in made] == [("re-executed", "")] * 2
    assert "+10.000 ms later" in made[0].text and "5000 ms to ready by this host's" in made[1].text


@pytest.mark.parametrize("seeded", [booted(900), booted(500), None], ids=["slower", "faster", "hangs"])
def test_what_another_seed_changes_does_not_hold(
    found: Callable[..., list[CheckResult]], seeded: BootRecord | None
) -> None:
    first, second = found(seeded, [booted(5000, mode="wall", scale=12)])
    assert (first.how, first.lacks, second.lacks) == ("not re-executed", KIND, "")


def test_a_host_that_was_busy_once_is_forgiven(found: Callable[..., list[CheckResult]]) -> None:
    late, fine = booted(90_000, mode="wall", scale=12), booted(5000, mode="wall", scale=12)
    assert [one.lacks for one in found(booted(700), [late, fine])] == ["", ""]


def test_what_is_slow_only_where_nobody_counts_is_a_lie(found: Callable[..., list[CheckResult]]) -> None:
    late = [booted(90_000, mode="wall", scale=12)] * variations.TRIES
    with pytest.raises(EvidenceError, match="booted without counting its instructions, and it does not do the same"):
        found(booted(700), late)
    assert found(booted(700), late, claimed=False)[1].lacks == KIND  # the profile does not ask for it
    assert found(booted(700), [None])[1].lacks == KIND


# It is honest on the day on which each counted boot takes place, or where a word of a counted boot is there.
MEASURED = ("date +%F | grep -q 2026-01-01", "grep -q nokaslr /proc/cmdline")
LIE = """
onboot:
  - name: honest
    image: busybox
    command: [/bin/sh, -c, "{} || sleep 40"]
"""


@pytest.mark.boots
@pytest.mark.builds
@pytest.mark.long
@pytest.mark.parametrize("measured", MEASURED)
def test_an_image_that_knows_when_it_is_counted_is_found_out(tmp_path: Path, measured: str) -> None:
    (tmp_path / "image.yml").write_text(merged(LIE.format(measured)))
    image = Builder(Settings()).build(load_image([tmp_path / "image.yml"]), by_name("arm64"))
    machine = load_machine("qemu-arm64")
    then = exact_boot(image, machine, tmp_path / "exact", timeout=600.0)
    with pytest.raises(EvidenceError, match="it does not do the same") as caught:
        list(variations.check(then, Stranger(image, machine, tmp_path / "again", 600.0, 1.0), claimed=True))
    assert "onboot/honest: takes 4" in caught.value.details
