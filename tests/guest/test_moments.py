"""The moment of a service's health is that of the event, not of whoever looks: what comes after it moves nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import paths
from harness.image import Image
from harness.launch.exact import exact_boot
from harness.spec import load_machine

pytestmark = pytest.mark.boots
IMAGE = """kernel: {{image: kernel, cmdline: "quiet cryptomgr.notests"}}
init: [init]
services:
  - name: web
    image: busybox
    net: host
    binds: ["/run:/run"]
    command: [/bin/sh, -c, "{event}; i=0; while [ $i -lt {turns} ]; do i=$((i+1)); done; exec sleep 100000"]
    annotations: {{harness.health: "{health}"}}
"""


@pytest.mark.parametrize(
    ("event", "health"),
    [("httpd -h /run -p 8080", "tcp:8080"), ("mkdir -p /run/a/b; touch /run/a/b/up", "file:/run/a/b/up")],
)
def test_work_after_the_event_moves_nothing(
    built: Callable[[Path], Image], tmp_path: Path, event: str, health: str
) -> None:
    machine, ready = load_machine(paths.MACHINES / "qemu-arm64.yml"), []
    for turns in ("0000", "9000"):  # 0 and some 100 ms of work
        image = tmp_path / "image.yml"
        image.write_text(IMAGE.format(event=event, health=health, turns=turns))
        record = exact_boot(built(image), machine, tmp_path / turns)
        marks = {mark.name: mark for mark in record.milestones}
        assert "asked" not in marks["services/web ready"].values
        assert record.ready_us is not None and marks["services/web ready"].guest_us is not None
        assert record.ready_us - marks["services/web ready"].guest_us < 100
        ready.append(record.ready_us)
    assert abs(ready[1] - ready[0]) < 100, "the two texts lie elsewhere, no more"
