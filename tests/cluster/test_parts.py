"""The parts of nights over many hosts that are judged without one."""

from __future__ import annotations

import io
import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import paths
from harness.cluster import announce, certificates, connection, matching, parcels
from harness.cluster.matching import Host, Waiting
from harness.errors import HostError, UserError
from harness.run import results
from harness.run.cells import Cell
from harness.spec import load_machine
from harness.spec.cluster import load_cluster
from harness.spec.text.complaints import SpecError
from harness.store import Store
from harness.suite.elsewhere import CasePlace

X86 = {"cells": 2.0, "qemu x86_64": 2.0, "memory": 2048.0}
BOTH = {**X86, "qemu arm64": 2.0, "board rpi": 1.0}
SMALL, LARGE = {"cells": 1, "qemu x86_64": 1, "memory": 512}, {"cells": 1, "qemu x86_64": 1, "memory": 2000}
BOARD = {"cells": 1, "board rpi": 1}


def cell(machine: str = "qemu-x86_64") -> Cell:
    spec = load_machine(machine)
    return Cell(id="a", image="", sources=(), machine=spec.name, spec=spec, arch=spec.arch, size=1, ready=None)


def test_what_a_cell_asks_of_a_host() -> None:
    plain = cell()
    assert matching.asks(plain, 256) == {"cells": 1, "qemu x86_64": 1, "memory": 512}
    kvm = replace(plain, spec=plain.spec.driven(accel="kvm"))
    assert matching.asks(kvm, 256) == {"cells": 1, "qemu x86_64": 1, "memory": 512, "kvm": 1}


def test_a_board_is_asked_of_its_host_unless_labgrid_brings_it(tmp_path: Path) -> None:
    (tmp_path / "rpi.yml").write_text(
        "arch: arm64\nconsole: ttyS0\nboard:\n  lab: {labgrid: {coordinator: '127.0.0.1:1', place: rpi}}\n"
        "  console: {labgrid: true}\n  power: {labgrid: true}\n  deploy: {installed: true}\n"
    )
    labgrids = cell(str(tmp_path / "rpi.yml"))
    assert matching.asks(labgrids, 256) == {"cells": 1}
    assert labgrids.spec.board is not None
    own = replace(labgrids, spec=labgrids.spec.driven(lab=None))
    assert matching.asks(own, 256) == {"cells": 1, "board rpi": 1}


@pytest.mark.parametrize(
    ("asked", "takes"), [(SMALL, 2), (LARGE, 1), (BOARD, 1), ({"cells": 1, "qemu s390x": 1}, 0), ({}, 2)]
)
def test_how_many_cells_a_host_takes_at_once(asked: dict[str, float], takes: int) -> None:
    assert Host("h", 2, BOTH).room(asked) == takes
    assert matching.room([Host("h", 2, BOTH), Host("g", 1, X86)], asked) == takes + Host("g", 1, X86).room(asked)


def out(waiting: list[Waiting], under_way: list[Waiting], hosts: list[Host]) -> list[str]:
    return [one.id for one in matching.next_out(waiting, under_way, hosts)]


def test_the_longest_go_out_first_and_no_more_than_find_a_place() -> None:
    waiting = [Waiting("a", SMALL, 1), Waiting("b", SMALL, 3), Waiting("c", SMALL, 2)]
    hosts = [Host("h", 2, X86)]
    assert out(waiting, [], hosts) == ["b", "c"]
    assert out(waiting, [Waiting("x", SMALL, 9)], hosts) == ["b"]
    assert out(waiting, [Waiting("x", SMALL, 9), Waiting("y", SMALL, 9)], hosts) == []
    assert out(waiting, [], []) == []


def test_what_fewest_hosts_can_run_goes_out_first_and_takes_no_place_that_others_have() -> None:
    waiting = [
        Waiting("a", SMALL, 9),
        Waiting("rpi", BOARD, 1),
        Waiting("rpi2", BOARD, 2),
        Waiting("no", {"kvm": 1}, 9),
    ]
    hosts = [Host("h", 2, BOTH), Host("g", 2, X86)]
    assert out(waiting, [], hosts) == ["rpi2", "a"]
    assert out(waiting, [Waiting("x", BOARD, 1)], hosts) == ["a"]


