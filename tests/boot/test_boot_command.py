"""`harness boot` as a person or a program calls it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from harness.errors import HostError
from harness.image import Image
from harness.scratch import scratch
from harness.spec.named import image_named

HARNESS = str(Path(sys.executable).with_name("harness"))
MACHINE = ("-m", "qemu-arm64")


@pytest.fixture(scope="module")
def image(images: Callable[[str], Image]) -> str:
    return str(images("arm64").folder)


@pytest.fixture(autouse=True)
def _folders_of_failed_boots(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("failed")))


def harness(*words: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HARNESS, "boot", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=300, check=False, **more)  # type: ignore[call-overload, no-any-return]  # fmt: skip


def test_a_command_s_output_and_exit_code_come_back(image: str) -> None:
    done = harness(image, *MACHINE, "--run", "echo out; cat /proc/cmdline; exit 9", "--json", "--append", "own.word=1")
    found = json.loads(done.stdout)
    assert done.returncode == found["code"] == 9
    assert found["output"].startswith("out\n")
    assert "own.word=1" in found["output"]


def test_a_command_s_bytes_come_as_they_are_and_nothing_is_left(image: str, tmp_path: Path) -> None:
    argv = [HARNESS, "boot", image, *MACHINE, "--run", "printf 'a\\0\\377'; echo b >&2"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=True,
                          env={**os.environ, "TMPDIR": str(tmp_path)})  # fmt: skip
    assert done.stdout == b"a\0\xffb\n"
    assert list(tmp_path.iterdir()) == []


def test_without_a_terminal_it_boots_and_shows_its_steps(image: str, tmp_path: Path) -> None:
    done = harness(image, *MACHINE, "-o", str(tmp_path / "kept"))
    assert image_named(str(tmp_path / "kept")).paths == (Path(image),)  # the folder names the image from then on
    assert done.returncode == 0, done.stderr
    assert "services/hello ready" in done.stdout
    assert "harness: ready" in (tmp_path / "kept/transcript.txt").read_text()


def test_exact_times_are_the_record_s(image: str) -> None:
    done = harness(image, *MACHINE, "--exact", "--json")
    found = json.loads(done.stdout)
    assert found["repeats"] is True
    assert found["records"][0]["ready_us"] == found["records"][1]["ready_us"] > 0


def test_an_explanation_adds_up(image: str) -> None:
    done = harness(image, *MACHINE, "--explain", "--json")
    found = json.loads(done.stdout)
    line = [phase for phase in found["phases"] if not phase["under"]]
    assert sum(phase["us"] for phase in line) == found["total_us"]
    assert {phase["name"].partition("/")[0] for phase in found["phases"]} >= {"initcall", "module", "services"}


def test_an_error_keeps_the_transcript_that_it_names(image: str, tmp_path: Path) -> None:
    done = harness(image, *MACHINE, "--timeout", "0.5", env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode == 5
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("transcript: "))
    assert Path(line.removeprefix("transcript: ")).is_file()


def test_a_machine_that_qemu_does_not_know_is_the_machine_s_fault(image: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text("arch: arm64\nconsole: ttyAMA0\nqemu: {machine: nosuch, cpu: cortex-a57}\n")
    done = harness(image, "-m", str(wrong))
    assert done.returncode == 4
    assert "nosuch" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--exact", "--run", "true"], "--run is for boots in wall time"),
        (["--explain", "--run", "true"], "--run is for boots in wall time"),
        (["--exact", "--forward", "80"], "--forward is for boots in wall time"),
        (["--exact", "--publish", "8080:80"], "--publish is for boots in wall time"),
        (["--runs", "2", "--publish", "8080:80"], "--publish is for single boots"),
        (["--runs", "2", "--forward", "80"], "--forward is for single boots"),
        (["--memory", ""], "--memory : no size"),
        (["-o", "taken"], "taken is a file"),
    ],
    ids=lambda value: "".join(value).strip("-") if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_refused(image: str, tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "taken").touch()
    done = harness(image, *MACHINE, *words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"harness: {said}")
    assert done.stdout == ""


def test_a_port_that_no_guest_can_have_is_refused_as_an_option_s_value(image: str, tmp_path: Path) -> None:
    done = harness(image, *MACHINE, "--forward", "70000", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.endswith("Error: Invalid value for '--forward': '70000' is not a port: 1 to 65535\n")
    assert done.stdout == "" and not list(tmp_path.iterdir())


def test_a_folder_without_room_for_the_console_is_the_host_s_lack(image: str, tmp_path: Path) -> None:
    (tmp_path / "console.out").mkdir()  # where the console's pipe should be
    done = harness(image, *MACHINE, "-o", str(tmp_path))
    assert done.returncode == 3
    assert "cannot make the console's pipes" in done.stderr


class TestScratch:
    """What a boot leaves behind stays when an error needs it, and goes else."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        return tmp_path

    @pytest.mark.parametrize("named", [True, False])
    def test_an_error_keeps_it_and_names_it(self, named: bool) -> None:
        with pytest.raises(HostError) as caught, scratch("boot") as out:
            (out / "deeper").mkdir()
            (out / "deeper/transcript.txt").touch()
            raise HostError("what", details=f"see {out}/deeper" if named else "")
        assert str(caught.value).count(str(out)) == 1
        assert (out / "deeper/transcript.txt").exists()

    @pytest.mark.parametrize("how", [HostError("nothing to see"), KeyboardInterrupt(), None])
    def test_else_it_goes(self, how: BaseException | None, folder: Path) -> None:
        with suppress(HostError, KeyboardInterrupt), scratch("boot") as out:
            if not isinstance(how, HostError):
                (out / "transcript.txt").touch()
            if how:
                raise how
        assert str(out) not in str(how)
        assert list(folder.iterdir()) == []


