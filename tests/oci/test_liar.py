"""Registries that fail or hang: what is tried again, and what is gone on with."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from asking import ARM64, HERE, Make, fetch, largest_layer, status
from servers import Fault, Liar, Reply, Seen

from harness.errors import UserError
from harness.oci import fetch as fetching
from harness.oci import transport
from harness.oci.layers import Limits
from harness.oci.merge import merge
from harness.oci.trouble import RegistryError
from harness.patience import Patience

FOREVER = 1000


def cut(_: Seen, reply: Reply) -> Reply:
    return replace(reply, body=reply.body[: len(reply.body) // 2], size=len(reply.body))


def hang(_: Seen, reply: Reply) -> Reply:
    return replace(reply, pause=FOREVER)


@pytest.mark.parametrize("where", ["manifests/", "blobs/"])
@pytest.mark.parametrize(
    "fault",
    [status(500), status(503, Retry_After="0"), status(429, Retry_After="0"), status(408), cut],
    ids=["500", "503", "429", "408", "cut"],
)
def test_what_passes_is_tried_again(images: Make, liar: Liar, where: str, fault: Fault) -> None:
    liar.spoil(where, fault)
    said: list[str] = []
    fetch(images(progress=said.append), liar)
    assert [one for one in said if "trying again" in one]
    assert liar.faults == []


def test_one_that_hangs_is_asked_again(images: Make, liar: Liar) -> None:
    liar.spoil("manifests/", hang)
    liar.spoil("blobs/", hang)
    hasty = images()
    hasty.patience = Patience(attempts=3, wait=0.01, timeout=1)
    fetch(hasty, liar)
    assert liar.faults == []


def test_patience_ends(images: Make, liar: Liar) -> None:
    liar.spoil("manifests/", status(500), times=99)
    with pytest.raises(RegistryError, match=f"{liar.host} has failed") as caught:
        fetch(images(), liar)
    assert len(liar.asked("manifests/")) == 3
    assert "HTTP status 500" in caught.value.details
    assert "\x1b" not in str(caught.value)


def test_one_that_trickles(images: Make, liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(step=100)
    monkeypatch.setattr(transport, "monotonic", lambda: next(clock))
    with pytest.raises(RegistryError, match="does not answer") as caught:
        fetch(images(), liar)
    assert "bytes came in 100 s" in caught.value.details


@pytest.mark.parametrize("code", [401, 403, 404, 400, 418])
def test_what_does_not_pass_is_not_tried_again(images: Make, liar: Liar, code: int) -> None:
    liar.spoil("manifests/", status(code), times=99)
    with pytest.raises(UserError if code == 404 else RegistryError):
        fetch(images(), liar)
    assert len(liar.asked("manifests/")) == 1


def test_one_that_wants_a_long_pause_gets_none(images: Make, liar: Liar) -> None:
    liar.spoil("manifests/", status(429, Retry_After="3600"), times=99)
    with pytest.raises(RegistryError, match="asked too often, and to be asked again after 3600 s"):
        fetch(images(), liar)
    assert len(liar.asked("manifests/")) == 1


def test_a_date_to_wait_for(images: Make, liar: Liar) -> None:
    liar.spoil("manifests/", status(503, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"))
    liar.spoil("manifests/", status(503, Retry_After="tomorrow"))
    fetch(images(), liar)


def test_a_long_fetch_says_how_far_it_is(images: Make, liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PERIOD", 0.01)
    liar.spoil("blobs/", lambda _, reply: replace(reply, pause=0.2), times=4)
    said: list[str] = []
    fetch(images(progress=said.append), liar)
    assert f"{liar.host}/app:1, linux/arm64: 0 of 0 MB" in said


# resuming


def test_a_download_goes_on_where_it_broke_off(images: Make, liar: Liar, layout: Path) -> None:
    digest, size = largest_layer(layout)
    liar.spoil(digest, cut)
    fetch(images(), liar)
    first, second = liar.asked(digest)
    assert "Range" not in first.headers
    assert second.headers["Range"] == f"bytes={size // 2}-"


def test_it_goes_on_in_another_run(images: Make, liar: Liar, layout: Path) -> None:
    digest, size = largest_layer(layout)
    hasty = images()
    hasty.patience = Patience(attempts=1)
    liar.spoil(digest, cut)
    with pytest.raises(RegistryError, match="does not answer"):
        fetch(hasty, liar)
    fetch(images(), liar)
    assert liar.asked(digest)[-1].headers["Range"] == f"bytes={size // 2}-"


def _no_range(seen: Seen, reply: Reply, layout: Path) -> Reply:
    return Reply(200, (layout / "blobs/sha256" / seen.path.rpartition(":")[2]).read_bytes())


def test_a_registry_that_knows_no_ranges(images: Make, liar: Liar, layout: Path) -> None:
    digest, _ = largest_layer(layout)
    liar.spoil(digest, cut)
    liar.spoil(digest, lambda seen, reply: _no_range(seen, reply, layout))
    fetch(images(), liar)
    assert len(liar.asked(digest)) == 2


def test_another_part_than_was_asked_for(images: Make, liar: Liar, layout: Path) -> None:
    digest, _ = largest_layer(layout)
    liar.spoil(digest, cut)
    liar.spoil(digest, lambda _, reply: replace(reply, headers={"Content-Range": "bytes 0-9/10"}))
    with pytest.raises(RegistryError, match="does not answer as a registry"):
        fetch(images(), liar)
    fetch(images(), liar)


def test_bytes_of_before_that_are_damaged(images: Make, liar: Liar, layout: Path) -> None:
    digest, size = largest_layer(layout)
    made = images()
    partial = made.store.root / "partial" / digest.partition(":")[2]
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"damaged" * 100)
    fetch(made, liar)
    first, second = liar.asked(digest)
    assert first.headers["Range"] == "bytes=700-"
    assert "Range" not in second.headers
    assert list(partial.parent.iterdir()) == []
    # a whole one that is damaged, and one that is too long
    for name, junk in (("whole", bytes(size)), ("long", bytes(size + 1))):
        other = images(name)
        partial = other.store.root / "partial" / digest.partition(":")[2]
        partial.parent.mkdir(parents=True)
        partial.write_bytes(junk)
        fetch(other, liar)


SCRIPT = """
import sys
import threading
from pathlib import Path
from harness.arch import by_name
from harness.oci.fetch import Images
from harness.store import Store
image = Images(Store(Path(sys.argv[1]))).fetch(sys.argv[2], by_name("arm64"), Path())
print(image.digest)
"""


def run(cache: Path, liar: Liar) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(cache), f"{liar.host}/app:1"], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_a_killed_download_is_gone_on_with(images: Make, liar: Liar, layout: Path, tmp_path: Path) -> None:
    digest, size = largest_layer(layout)
    arrived = tmp_path / "cache/partial" / digest.partition(":")[2]
    liar.spoil(digest, lambda _, reply: replace(reply, slow=0.01))
    process = run(tmp_path / "cache", liar)
    while not arrived.exists():
        assert process.poll() is None
    while not (arrived.stat().st_size if arrived.exists() else 0):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    have = arrived.stat().st_size
    assert 0 < have < size
    fetch(images(), liar)
    assert liar.asked(digest)[-1].headers["Range"] == f"bytes={have}-"


@pytest.mark.slow
def test_two_at_once_fetch_once(liar: Liar, tmp_path: Path) -> None:
    liar.spoil("blobs/", lambda _, reply: replace(reply, pause=0.1), times=4)
    both = [run(tmp_path / "cache", liar) for _ in range(2)]
    answers = {process.communicate()[0] for process in both}
    assert len(answers) == 1
    assert all(process.returncode == 0 for process in both)
    paths = [one.path for one in liar.asked("/blobs/")]
    assert len(paths) == len(set(paths)) == 4  # the config and three layers


@pytest.mark.slow
def test_a_full_disk_is_said_in_words(liar: Liar, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    script = 'mount -t tmpfs -o size=8k disk "$1" || exit 99; shift; exec "$@"'
    argv = ["unshare", "-rm", "sh", "-c", script, "sh", str(tmp_path / "disk")]
    argv += [sys.executable, "-c", SCRIPT, str(tmp_path / "disk"), f"{liar.host}/app:1"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip(f"no small disk without privilege here: {done.stderr.strip()}")
    assert "HostError: the disk is full: could not write " in done.stderr


def test_a_damaged_cache_is_mended(images: Make, liar: Liar) -> None:
    layer = fetch(images(), liar).layers[0]
    layer.path.write_bytes(b"x" * layer.size)
    said: list[str] = []
    fetch(images(progress=said.append), liar)
    name = f"blobs/{layer.digest.removeprefix('sha256:')[:16]}"
    assert f"{name} is damaged in the cache (blob): thrown away, to be had again" in said
    assert len(liar.asked(layer.digest)) == 2


def test_a_layer_whose_files_are_there_is_not_read_again(images: Make, liar: Liar) -> None:
    name, made = f"{liar.host}/app:1", images()
    said: list[str] = []
    image = fetch(made, liar)
    files = merge(image, Limits(), made.store)
    image.layers[0].path.write_bytes(b"x" * image.layers[0].size)  # who read it would say so
    again = images(progress=said.append).fetch(name, ARM64, HERE, files_only=True)
    assert again == image and merge(again, Limits(), made.store) == files
    assert not [one for one in said if "damaged" in one]
    image.layers[0].path.write_bytes(b"x")
    images().fetch(name, ARM64, HERE, files_only=True)
    assert len(liar.asked(image.layers[0].digest)) == 2, "what is not whole comes again"


def test_an_interrupt_ends_the_download(images: Make, liar: Liar, layout: Path) -> None:
    digest, _ = largest_layer(layout)
    liar.spoil(digest, lambda _, reply: replace(reply, slow=0.01), times=1)

    def alive() -> None:
        if liar.asked(digest):
            raise KeyboardInterrupt

    made = images(alive=alive)
    with pytest.raises(KeyboardInterrupt):
        fetch(made, liar)
    fetch(images(), liar)


def test_one_layer_that_fails_ends_the_others(images: Make, liar: Liar, layout: Path) -> None:
    digest, size = largest_layer(layout)
    began = threading.Event()

    def slow(_: Seen, reply: Reply) -> Reply:
        began.set()
        return replace(reply, slow=0.01)

    def late(_: Seen, __: Reply) -> Reply:
        began.wait(30)
        return Reply(403)

    image = images("before").fetch(f"{liar.host}/app:1", ARM64, HERE)
    other = next(layer.digest for layer in image.layers if layer.digest != digest)
    liar.spoil(digest, slow)
    liar.spoil(other, late)
    made = images()
    with pytest.raises(RegistryError, match="refuses access to it"):
        fetch(made, liar)
    assert (made.store.root / "partial" / digest.partition(":")[2]).stat().st_size < size