def test_while_many_are_left_each_host_has_one_more_to_begin_at_once() -> None:
    many = [Waiting(f"{number:02}", SMALL, 1) for number in range(9)]
    assert len(out(many, [], [Host("h", 2, X86)])) == 3
    assert len(out(many[:4], [], [Host("h", 2, X86)])) == 2


@pytest.mark.parametrize(
    ("board", "mine"), [("rpi", ["rpi"]), ("rpi@lab-1", ["rpi"]), ("rpi@lab-2", []), ("rpi@10.0.0.1", ["rpi"])]
)
def test_whose_board_it_is(board: str, mine: list[str]) -> None:
    assert announce.mine([board], ("lab-1", "10.0.0.1")) == mine


def test_what_this_host_announces() -> None:
    found = announce.resources(["rpi"], 3, share=2)
    assert found["cells"] == 3 and found["board rpi"] == 1
    assert found["memory"] <= announce.resources()["memory"] * 0.6


@pytest.mark.parametrize("text", ["tls://10.0.0.1:8786", "tcp://127.0.0.1:8786", "tcp://localhost:1", "tcp://[::1]:1"])
def test_what_is_an_address(text: str) -> None:
    assert load_cluster(text).cluster.address == text


@pytest.mark.parametrize(
    ("text", "said"),
    [("tcp://10.0.0.1:8786", "in the clear"), ("http://a:1", "not the address"), ("tls://a", "not the address")],
)
def test_what_is_no_address(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_cluster(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cluster: {}\n", "exactly one of"),
        ("cluster: {local: {workers: 2}, address: 'tls://a:1'}\n", "exactly one of"),
        ("cluster: {ssh: {hosts: [a]}}\n", "needs certificates"),
        ("cluster: {address: 'tcp://10.1.1.1:1'}\n", "in the clear"),
        ("cluster: {local: {workers: 0}}\n", "workers"),
        ("cluster: {local: {}}\nboards: [rpi]\n", "NAME@HOST"),
    ],
)
def test_what_is_wrong_with_a_cluster(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "lab.yml").write_text(text)
    with pytest.raises(SpecError) as caught:
        load_cluster(str(tmp_path / "lab.yml"))
    assert said in str(caught.value)


def test_paths_of_a_cluster_are_seen_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "lab.yml").write_text("cluster: {ssh: {hosts: [a], key: id}}\ncertificates: certs\n")
    found = load_cluster(str(tmp_path / "lab.yml"))
    assert found.certificates == tmp_path / "certs"
    assert found.cluster.ssh and found.cluster.ssh.key == tmp_path / "id"


def test_certificates_are_one_authority_s_and_are_made_once(tmp_path: Path) -> None:
    from cryptography import x509

    folder = tmp_path / "certs"
    made = certificates.make(folder)
    assert [path.name for path in made] == ["ca.pem", "cert.pem", "key.pem"]
    authority, host = (x509.load_pem_x509_certificate(path.read_bytes()) for path in made[:2])
    host.verify_directly_issued_by(authority)
    assert not host.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert made[2].stat().st_mode & 0o777 == 0o600
    with pytest.raises(UserError, match="is there already"):
        certificates.make(folder)
    made[2].unlink()
    with pytest.raises(UserError, match=r"has no key\.pem"):
        certificates.found(folder)


def sent(tmp_path: Path) -> tuple[parcels.Sums, dict[str, list[bytes]]]:
    files = {"kernel": tmp_path / "k", "boot/grub": tmp_path / "g"}
    for path in files.values():
        path.write_bytes(path.name.encode() * 9)
    sums = parcels.sums(files)
    return sums, {sums[name]: list(parcels.pieces(path)) for name, path in files.items()}


