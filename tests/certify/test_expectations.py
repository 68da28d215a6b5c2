"""What a verifier expects, met or not: the answer to each expectation, by stand-ins of evidence. Nothing is booted."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import paths
from harness.certify import expect
from harness.certify.contents import ArchiveMember, EvidenceFiles
from harness.certify.expect import CASES, EARLY, IMAGE, MACHINE, PROFILE, Expectations, keys_of
from harness.certify.keys import PublicKey
from harness.commands.certificates import verify as command
from harness.errors import EvidenceError, UserError
from harness.image import MANIFEST
from harness.spec import load_image, load_machine, machines
from harness.spec.policy import load_policy
from harness.spec.profile import load_profile, profiles
from harness.store import file_digest

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINIMAL = paths.CASES / "images/minimal.yml"
DIGEST, OTHER = "a1" * 32, "b2" * 32
BASE = load_profile("base")
ARM = machines()["qemu-arm64"]
NO_FILES = EvidenceFiles(Path(), {})


def made(when: str = "2026-11-24T12:00:00Z", waived: tuple[str, ...] = (), **facts: Any) -> Any:
    """What follows from evidence, as far as it is asked here: an image and a machine of the harness's own."""
    image = {"name": "minimal", "digest": DIGEST, "spec": load_image([MINIMAL], library=False).digest}
    machine = {"name": "qemu-arm64", "digest": file_digest(ARM)}
    return SimpleNamespace(
        sources=SimpleNamespace(
            profile=facts.get("profile", BASE), image=SimpleNamespace(manifest=facts.get("manifest", {}))
        ),
        exact=facts.get("exact", {"exact/1": None}),
        certificate=SimpleNamespace(
            when=when, image=SimpleNamespace(**image | facts.get("image", {})),
            machine=SimpleNamespace(**machine | facts.get("machine", {})),
            requirements=[SimpleNamespace(id="size", verdict="passed"),
                          *(SimpleNamespace(id=one, verdict="waived") for one in waived)],
        ),
    )  # fmt: skip


def said(it: Any, files: EvidenceFiles = NO_FILES, **wanted: Any) -> dict[str, tuple[str, str]]:
    """Return what there is to say of each expectation, by its first words: how it was looked at, and what lacks."""
    found = list(expect.check(it, files, Expectations(**wanted), NOW))
    assert all(one.text.startswith("the ") or one.text.startswith(("its age: ", "cases that")) for one in found)
    return {one.text: (one.how, one.lacks) for one in found}


def one_of(it: Any, start: str, files: EvidenceFiles = NO_FILES, **wanted: Any) -> tuple[str, str, str]:
    (text,) = (text for text in said(it, files, **wanted) if text.startswith(start))
    return text, *said(it, files, **wanted)[text]


def test_nothing_is_expected_and_all_is_told() -> None:
    label = f"base {BASE.version} ({BASE.digest[:12]})"
    assert said(made()) == {
        f"the profile {label} is this harness's own, and you have not said which you expect": ("not checked", PROFILE),
        "the cases: all 0 files are this harness's own or beside your profile": ("checked", ""),
        f"the image minimal ({DIGEST[:12]}): you have not said which you expect": ("not checked", IMAGE),
        "the machine qemu-arm64: it is this harness's own": ("checked", ""),
    }


def profile_at(folder: Path, text: str = "description: mine\nversion: 1\nrequirements: []\n") -> Path:
    path = folder / "mine.yml"
    path.write_text(text)
    return path


def test_the_profile_that_is_expected(tmp_path: Path) -> None:
    assert one_of(made(), "the profile", profile="base")[0].endswith("it is the one that you expect")
    with pytest.raises(EvidenceError, match=r"by the profile base 3 .*, and you expect immutable \d"):
        said(made(), profile="immutable")
    copy = tmp_path / "base.yml"
    shutil.copy(profiles()["base"], copy)
    assert one_of(made(), "the profile", profile=str(copy))[1:] == ("checked", "")


