"""The frame of the command: exit codes, words on stderr, and a quick start."""

from __future__ import annotations

import inspect
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import options, paths
from harness.build.settings import Settings
from harness.cli import app, certificates, host, images, lab, nights, reference, runs
from harness.cli.app import ORDER
from harness.commands.images import schema
from harness.errors import EXIT_BUG, EXIT_HOST, EXIT_INTERRUPTED, HostError, ImageError, UserError
from harness.scratch import scratch
from harness.show import frame

pytestmark = pytest.mark.slow

HEAVY = (
    "asyncio",
    "debian",
    "elftools",
    "filelock",
    "paramiko",
    "psutil",
    "pydantic",
    "pytest",
    "rich",
    "sqlalchemy",
    "yaml",
)


def harness(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a shell would."""
    argv = [sys.executable, "-c", "from harness.cli import main; main()", *words]
    return subprocess.run(argv, env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=60)


def test_start_imports_nothing_heavy() -> None:
    code = f"import harness.cli, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_and_version() -> None:
    assert "doctor" in harness("--help").stdout
    assert harness("--version").stdout.startswith("harness ")


def test_help_in_all_its_ways() -> None:
    whole = harness("--help").stdout
    assert harness("-h").stdout == harness("help").stdout == whole
    assert harness("help", "boot").stdout == harness("boot", "-h").stdout
    assert harness("version").stdout == harness("--version").stdout
    done = harness("help", "bild")
    assert (done.returncode, "did you mean 'build'?" in done.stderr) == (2, True)


def test_commands_are_listed_in_the_order_of_work_each_with_its_whole_description() -> None:
    said = harness("-h", COLUMNS="80").stdout
    at = [said.index(f"\n  {name} ") for _, names in ORDER for name in names]
    assert at == sorted(at)
    assert {name for _, names in ORDER for name in names} == set(app.commands)
    for name, one in app.commands.items():
        (line,) = [line for line in said.splitlines() if line.startswith(f"  {name} ")]
        assert line.endswith(one.short_help) and len(line) <= 80, name


def test_each_command_takes_what_the_table_says() -> None:
    for module in (certificates, host, images, lab, nights, runs):
        for function in vars(module).values():
            if not inspect.isfunction(function) or function.__module__ != module.__name__:
                continue
            name = function.__name__.rstrip("_")
            rows = {row.key for row in options.of(name)} - {"cache"}
            build = {row.key for row in options.BUILD} if name in options.BUILDERS else set()
            if name not in options.BUILDERS:
                assert set(inspect.signature(function).parameters) == rows, name
            else:
                assert set(inspect.signature(function).parameters) == rows - build | {"settings"}, name
    assert {name for row in options.OPTIONS for name in row.commands} - set(app.commands) == set()


def test_what_builds_takes_every_setting_of_a_build(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in options.BUILDERS:
        assert set(options.BUILD) <= set(options.of(name)), name
    assert all(row.under_pytest for row in options.BUILD)
    for row in options.BUILD:
        assert hasattr(Settings(), row.key)
        if row.env:  # the table and the settings name the same variable
            monkeypatch.setenv(row.env, "/some/where")
            assert str(getattr(Settings(), row.key)) == "/some/where"


def test_one_key_has_one_type_under_pytest() -> None:
    named = [row.pytest_name for row in options.UNDER_PYTEST]
    assert len(named) == len(set(named))
    given = {"plan": Path("p.yml"), "image": ("a.yml", "b.yml"), "offline": True, "resume": False,
             "timeout_multiplier": 2.0, "lock": None, "mirror": "m suite"}  # fmt: skip
    assert list(options.pytest_words(given)) == [
        "--harness-plan=p.yml", "--harness-image=a.yml", "--harness-image=b.yml", "--harness-timeout-multiplier=2",
        "--harness-mirror=m suite", "--harness-offline",
    ]  # fmt: skip


def test_the_page_of_the_commands_is_made_from_the_table() -> None:
    assert (paths.TOP / "docs/commands.md").read_text() == reference.page(), (
        "python -m harness.cli.reference > docs/commands.md"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["boot", "x.yml", "-m", "y", "--forward", "80:8080"], "the port of the guest alone"),
        (["boot", "x.yml", "-m", "y", "--forward", "http"], "1 to 65535"),
        (["build", "x.yml", "--compresion", "xz"], "--compression"),
        (["mtrix"], "did you mean 'matrix'?"),
        (["boot", "x.yml"], "there is no image 'x.yml'"),
        (["calibrate", "x.yml"], "Missing option '--machine'"),
        (["boot", "x.yml", "-m", "y", "--timeout", "0"], "'0' is not a number from 0.1 to 86400"),
        (["boot", "x.yml", "-m", "y", "--timeout", "nan"], "'nan' is not a number"),
        (["boot", "x.yml", "-m", "y", "--runs", "x"], "'x' is not a whole number from 1 to 1000"),
        (["matrix", "--workers", "-3"], "'-3' is not a whole number"),
        (["history", "--last", "9" * 5000], "is not a whole number"),
        (["cache", "bogus"], "'bogus' is not one of 'export', 'import', 'verify'"),
        (["cache", "verify", "folder"], "takes no folder"),
        (["machine", "check"], "takes one machine, and none was given"),
        (["matrix", "--results", ""], "the path is empty"),
        (["completion", "tcsh"], "'tcsh' is not one of 'bash'"),
        (["compare", "minimal", "nosuch", "-m", "qemu-arm64"], "nothing called 'nosuch'"),
        (["compare", "a", "b"], "nothing called 'a'"),
        (["build", "minimal", "--arch", ""], "no architecture given"),
        (["matrix", "a.yml", "b.yml"], "b.yml is a second plan"),
        (["matrix", "--durations-of", "results.json"], "--durations-of is for --shard"),
        (["matrix", "--slack"], "--slack is for --against"),
        (["new", "qqqq"], "harness library list"),
        (["build", str(paths.CASES / "images/minimal.yml"), "--arch", "amd46"], "did you mean x86_64?"),
    ],
)
def test_a_mistake_is_answered_with_what_was_meant(words: list[str], said: str) -> None:
    done = harness(*words)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_every_number_has_its_limits_and_every_schema_its_word() -> None:
    for row in options.OPTIONS:
        assert row.kind not in options.NUMBERS or None not in (row.least, row.most), row.name
    kinds = next(row for row in options.of("schema") if row.argument).help
    assert set(re.findall(r"\w+", kinds)) - {"or"} == set(schema.SCHEMAS)


def test_numbers_are_judged_under_pytest_as_on_the_command_line(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--harness-timeout-multiplier", "nan"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, "'nan' is not a number from 0.01" in done.stderr) == (4, True), done.stderr


def test_unknown_subcommand_is_the_users_mistake() -> None:
    done = harness("doctr")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("clean", "--nope"), "No such option '--nope'.\n"),
        (("clean", "--dry-rum"), "No such option '--dry-rum'. Did you mean --dry-run?\n"),
        (("--debuk",), "No such option '--debuk'. Did you mean --debug?\n"),
        (("clean", f"--{'x' * 9999}"), "...xx"),
        ((f"c{'x' * 9999}",), "lists the commands"),
    ],
)
def test_a_wrong_option_is_answered_in_few_words(words: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2 and said in done.output
    assert len(done.output) < 1000


@pytest.mark.parametrize("error", [UserError("what", hint="do it"), HostError("what"), ImageError("what", details="x")])
def test_explained_errors_tell_all_they_know(
    error: HostError, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(frame.DEBUG, raising=False)

    def fail() -> int:
        raise error

    assert frame.guarded(fail) == error.exit_code
    said = capsys.readouterr().err
    for part in (error.message, error.hint, error.details, error.whose):
        assert part in said
    assert "Traceback" not in said


def test_bug_ends_in_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.delenv(frame.DEBUG, raising=False)
    assert frame.guarded(lambda: 1 // 0) == EXIT_BUG
    (report,) = tmp_path.glob("crashes/crash-*.txt")
    assert "ZeroDivisionError" in report.read_text()
    said = capsys.readouterr().err
    assert str(report) in said
    assert "Traceback" not in said
    monkeypatch.setenv(frame.DEBUG, "1")
    frame.guarded(lambda: 1 // 0)
    assert "Traceback" in capsys.readouterr().err


def test_full_disk_is_the_hosts_matter(capsys: pytest.CaptureFixture[str]) -> None:
    def write() -> int:
        with Path("/dev/full").open("w") as stream:
            stream.write("x")
        return 0

    assert frame.guarded(write) == EXIT_HOST
    assert "disk is full" in capsys.readouterr().err


def test_interrupt() -> None:
    def stop() -> int:
        raise KeyboardInterrupt

    assert frame.guarded(stop) == EXIT_INTERRUPTED


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_ends_a_process_ends_a_command_as_ctrl_c_does(number: signal.Signals) -> None:
    left = []

    def work() -> int:
        with scratch("test") as folder:
            left.append(folder)
            try:
                os.kill(os.getpid(), number)
            finally:
                os.kill(os.getpid(), number)  # timeout(1) sends it twice
        return 0

    assert frame.guarded(work) == EXIT_INTERRUPTED
    assert not left[0].exists()
    assert signal.getsignal(number) is signal.SIG_DFL


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_standard_stream_that_is_closed_is_nothing(closed: str) -> None:
    command = 'exec "$0" -c "from harness.cli import main; main()" lint nosuch.yml'
    done = subprocess.run(
        ["sh", "-c", f"{command} {closed}", sys.executable], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("harness: cannot read nosuch.yml") != ("2>" in closed)


def test_what_an_encoding_lacks_comes_as_escapes() -> None:
    code = "from harness.show import frame; frame.open_streams(); print('\u2192')"
    argv = [sys.executable, "-c", code]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    assert subprocess.run(argv, env=env, capture_output=True, text=True, check=True).stdout == "\\u2192\n"


def test_closed_pipe_is_quiet() -> None:
    code = "import sys; from harness.show.frame import guarded; sys.exit(guarded(lambda: print('x' * 1000000) or 0))"
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (frame.EXIT_PIPE, "")