def test_an_image_arrives_as_it_was_sent_and_stays(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    wanted, came = sent(tmp_path)
    assert parcels.there(store, wanted) is None
    folder = parcels.arrive(store, wanted, came)
    assert (folder / "boot/grub").read_bytes() == b"g" * 9
    assert parcels.there(Store(tmp_path / "cache"), wanted) == folder


def test_other_bytes_than_were_sent_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    wanted, came = sent(tmp_path)
    came[wanted["kernel"]] = [b"another"]
    with pytest.raises(HostError, match="kernel has not arrived as it was sent"):
        parcels.arrive(store, wanted, came)
    assert parcels.there(store, wanted) is None


def test_another_image_under_that_name_is_not_taken_for_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    wanted, came = sent(tmp_path)
    folder = parcels.arrive(store, wanted, came)

    def other(there: Path) -> None:
        (there / "kernel").write_bytes(b"another build")

    store.discard(folder)
    store.make("images", folder.name, other)
    assert parcels.there(Store(tmp_path / "cache"), wanted) is None


def test_cases_go_with_what_pytest_reads_beside_them(tmp_path: Path) -> None:
    for name in ("pytest.ini", "conftest.py", "a/conftest.py", "a/test_a.py", "a/helper.py", "a/data.bin",
                 "b/test_b.py", "b/data.bin", "b/__pycache__/x.pyc", "c/test_c.py"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    base, packed = parcels.pack_cases([tmp_path / "a/test_a.py", tmp_path / "b"], tmp_path)
    assert base == tmp_path
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert tar.getnames() == ["a/conftest.py", "a/helper.py", "a/test_a.py", "b/data.bin", "b/test_b.py",
                                  "conftest.py", "pytest.ini"]  # fmt: skip


def test_nothing_is_unpacked_outside_of_its_folder(tmp_path: Path) -> None:
    for name, type_ in (
        (str(tmp_path / "evil"), tarfile.REGTYPE),
        ("../evil", tarfile.REGTYPE),
        ("evil", tarfile.SYMTYPE),
    ):
        packed, member = io.BytesIO(), tarfile.TarInfo(name)
        member.type, member.linkname = type_, "/etc"
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.addfile(member, io.BytesIO())
        with pytest.raises(HostError, match="cannot unpack"):
            parcels.unpack(packed.getvalue(), tmp_path / "in")
        assert not (tmp_path / "evil").exists()
        assert not list((tmp_path / "in").iterdir())


def test_a_cluster_needs_a_proc_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with pytest.raises(HostError, match="/proc is that of another PID namespace"):
        connection.see_host()


@pytest.mark.parametrize(
    ("root", "id_"), [("/p", "cases/test_a.py::test_x[c]"), ("/dev", "../p/cases/test_a.py::test_x[c]")]
)
def test_a_case_has_the_name_that_it_has_at_home(root: str, id_: str) -> None:
    place = CasePlace("/p/cases", root)
    assert place.nodeid("test_a.py::test_x[c]", Path("/tmp/x/test_a.py"), Path("/tmp/x")) == id_


def told(kind: str, name: str = "a", **more: Any) -> dict[str, Any]:
    return {
        "event": kind,
        "cell": name,
        "case": f"t::{kind}",
        "outcome": "failed",
        "instead": "",
        "message": "",
        **more,
    }


def test_what_a_lost_host_had_told_does_not_count() -> None:
    row = {"id": "a", "image": "a.yml", "machine": "m", "arch": "x86_64", "budget": {}}
    run = {"event": "run", "harness": "1", "when": "", "run": "1", "cells": [row, {**row, "id": "b"}]}
    lost = told("lost", whose="this host", message="h was lost", others=True)
    before = [told("case", message="the first"), told("case", "b"), told("case", "", case="without a cell")]
    after = [{"event": "collected", "cases": {"a": 1, "b": 1}}, told("case", outcome="passed"), {"event": "end"}]
    found = results.fold([run, *before, lost, *after])
    assert [(one.cases.passed, one.cases.failed) for one in found.cells] == [(1, 0), (0, 1)]
    assert [one.message for one in found.cells[0].repeated] == ["h was lost"]
    assert found.other.cases.total == 0
    assert json.loads(results.dumped(found))["cells"][0]["status"] == "passed"


def test_the_harness_s_own_files_are_named_by_one_digest() -> None:
    assert announce.own_code() == announce.own_code()
    assert len(announce.own_code()) == 64
    assert (paths.PACKAGE / "cluster/announce.py").is_file()