@pytest.mark.parametrize("name", ["base", "mine"])
def test_a_profile_of_a_stranger_is_named(name: str) -> None:
    theirs = SimpleNamespace(name=name, version=3, digest=OTHER)
    text, *more = one_of(made(profile=theirs), "the profile")
    assert text == f"the profile {name} 3 ({OTHER[:12]}) is none of this harness's: read it in the archive"
    assert more == ["not checked", PROFILE]


def files_of(folder: Path, **contents_: bytes) -> EvidenceFiles:
    """Return an archive's case files with these contents."""
    rows = {}
    for number, (name, content) in enumerate(contents_.items()):
        (folder / str(number)).write_bytes(content)
        digest = file_digest(folder / str(number))
        rows[f"cases/{name}"] = ArchiveMember(f"cases/{name}", len(content), digest)
    return EvidenceFiles(folder, rows)


OWN_CASE = (paths.CASES / "test_size.py").read_bytes()


def test_cases_are_the_harnesss_own_or_named(tmp_path: Path) -> None:
    own = files_of(tmp_path, **{"test_size.py": OWN_CASE})
    assert one_of(made(), "the cases", own)[0].startswith("the cases: all 1 files")
    changed = files_of(tmp_path, **{"test_size.py": OWN_CASE, "test_boot.py": b"pass", "new.py": b""})
    expected = ("not checked", CASES)
    assert one_of(made(), "cases that", changed) == (
        "cases that are not this harness's: cases/new.py, cases/test_boot.py", *expected
    )  # fmt: skip
    assert one_of(made(), "cases that", changed, profile="base") == (
        "cases that are not yours: cases/new.py, cases/test_boot.py", *expected
    )  # fmt: skip


def test_cases_beside_the_profile_that_is_expected_are_its_own(tmp_path: Path) -> None:
    yaml = profile_at(tmp_path, "description: mine\nversion: 1\nextends: base\nrequirements:\n"
                      '  - {id: mine, text: t, cases: ["./deep/test_mine.py::test_a"]}\n')  # fmt: skip
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/test_mine.py").write_bytes(b"def test_a(): pass\n")
    (tmp_path / "conftest.py").write_bytes(b"# mine\n")
    it = made(profile=load_profile(str(yaml)))
    names = {"own/test_mine.py": b"def test_a(): pass\n", "own/conftest.py": b"# mine\n", "test_size.py": OWN_CASE}
    (tmp_path / "a").mkdir()
    honest = files_of(tmp_path / "a", **names)
    assert one_of(it, "the cases", honest, profile=str(yaml))[1:] == ("checked", "")
    assert one_of(it, "cases that", honest)[0].endswith("cases/own/conftest.py, cases/own/test_mine.py")
    for name in names:
        other = files_of(tmp_path / "a", **names | {name: b"changed"})
        assert one_of(it, "cases that", other, profile=str(yaml))[0] == f"cases that are not yours: cases/{name}"


def built(folder: Path) -> tuple[Path, str]:
    """Return a built image's folder, and the digest that stands for it."""
    folder.mkdir()
    (folder / MANIFEST).write_text('{"schema": 1, "name": "minimal"}')
    return folder, file_digest(folder / MANIFEST)


def test_the_image_that_is_expected_by_its_digest_or_as_it_was_built(tmp_path: Path) -> None:
    folder, digest = built(tmp_path / "built")
    about = f"the image minimal ({digest[:12]}): it is of the "
    it = made(image={"digest": digest})
    for wanted, what in (
        (digest, "digest"), (f"sha256:{digest}", "digest"), (str(folder), "built image"),
        (str(folder / MANIFEST), "built image"),
    ):  # fmt: skip
        assert one_of(it, "the image", image=wanted) == (f"{about}{what} that you expect", "checked", "")
        with pytest.raises(EvidenceError, match="is not the one that you expect"):
            said(made(image={"digest": OTHER}), image=wanted)
    with pytest.raises(UserError, match="is not a built image"):
        said(it, image=str(tmp_path))


