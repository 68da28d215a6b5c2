"""The moment of a service's health is that of the event, not of whoever looks: what comes after it moves nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import paths
from harness.image import Image
from harness.launch import boot
from harness.launch.exact import exact_boot
from harness.spec import load_machine
from harness.system import BootOptions

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


# `await` of the same guest, as it is and in a user namespace, where the kernel grants it no BPF: its nice value and
# scheduling class (the first asks at the lowest priority, the second waits before all others), and its BPF files.
ASKED = """port=4000
for how in "" "unshare -r"; do
  port=$((port+1))
  $how /usr/lib/harness/await -web 60 tcp $port & p=$!
  until w=$(cut -d' ' -f19,41 /proc/$p/stat); [ "$w" != "0 0" ]; do :; done
  echo "$how: $w, $(ls -l /proc/$p/fd | grep -c bpf)"
  busybox httpd -p $port
  wait $p; echo "code $?"
done
unshare -r /usr/lib/harness/await -web 1 tcp 4000; echo "code $?"
"""


def test_where_there_is_no_bpf_a_listener_is_found_by_asking(built: Callable[[Path], Image], tmp_path: Path) -> None:
    machine = load_machine(paths.MACHINES / "qemu-arm64.yml")
    options = BootOptions(mode="wall", out=tmp_path, probe=True)
    with boot(built(paths.CASES / "images/minimal.yml"), machine, options) as system:
        system.wait_ready()
        said = system.shell.run(ASKED, timeout=120).text.splitlines()
    assert said == [": 0 1, 3", "code 0", "unshare -r: 19 0, 0", "code 0", "code 1"]