class Seat:
    """A person's terminal with a command running in it."""

    def __init__(self, *words: str) -> None:
        self.person, terminal = pty.openpty()
        self.before = termios.tcgetattr(terminal)
        self.terminal = terminal
        self.process = subprocess.Popen([HARNESS, "boot", *words], stdin=terminal, stdout=terminal, stderr=terminal)
        self.seen = b""

    def until(self, words: bytes) -> None:
        while words not in self.seen:
            ended = self.process.poll() is not None  # asked first: what it said before is then still read
            if select.select([self.person], [], [], 0.2)[0]:
                self.seen += os.read(self.person, 4096)
            else:
                assert not ended, self.seen.decode(errors="replace")

    def end(self) -> int:
        code = self.process.wait(60)
        # QEMU's console is raw; what a person is left with is not
        assert termios.tcgetattr(self.terminal) == self.before
        return code


SHELL = "say ready\nexec $b sh -i </dev/console >/dev/console 2>&1\n"


def test_a_person_types_at_the_console_and_powers_off(toy_image: Callable[..., Image]) -> None:
    seat = Seat(str(toy_image(SHELL).folder), *MACHINE, "--forward", "80")
    seat.until(b"[ready: press Enter")
    found = re.search(rb"port 80 of the guest is 127\.0\.0\.1:(\d+)", seat.seen)
    assert found
    socket.create_connection(("127.0.0.1", int(found[1])), timeout=10).close()
    seat.until(b"# ")
    os.write(seat.person, b"echo th$((1+1))re\r")
    seat.until(b"\nth2re")
    os.write(seat.person, b"$b poweroff -f\r".replace(b"$b", b"/probe/busybox"))
    assert seat.end() == 0


def test_a_person_leaves_the_console(image: str) -> None:
    seat = Seat(image, *MACHINE)
    seat.until(b"[ready: press Enter")
    assert b"transcript.txt" in seat.seen
    os.write(seat.person, b"\x1d")
    seat.until(b"-o DIR keeps its transcript")
    assert seat.end() == 0
    assert b"] harness: " not in seat.seen, "a mark stands before the person"
    assert re.search(rb"ready after [\d.]+ s; left, and its power is cut; -o DIR keeps", seat.seen)