def test_a_name_is_no_image_for_any_may_have_it() -> None:
    text, *more = one_of(made(), "the image", image="minimal")
    assert text.endswith("it has the name that you expect, which any image may have")
    assert more == ["not checked", IMAGE]
    with pytest.raises(EvidenceError, match="is not default, which you expect"):
        said(made(), image="default")


def test_only_a_rebuild_shows_that_an_image_is_of_a_yaml(tmp_path: Path) -> None:
    text, *more = one_of(made(), "the image", image=str(MINIMAL))
    assert text.endswith("it says that it is of the YAML that you expect, which only --rebuild shows")
    assert more == ["not checked", IMAGE]
    text, *more = one_of(made(), "the image", image=str(MINIMAL), rebuild=True)
    assert text.endswith("it is of the YAML that you expect, as far as the rebuild shows")
    assert more == ["checked", ""]
    library = load_image([MINIMAL], library=True).digest
    assert one_of(made(image={"spec": library}), "the image", image=str(MINIMAL), rebuild=True)[1] == "checked"
    with pytest.raises(EvidenceError, match="is not the one that you expect") as info:
        said(made(image={"spec": OTHER}), image=str(MINIMAL))
    assert load_image([MINIMAL], library=False).digest in str(info.value.details)
    shutil.copy(MINIMAL, tmp_path / "famous.yml")
    with pytest.raises(EvidenceError, match="is not famous, which you expect"):
        said(made(), image=str(tmp_path / "famous.yml"))


def test_an_image_with_images_of_others_is_expected_with_or_without_the_library(tmp_path: Path) -> None:
    yaml = tmp_path / "minimal.yml"
    yaml.write_text(f"{MINIMAL.read_text()}onshutdown:\n  - {{name: s, image: 'linuxkit/sysctl:v1.0'}}\n")
    digests = {load_image([yaml], library=library).digest for library in (False, True)}
    assert len(digests) == 2
    for digest in digests:
        assert one_of(made(image={"spec": digest}), "the image", image=str(yaml), rebuild=True)[1] == "checked"
    with pytest.raises(EvidenceError) as info:
        said(made(), image=str(yaml))
    assert f"YAML expected: {load_image([yaml], library=False).digest}" in str(info.value.details)


@pytest.mark.parametrize(("theirs", "fine"), [(b"mine", True), (b"another", False), (None, False)])
def test_what_a_yaml_takes_is_what_lies_beside_the_one_that_is_expected(
    tmp_path: Path, theirs: bytes | None, fine: bool
) -> None:
    yaml = tmp_path / "minimal.yml"
    yaml.write_text(f"{MINIMAL.read_text()}files:\n  - {{path: etc/app, source: app}}\n")
    (tmp_path / "app").write_bytes(b"mine")
    recipe = b'{"suite": "s", "compression": "c", "library": false, "sources": {"app": "sources/1"}}'
    (tmp_path / "rebuild.json").write_bytes(recipe)
    rows = {"rebuild.json": ArchiveMember("rebuild.json", len(recipe), OTHER)}
    if theirs is not None:
        (tmp_path / "there").write_bytes(theirs)
        rows["sources/1"] = ArchiveMember("sources/1", len(theirs), file_digest(tmp_path / "there"))
    it = made(image={"spec": load_image([yaml], library=False).digest})
    files = EvidenceFiles(tmp_path, rows)
    if fine:
        assert one_of(it, "the image", files, image=str(yaml), rebuild=True)[1] == "checked"
        return
    for rebuild in (False, True):
        with pytest.raises(EvidenceError, match="takes another app than your YAML does"):
            said(it, files, image=str(yaml), rebuild=rebuild)


def test_a_foreign_os_that_is_expected_by_its_yaml_has_the_files_beside_it(tmp_path: Path) -> None:
    (tmp_path / "kernel").write_bytes(b"k")
    os_yaml = tmp_path / "theirs.yml"
    os_yaml.write_text("os: {name: theirs, arch: arm64}\nkernel: kernel\ncmdline: quiet\n"
                       "milestones: [{name: ready, pattern: login}]\n")  # fmt: skip
    from harness.spec import load_os

    files = {"image/kernel": SimpleNamespace(sha256=file_digest(tmp_path / "kernel"))}
    facts = {"name": "theirs", "spec": load_os(os_yaml).digest, "files": files}
    assert one_of(made(image=facts), "the image", image=str(os_yaml))[1:] == ("checked", "")
    for other in ({"spec": OTHER}, {"files": {"image/kernel": SimpleNamespace(sha256=OTHER)}}, {"name": "ours"}):
        with pytest.raises(EvidenceError, match=r"is not (the one that|theirs, which) you expect"):
            said(made(image=facts | other), image=str(os_yaml))


