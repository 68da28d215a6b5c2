"""`harness build`: where YAML comes from, what it is called, what is said without building; `metadata create`."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.cli import app
from harness.spec.load import load_image
from harness.spec.merge import merged
from harness.spec.models.image import ImageFile
from harness.spec.rules.images import shipped
from harness.tree import iso9660

YAML = "kernel: {image: kernel, cmdline: quiet}\ninit: [init]\n"
MORE = "services:\n  - {name: web, image: nginx}\nfiles: [{path: etc/a, contents: 'x: y', mode: '0600'}]\nexpect: off\n"


def run(*words: str | Path, typed: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], input=typed)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in ("default", "minimal") else pytest.mark.slow) for name in shipped()]
)
def test_what_is_printed_says_the_same_as_the_files(name: str, tmp_path: Path) -> None:
    def said(path: Path) -> dict[str, object]:
        return load_image([path], library=True).model_dump(include=set(ImageFile.model_fields))

    (tmp_path / "again.yml").write_text(merged(load_image([shipped()[name]], library=True)))
    assert said(tmp_path / "again.yml") == said(shipped()[name])


def test_a_dry_run_prints_what_files_make_together_and_builds_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(YAML)
    (tmp_path / "b.yml").write_text(MORE)
    done = run("build", tmp_path / "a.yml", tmp_path / "b.yml", "--dry-run", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    (tmp_path / "c.yml").write_text(done.stdout)
    one, two = (load_image([tmp_path / name for name in names]) for names in (("a.yml", "b.yml"), ("c.yml",)))
    assert merged(one) == merged(two) == done.stdout
    assert {"web", "nginx", "0600"} <= set(done.stdout.replace("'", " ").split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".a", "a\nb", "x" * 101, "é"])
def test_what_no_image_can_be_called_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(YAML)
    done = run("build", tmp_path / "a.yml", "--name", name, "--dry-run")
    assert (done.exit_code, "no name of an image" in done.output) == (2, True), done.output


def test_yaml_comes_on_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "b.yml").write_text(MORE)
    done = run("build", "-", tmp_path / "b.yml", "--dry-run", typed=YAML)
    assert (done.exit_code, "nginx" in done.stdout) == (0, True), done.output
    wrong = run("build", "-", "--dry-run", typed="kernel: [")
    assert (wrong.exit_code, "image.yml:2:1: not YAML" in wrong.output) == (2, True), wrong.output
    assert "named twice" in run("build", "-", "-", "--dry-run", typed=YAML).output
    assert "nothing came" in run("build", "-", "--dry-run", typed=" \n").output
    large = run("build", "-", "--dry-run", typed="#" * (2 << 20))
    assert (large.exit_code, "MiB" in large.output) == (2, True), large.output
    assert [path.name for path in tmp_path.iterdir()] == ["b.yml"], "nothing is left"


@contextmanager
def served(answers: dict[str, tuple[int, bytes]]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path, (404, b""))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def test_yaml_is_fetched() -> None:
    with served({"/os.yml?a=1": (200, YAML.encode()), "/page": (200, b"<!DOCTYPE html><html></html>")}) as url:
        done = run("build", f"{url}/os.yml?a=1", "--dry-run")
        assert (done.exit_code, done.stdout) == (0, merged(load_image([shipped()["minimal"]])).partition("services")[0]
                                                 .replace(" cryptomgr.notests", "")), done.output  # fmt: skip
        gone, page = run("build", f"{url}/other.yml", "--dry-run"), run("build", f"{url}/page", "--dry-run")
    assert (gone.exit_code, "the server answers 404" in gone.output) == (2, True), gone.output
    assert (page.exit_code, "page.yml:1:" in page.output) == (2, True), page.output
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}/os.yml"
    away = run("build", nobody, "--dry-run")
    assert (away.exit_code, "cannot be fetched" in away.output) == (3, True), away.output


@pytest.mark.parametrize("url", ["http://[x", "http://", "https://host:99999999/a.yml", "http://me:geheim@[x/a.yml"])
def test_what_is_no_url_is_the_user_s_mistake_and_no_password_is_shown(url: str) -> None:
    done = run("build", url, "--dry-run")
    assert done.exit_code in (2, 3) and "geheim" not in done.output and "a bug" not in done.output, done.output


def test_the_outputs_of_long_ago_are_told_what_there_is_instead(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(f"{YAML}outputs:\n  - format: iso-bios\n")
    done = run("lint", tmp_path / "a.yml")
    assert (done.exit_code, "outputs: unknown key, expected --format of `harness build`" in done.output) == (2, True)


def test_a_cd_with_user_data_is_written_once(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("hello")
    cd = tmp_path / "data.iso"
    assert run("metadata", "create", cd, tmp_path / "data").exit_code == 0
    # what tests/build/test_iso9660.py has read by others
    assert cd.read_bytes() == iso9660.write("cidata", {"user-data": b"hello", "meta-data": b"instance-id: harness\n"})
    again = run("metadata", "create", cd, tmp_path / "data")
    assert (again.exit_code, "is there already" in again.output) == (2, True)
    assert run("metadata", "create", tmp_path / "no/data.iso", tmp_path / "data").exit_code == 2
    assert run("metadata", "create", tmp_path / "new.iso", tmp_path / "none").exit_code == 2