@pytest.mark.parametrize("append", ["panic=-1", "panic=0"])
def test_a_panic_before_a_person_s_eyes_is_one(toy_image: Callable[..., Image], append: str) -> None:
    seat = Seat(str(toy_image(SHELL).folder), *MACHINE, "--append", append)
    seat.until(b"# ")
    os.write(seat.person, b"echo c >/proc/sysrq-trigger\r")
    if append == "panic=0":  # the machine stays as it is: it is the person who leaves
        seat.until(b"end Kernel panic")
        os.write(seat.person, b"\x1d")
    seat.until(b"(exit 5: the cause is in the image)")
    assert b"sysrq triggered crash" in seat.seen.partition(b"harness: ")[2]
    assert seat.end() == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(image: str, number: signal.Signals) -> None:
    seat = Seat(image, *MACHINE)
    seat.until(b"Ctrl-] leaves it]")
    seat.process.send_signal(number)
    assert seat.end() == 130


def test_a_person_is_told_why_the_machine_has_ended(image: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text("arch: arm64\nconsole: ttyAMA0\nqemu: {machine: nosuch, cpu: cortex-a57}\n")
    seat = Seat(image, "-m", str(wrong))
    seat.until(b"the cause is in the machine")
    assert seat.end() == 4


def test_a_command_runs_on_a_system_that_is_not_ready(toy_image: Callable[..., Image]) -> None:
    made = toy_image(
        "say onboot/a start; say onboot/a failed code=3; say unready\n"
        "$b mkdir /bin; $b cp $b /bin/sh; exec $b sleep 100000\n"
    )
    done = harness(str(made.folder), *MACHINE, "--run", "echo out; exit 9", "--json")
    assert json.loads(done.stdout) == {"ready": False, "code": 9, "output": "out\n"}
    assert done.returncode == 9
    assert "did not power off: its power was cut" in done.stderr
    assert "the boot came to its end unready\n  onboot/a failed code=3" in done.stderr
    assert "the command is run all the same" in done.stderr


def expects(image: Image, **end: object) -> None:
    """Let an image's manifest say how its boot ends."""
    path = image.folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "end": end}))


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("say onboot/a start; say onboot/a done; echo all done; say shutdown; say off", ""),
        ("echo all; echo done; say off", "its console never showed 'all done', as its YAML expects"),
        ("echo all done; say onboot/a start; say onboot/a failed code=1; say off", "but not all went well"),
        ("echo all done; say unready; say off", "but not all went well"),
        ("echo all done; say off; $b reboot -f", "it restarted, where its YAML expects that it switches itself off"),
        ("echo all done; exec $b sleep 100000", ": no power-off"),
    ],
)
def test_an_image_that_switches_itself_off_is_judged_by_its_words(
    toy_image: Callable[..., Image], script: str, fault: str
) -> None:
    made = toy_image(f"{script}; $b poweroff -f\n")
    expects(made, end="off", console=["all done"])
    done = harness(str(made.folder), *MACHINE, "--timeout", "5" if "100000" in script else "60")
    assert done.returncode == (5 if fault else 0), done.stderr
    assert fault in done.stderr
    assert done.stdout.endswith("it switched itself off, as its YAML expects\n") == (not fault)


def test_an_image_that_switches_itself_off_has_no_ready_to_be_timed(toy_image: Callable[..., Image]) -> None:
    made = toy_image("")
    expects(made, end="off")
    for words in (["--exact"], ["--explain"], ["--runs", "2"], ["--run", "true"]):
        done = harness(str(made.folder), *MACHINE, *words)
        assert (done.returncode, "switches itself off when its work is done" in done.stderr) == (2, True), done.stderr


def test_a_port_that_is_taken_is_the_host_s_lack(image: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = harness(image, "--publish", f"{taken.getsockname()[1]}:80")
    assert (done.returncode, "Address already in use" in done.stderr) == (3, True), done.stderr


def test_a_port_of_the_host_leads_to_the_guest_s_and_all_processors_are_there(image: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # without -m: the machine of the image's architecture
    argv = [HARNESS, "boot", image, "--publish", f"{port}:7", "--publish", f"{port}:7/udp", "--cpus", "2", "--run",
            "ip link set lo up; ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; nproc; nc -l -p 7"]  # fmt: skip
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as on:
        assert on.stderr
        for line in on.stderr:
            if line == f"port 7/udp of the guest is 127.0.0.1:{port}\n":
                break
        while on.poll() is None:  # QEMU takes a connection before the guest does, and drops it then
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as guest:
                guest.sendall(b"from outside\n")
        said, rest = on.communicate()
    assert (on.returncode, said) == (0, "2\nfrom outside\n"), rest