def test_the_machine_that_is_expected(tmp_path: Path) -> None:
    assert one_of(made(), "the machine", machine="qemu-arm64")[0] == (
        "the machine qemu-arm64: it is the one that you expect"
    )
    copy = tmp_path / "qemu-arm64.yml"
    copy.write_text(f"{ARM.read_text()}# slower\n")
    for wanted in (str(copy), "qemu-s390x"):
        with pytest.raises(EvidenceError, match="on another machine qemu-arm64 than"):
            said(made(), machine=wanted)
    theirs = made(machine={"digest": load_machine(str(copy)).digest})
    assert one_of(theirs, "the machine", machine=str(copy))[1] == "checked"
    for facts in ({"digest": OTHER}, {"name": "board"}):
        text, how, lacks = one_of(made(machine=facts), "the machine")
        assert (text.partition(" is ")[2], how, lacks) == (
            "none of this harness's: read it in the archive", "not checked", MACHINE,
        )  # fmt: skip


def moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("when", "most", "wrong"),
    [
        (moment(NOW + EARLY), None, ""),
        (moment(NOW + EARLY + timedelta(seconds=1)), None, "yet to come"),
        (moment(NOW - timedelta(days=900)), None, ""),
        (moment(NOW - timedelta(days=7)), 7, ""),
        (moment(NOW - timedelta(days=7, seconds=1)), 7, "7 days ago; you accept 7"),
        (moment(NOW - timedelta(days=40)), 0, "40 days ago; you accept 0"),
        ("2026-11-24", None, "which is not a time"),
    ],
)
def test_its_age(when: str, most: int | None, wrong: str) -> None:
    it = made(when)
    if wrong:
        with pytest.raises(EvidenceError, match=wrong):
            said(it, max_age=most)
    else:
        ages = [text for text in said(it, max_age=most) if text.startswith("its age")]
        assert ages == ([] if most is None else [f"its age: it says that it was made on {when}"])


def test_waivers_may_be_refused() -> None:
    assert "the waivers: there is none" in said(made(), waivers=False)
    assert not [text for text in said(made(waived=("size",))) if "waiver" in text]
    with pytest.raises(EvidenceError, match=r"it rests on waivers: boots, root\n"):
        said(made(waived=("boots", "root")), waivers=False)


MIGHTY = {"init": "harness", "expect": {"services": {"agent": {"reach": ["SYS_ADMIN"], "ours": False}}}}


def test_who_else_could_say_ready_is_not_checked_unless_it_is_accepted() -> None:
    def found(it: Any, *, any_speaker: bool = False) -> list[tuple[str, str, str]]:
        rows = expect.check(it, NO_FILES, Expectations(any_speaker=any_speaker), NOW)
        return [(one.how, one.text, one.lacks) for one in rows if one.text.startswith("who said")]

    could = "who said ready: services/agent (SYS_ADMIN) could have in the init's place"
    assert found(made(manifest=MIGHTY)) == [("not checked", could, expect.SPEAKER)]
    accepted = "who said ready: you accept that these could have: services/agent (SYS_ADMIN)"
    assert found(made(manifest=MIGHTY), any_speaker=True) == [("checked", accepted, "")]
    assert found(made(manifest=MIGHTY, exact={})) == found(made(), any_speaker=True) == []


