"""`harness init`: the project lints and passes at once, and each file for CI is one that its service takes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from croniter import croniter
from judges import refusals
from pre_commit.commands import validate_manifest

from harness import __version__, paths, tools
from harness.cli import app
from harness.commands.images import begin

HARNESS = [sys.executable, "-c", "from harness.cli import main; main()"]


def made(folder: Path, ci: str = "github") -> Path:
    done = CliRunner().invoke(app, ["init", str(folder), "--ci", ci])
    assert done.exit_code == 0, done.output
    assert all((folder / name).is_file() for name in {**begin.PROJECT, **begin.CI[ci]})
    return folder


def test_every_file_of_the_project_lints(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["lint", str(made(tmp_path / "my-os"))])
    assert (done.exit_code, done.output.count(", fine")) == (0, 3), done.output


def test_nothing_that_is_there_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "plan.yml").write_text("mine")
    done = CliRunner().invoke(app, ["init", str(tmp_path)])
    assert (done.exit_code, "plan.yml is there already" in done.output) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["plan.yml"]


def test_the_choices_are_the_files_that_there_are(tmp_path: Path) -> None:
    (row,) = [row for row in app.commands["init"].params if row.name == "ci"]
    assert set(row.type.choices) == set(begin.CI)  # type: ignore[attr-defined]
    used = {*begin.PROJECT.values(), *(name for files in begin.CI.values() for name in files.values())}
    there = {path for path in begin.TEMPLATE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {str(path.relative_to(begin.TEMPLATE)) for path in there} == used


@pytest.mark.parametrize(("ci", "schema"), [("github", "vendor.github-workflows"), ("gitlab", "vendor.gitlab-ci")])
def test_the_file_for_ci_is_what_its_service_takes(ci: str, schema: str, tmp_path: Path) -> None:
    from check_jsonschema.builtin_schemas import get_builtin_schema  # seconds to import: not in each worker

    (name,) = begin.CI[ci]
    text = (made(tmp_path, ci) / name).read_text()
    # YAML 1.1 takes GitHub's `on` for true
    data = json.loads(json.dumps(yaml.safe_load(re.sub("^on:", '"on":', text, flags=re.M))))
    assert refusals(get_builtin_schema(schema), data) == []
    assert " ".join(tools.packages()) in text


def test_packages_for_ci_are_those_that_run_installs(tmp_path: Path) -> None:
    run = (paths.TOP / "run").read_text()
    assert set(re.findall(r"^    run +(?:must|one) +(\S+)", run, re.M)) == set(tools.packages())
    assert " ".join(tools.packages()) in (made(tmp_path, "jenkins") / "Jenkinsfile").read_text()


def test_times_of_the_night_are_ones_that_cron_knows(tmp_path: Path) -> None:
    crontab = (made(tmp_path / "cron", "cron") / "crontab").read_text().splitlines()[-1]
    github = (made(tmp_path / "github") / ".github/workflows/boot.yml").read_text()
    jenkins = (made(tmp_path / "jenkins", "jenkins") / "Jenkinsfile").read_text()
    times = re.findall(r'cron: "(.*)"', github) + re.findall(r"cron\('(.*)'\)", jenkins)
    times.append(" ".join(crontab.split()[:5]))
    assert len(times) == 3 and all(croniter.is_valid(time) for time in times), times
    assert jenkins.count("{") == jenkins.count("}")  # no more is checked of it: its parser is Jenkins itself


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_units_are_ones_that_systemd_takes(tmp_path: Path) -> None:
    units = made(tmp_path / "my-os", "systemd") / "systemd"
    program = tmp_path / "my-os/.venv/bin/harness"
    program.parent.mkdir(parents=True)
    program.symlink_to(sys.executable)
    service = units / "boot.service"
    service.write_text(service.read_text().replace("%h", str(tmp_path)))
    argv = ["systemd-analyze", "verify", str(service), str(units / "boot.timer")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.boots
@pytest.mark.builds
def test_the_project_passes_at_once(tmp_path: Path) -> None:
    project = made(tmp_path / "my-os")
    argv = [*HARNESS, "matrix", "plan.yml", "--machine", "qemu-arm64", "--results", "out"]
    done = subprocess.run(argv, cwd=project, env={**os.environ}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (cell,) = json.loads((project / "out/results.json").read_text())["cells"]
    assert cell["status"] == "passed" and cell["cases"]["passed"] > 20
    # nothing else than what it has made and was told
    wanted = {name.split("/")[0] for name in (*begin.PROJECT, *begin.CI["github"])}
    assert {path.name for path in project.iterdir()} == {*wanted, "out"}


def test_the_hook_for_pre_commit_is_one_and_does_what_it_says(tmp_path: Path) -> None:
    (hook,) = yaml.safe_load((paths.TOP / ".pre-commit-hooks.yaml").read_text())
    refused = validate_manifest.validate_manifest([str(paths.TOP / ".pre-commit-hooks.yaml")])
    assert refused == 0
    (tmp_path / "os.yml").write_text("kernel: {image: kernel}\nservces: []\n")
    done = CliRunner().invoke(app, [*hook["entry"].split()[1:], str(tmp_path / "os.yml")])
    assert (done.exit_code, "did you mean services?" in done.output) == (2, True), done.output
    chosen = [name for name in ("os.yml", "lab/a.yaml", ".github/workflows/boot.yml", "x.py")
              if re.search(hook["files"], name) and not re.search(hook["exclude"], name)]  # fmt: skip
    assert chosen == ["os.yml", "lab/a.yaml"]


def test_the_version_is_the_one_that_the_changes_end_with() -> None:
    import tomllib

    version = tomllib.loads((paths.TOP / "pyproject.toml").read_text())["project"]["version"]
    titles = re.findall(r"^## (.+)$", (paths.TOP / "CHANGELOG.md").read_text(), re.M)
    assert titles[0] == "Unreleased" and titles[1].split()[0] == version == __version__