def test_keys_are_lines_or_files_of_them(tmp_path: Path) -> None:
    one, other = PublicKey(b"1" * 32), PublicKey(b"2" * 32)
    (tmp_path / "trusted").write_text(f"{one.ssh}\n{other.ssh}\n")
    assert keys_of((str(tmp_path / "trusted"),)) == (one, other)
    assert keys_of((other.ssh, str(tmp_path / "trusted"))) == (other, one, other)
    assert keys_of(()) == ()
    with pytest.raises(UserError, match="'ssh-ed25519 nothing' is not a public key"):
        keys_of(("ssh-ed25519 nothing",))


POLICY = f"signed_by: ['{PublicKey(b'1' * 32).ssh}']\nprofile: base\nmax_age: 30\nwaivers: false\nrebuild: true\n"


def requested(folder: Path, text: str, **said: Any) -> Expectations:
    (folder / "ours.yml").write_text(text)
    wanted = Expectations(**{key: value for key, value in said.items() if key != "rebuild"})
    return command.expectations(
        command.VerifyRequest(policy=folder / "ours.yml", rebuild=said.get("rebuild", False), wanted=wanted)
    )


def test_the_command_line_comes_before_the_policy(tmp_path: Path) -> None:
    key = PublicKey(b"1" * 32)
    assert requested(tmp_path, POLICY) == Expectations((key,), "base", None, None, 30, waivers=False, rebuild=True)
    said = requested(tmp_path, POLICY, profile="hardened", max_age=0, machine="qemu-arm64")
    assert said == Expectations((key,), "hardened", None, "qemu-arm64", 0, waivers=False, rebuild=True)
    # what a flag asks for cannot be taken back by a policy
    both = requested(tmp_path, POLICY.replace("false", "true").replace("rebuild: true", "rebuild: false"),
                     waivers=False, rebuild=True)  # fmt: skip
    assert (both.waivers, both.rebuild) == (False, True)


def test_paths_in_a_policy_are_from_where_it_lies(tmp_path: Path) -> None:
    built(tmp_path / "out")
    text = "profile: ./mine.yml\nmachine: m.yml\nimage: out\n"
    found = requested(tmp_path, text)
    assert (found.profile, found.machine) == (str(tmp_path / "mine.yml"), str(tmp_path / "m.yml"))
    assert found.image == str(tmp_path / "out")
    assert requested(tmp_path, "profile: base\nimage: minimal\n").image == "minimal"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("profile: nosuch", "nosuch"), ("profile: ./nosuch.yml", "nosuch.yml"), ("machine: qemu-arm", "qemu-arm"),
        ("image: ./nosuch.yml", "nosuch.yml"), ("profil: base", "did you mean profile"), ("", "is empty"),
        ("signed_by: []", "is empty"), ("max_age: 0", "too small"), ("max_age: true", "whole number"),
        ("waivers: 'no'", "true or false"), ("profile: base\nprofile: hardened", "twice"),
    ],
)  # fmt: skip
def test_a_wrong_policy_is_told_before_any_evidence_is_looked_at(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "ours.yml").write_text(f"{text}\n" if text else "")
    with pytest.raises(UserError) as caught:
        command.run(tmp_path / "no evidence at all", command.VerifyRequest(policy=tmp_path / "ours.yml"))
    assert said in str(caught.value)


def test_each_file_of_a_merged_image_is_seen_from_the_policy(tmp_path: Path) -> None:
    (tmp_path / "site.yml").write_text("services: []\n")
    text = f"image: minimal+site.yml\nprofile: {'x' * 300}\n"
    (tmp_path / "ours.yml").write_text(text)
    read = load_policy(tmp_path / "ours.yml")
    assert (read.image, read.profile) == (f"minimal+{tmp_path / 'site.yml'}", "x" * 300)
    expect.look_up(expect.Expectations(image=read.image))
    (tmp_path / "ours.yml").write_text("image: site.yml+minimun\n")
    with pytest.raises(UserError, match="no image 'minimun'"):
        expect.look_up(expect.Expectations(image=load_policy(tmp_path / "ours.yml").image))


@pytest.mark.parametrize("image", ["a" * 64, "minimal", "minimal+site", None])
def test_a_digest_and_a_name_are_no_file_to_be_read(image: str | None) -> None:
    expect.look_up(expect.Expectations(image=image))
