from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from debian_mirror import SUITE, Item, Mirror, Repository, make_deb
from tiers import needs

from harness.arch import ARCHES
from harness.build import deb
from harness.build.debian import Debian
from harness.build.layer import Layer, make_layer
from harness.build.libraries import policy_name
from harness.errors import HostError, UserError
from harness.patience import Patience
from harness.spec.models.component import ComponentSpec, Concatenate, User
from harness.spec.models.container import File
from harness.store import Store, digest_of

HOST = ARCHES["x86_64"]
COPYRIGHT = b"Format: https://test.invalid/copyright-format/1.0/\n\nFiles: *\nCopyright: x\nLicense: Expat or GPL-2+\n"
ELF = Path("/usr/bin/true").read_bytes()  # needs libc.so.6 and its loader


@pytest.fixture(scope="module")
@needs("builds")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Repository, Mirror]]:
    repository = Repository(tmp_path_factory.mktemp("repository") / "mirror")
    repository.make_key()
    loader = "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    tool = [
        Item("./", type=tarfile.DIRTYPE, mode=0o755),
        Item("./bin/", type=tarfile.DIRTYPE, mode=0o755),
        Item("./bin/tool", b"#!/bin/sh\n", mode=0o4755),
        Item("./sbin/other", b"other", mode=0o755),
        Item("./usr/bin/twin", type=tarfile.LNKTYPE, target="./sbin/other"),
        Item("./usr/bin/link", type=tarfile.SYMTYPE, target="../sbin/other"),
        Item("./usr/share/doc/tool/copyright", COPYRIGHT),
        Item("./usr/share/man/man1/tool.1.gz", b"man"),
        Item("./usr/share/locale/de/x.mo", b"de"),
        Item("./etc/init.d/tool", b"sysv"),
        Item("./etc/tool.conf", b"conf", mode=0o640, uid=7),
        Item("./lib/systemd/system/tool.service", b"unit"),
        Item("./var/lib/tool/", type=tarfile.DIRTYPE, mode=0o750, uid=7),
        Item("./usr/share/certs/b.crt", b"B"),
        Item("./usr/share/certs/a.crt", b"A\n"),
    ]
    repository.add("tool", "1", tool)
    repository.add("elf", "1", [Item("./usr/bin/elf", ELF, mode=0o755)], "amd64", Depends="libc6, unrelated")
    repository.add("orphan", "1", [Item("./usr/bin/orphan", ELF, mode=0o755)], "amd64")
    repository.add("unrelated", "1", [Item("./usr/lib/x86_64-linux-gnu/libunrelated.so.1", b"no")], "amd64")
    repository.add(
        "libc6",
        "1",
        [
            Item("./lib/x86_64-linux-gnu/libc.so.6", b"the C library"),
            Item("./lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", b"loader", mode=0o755),
            Item("./lib64/ld-linux-x86-64.so.2", type=tarfile.SYMTYPE, target=loader),
            Item("./lib/x86_64-linux-gnu/libnss_files.so.2", b"nss"),
            Item("./lib/x86_64-linux-gnu/libm.so.6", b"not needed"),
        ],
        "amd64",
    )
    for name, item in {
        "climbs": Item("./../../etc/passwd", b"x"),
        "absolute": Item("/etc/passwd", b"x"),
        "device": Item("./dev/sda", type=tarfile.BLKTYPE),
        "pipe": Item("./run/pipe", type=tarfile.FIFOTYPE),
        "danglinglink": Item("./usr/x", type=tarfile.LNKTYPE, target="../../etc/shadow"),
    }.items():
        repository.add(name, "1", [Item("./usr/bin/x", b"x"), item])
    doc = "./usr/share/doc"
    for name, items in {
        "linked": [Item(f"{doc}/linked", type=tarfile.SYMTYPE, target="tool")],
        "filelinked": [Item(f"{doc}/filelinked/copyright", type=tarfile.SYMTYPE, target="../linked/copyright")],
        "circular": [Item(f"{doc}/circular", type=tarfile.SYMTYPE, target="circular")],
        "leading-out": [Item(f"{doc}/leading-out", type=tarfile.SYMTYPE, target="../../../../etc")],
        "silent": [],
    }.items():
        repository.add(name, "1:1", [Item(f"./usr/bin/{name}", b"x"), *items], Depends="tool, linked")
    whole = make_deb([Item("./usr/bin/x", b"x" * 5000)])
    repository.add_deb("garbage", "1", b"this is not an ar archive at all, not even nearly so")
    repository.add_deb("nodata", "1", whole[:150])
    repository.add_deb("notxz", "1", make_deb([], data=b"not xz"))
    repository.publish()
    mirror = Mirror(repository.root)
    yield repository, mirror
    mirror.close()
    repository.close()


@pytest.fixture(scope="module")
def cache(world: tuple[Repository, Mirror], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def debian(world: tuple[Repository, Mirror], cache: Path) -> Debian:
    repository, mirror = world
    debian = Debian(Store(cache), suite=SUITE, mirror=mirror.url, keyring=repository.key)
    debian.patience = Patience(attempts=2, wait=0.01)
    return debian


@pytest.fixture
def build(debian: Debian, tmp_path: Path):
    def build(*packages: str, **keys: object) -> Layer:
        digest = digest_of(repr((packages, keys, str(tmp_path))))
        spec = {"name": "test", "path": tmp_path / "test.yml", "digest": digest}
        keys.setdefault("description", "a test")
        return make_layer(ComponentSpec(**spec, packages=packages, **keys), HOST, debian, debian.store)

    return build


def members(layer: Layer) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(layer.tar) as archive:
        return {member.name: member for member in archive}


def content(layer: Layer, path: str) -> bytes:
    with tarfile.open(layer.tar) as archive:
        stream = archive.extractfile(path)
        assert stream is not None
        return stream.read()


def files(layer: Layer) -> list[str]:
    own = ("etc/passwd", "etc/group", "etc/shadow", "bin", "sbin", "lib", "lib64")
    return [name for name, member in members(layer).items() if not member.isdir() and name not in own]


def test_documents_and_service_files_stay_behind_and_usr_is_merged(build) -> None:
    layer = build("tool")
    assert files(layer) == [
        "etc/tool.conf",
        "usr/bin/link",
        "usr/bin/tool",
        "usr/bin/twin",
        "usr/sbin/other",
        "usr/share/certs/a.crt",
        "usr/share/certs/b.crt",
    ]
    found = members(layer)
    assert {name: found[name].linkname for name in ("bin", "sbin", "lib", "lib64")} == {
        "bin": "usr/bin",
        "sbin": "usr/sbin",
        "lib": "usr/lib",
        "lib64": "usr/lib64",
    }
    # one content under two names stays one
    assert found["usr/sbin/other"].islnk()
    assert found["usr/sbin/other"].linkname == "usr/bin/twin"
    assert (found["etc/tool.conf"].uid, found["etc/tool.conf"].mode) == (7, 0o640)
    assert [(row["name"], row["files"]) for row in layer.packages] == [("tool", 7)]


def test_copyright_files_are_kept_and_their_licences_read(build, world) -> None:
    before = world[1].count("unrelated.*deb")
    layer = build("tool", "linked", "filelinked", "circular", "leading-out", "silent", "elf")
    licence = {row["name"]: (row.get("licence"), row.get("copyright")) for row in layer.packages}
    assert licence == {
        "tool": ("MIT OR GPL-2.0-or-later", "tool_1"),
        "linked": ("MIT OR GPL-2.0-or-later", "linked_1%3A1"),
        "filelinked": ("MIT OR GPL-2.0-or-later", "filelinked_1%3A1"),
        "circular": ("NOASSERTION", ""),
        "leading-out": ("NOASSERTION", ""),
        "silent": ("NOASSERTION", ""),
        "elf": ("NOASSERTION", ""),
        "libc6": ("NOASSERTION", ""),
        "unrelated": (None, None),  # nothing of it is in the layer
    }
    kept = {path.name: path.read_bytes() for path in (layer.path / "licences").iterdir()}
    assert kept == dict.fromkeys(("tool_1", "linked_1%3A1", "filelinked_1%3A1"), COPYRIGHT)
    assert world[1].count("unrelated.*deb") == before


def test_the_copyright_of_another_package_comes_without_its_files(build) -> None:
    layer = build("linked")
    assert [(row["name"], row["files"], row.get("licence")) for row in layer.packages] == [
        ("linked", 1, "MIT OR GPL-2.0-or-later"),
        ("tool", 0, None),
    ]


def test_the_tar_is_in_order_dated_1970_and_names_no_owner(build) -> None:
    found = members(build("tool"))
    assert list(found) == sorted(found)
    assert {(one.mtime, one.uname, one.gname) for one in found.values()} == {(0, "", "")}


def test_two_caches_hold_the_same_bytes(build, world, tmp_path) -> None:
    repository, mirror = world
    layer = build("tool", "elf")
    other = Debian(Store(tmp_path / "other"), suite=SUITE, mirror=mirror.url, keyring=repository.key)
    spec = ComponentSpec(
        name="test", path=tmp_path / "elsewhere" / "t.yml", digest="x", description="", packages=("tool", "elf")
    )
    again = make_layer(spec, HOST, other, other.store)
    assert again.tar.read_bytes() == layer.tar.read_bytes()
    assert again.digest == layer.digest


def test_setuid_goes_unless_it_is_kept_by_name(build) -> None:
    layer = build("tool")
    assert members(layer)["usr/bin/tool"].mode == 0o755
    assert layer.setuid_dropped == ("usr/bin/tool",)
    assert members(build("tool", keep=("usr/bin/t*",)))["usr/bin/tool"].mode == 0o755
    kept = build("tool", keep=("bin/tool",))
    assert members(kept)["usr/bin/tool"].mode == 0o4755
    assert kept.setuid_dropped == ()


def test_keep_and_drop(build) -> None:
    assert files(build("tool", keep=("usr/bin/*", "/usr/share/doc"), drop=("usr/bin/l*",))) == [
        "usr/bin/tool",
        "usr/bin/twin",
        "usr/share/doc/tool/copyright",
    ]
    kept = members(build("tool", keep=("bin/tool", "var/lib/tool")))["var/lib/tool"]
    assert (kept.isdir(), kept.mode, kept.uid) == (True, 0o750, 7)
    with pytest.raises(UserError, match=r"component test: `keep` matches no file of its packages: usr/bin/typo"):
        build("tool", keep=("usr/bin/tool", "usr/bin/typo"))


def test_only_the_needed_libraries_come(build, world) -> None:
    mirror = world[1]
    layer = build("elf")
    assert files(layer) == [
        "usr/bin/elf",
        "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        "usr/lib/x86_64-linux-gnu/libc.so.6",
        "usr/lib64/ld-linux-x86-64.so.2",
    ]
    found = {row["name"]: row["files"] for row in layer.packages}
    assert found == {"elf": 1, "libc6": 3, "unrelated": 0}, "what was resolved and brought nothing, too"
    assert mirror.count("unrelated.*deb") == 0


def test_libraries_that_are_dlopened(build) -> None:
    assert "usr/lib/x86_64-linux-gnu/libnss_files.so.2" in files(build("elf", libraries=("libnss_files.so.2",)))
    assert "usr/lib/x86_64-linux-gnu/libm.so.6" in files(build("elf", libraries=("usr/lib/*/libm.so.*",)))
    with pytest.raises(UserError, match=r"`libraries` of test needs libnone\.so\.9, which no package of elf brings"):
        build("elf", libraries=("libnone.so.9",))


def test_a_library_that_no_package_brings(build) -> None:
    with pytest.raises(UserError, match=r"/usr/bin/orphan needs libc\.so\.6, which no package of orphan brings"):
        build("orphan")


def test_users_files_links_and_joined_files(build, tmp_path) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\n")
    (tmp_path / "script").chmod(0o755)
    layer = build(
        "tool",
        keep=("usr/bin/tool",),
        users=(User(name="web", uid=33, gid=33, home="/var/www"), User(name="ssh", uid=101, gid=65534)),
        files=(
            File(path="/bin/script", source="script"),
            File(path="etc/secret", contents="hush", mode="0600", uid="web", gid="web"),
            File(path="var/www", directory=True, uid=33),
            File(path="etc/alias", symlink="secret"),
            File(path="etc/none", source="missing", optional=True),
        ),
        links={"/usr/bin/tool": ("usr/bin/one", "bin/two")},
        concatenate=(Concatenate(path="/etc/all.crt", glob="usr/share/certs/*.crt"),),
    )
    assert content(layer, "etc/all.crt") == b"A\nB\n"
    assert [(row["name"], row["files"]) for row in layer.packages] == [("tool", 3)], "two of them joined"
    assert content(layer, "etc/passwd").decode().splitlines() == [
        "root:x:0:0:root:/root:/bin/sh",
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin",
        "web:x:33:33:web:/var/www:/usr/sbin/nologin",
        "ssh:x:101:65534:ssh:/nonexistent:/usr/sbin/nologin",
    ]
    assert content(layer, "etc/group") == b"root:x:0:\nnogroup:x:65534:\nweb:x:33:\n"
    assert all(line.split(b":")[1] == b"*" for line in content(layer, "etc/shadow").splitlines())
    found = members(layer)
    assert found["etc/shadow"].mode == 0o600
    assert (found["usr/bin/script"].mode, found["etc/alias"].linkname) == (0o755, "secret")
    assert (found["etc/secret"].mode, found["etc/secret"].uid, found["etc/secret"].gid) == (0o600, 33, 33)
    assert (found["var/www"].uid, found["var/www"].isdir()) == (33, True)
    assert found["usr/bin/two"].linkname == found["usr/bin/one"].linkname == "/usr/bin/tool"
    assert "etc/none" not in found


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"files": (File(path="../x", contents=""),)}, "is not a path inside the root"),
        ({"concatenate": (Concatenate(path="x", glob="none/*"),)}, "`concatenate` matches no file"),
    ],
)
def test_what_a_component_may_not_declare(build, keys: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        build("tool", **keys)


@pytest.mark.parametrize(("mode", "carried"), [(0o644, 0o644), (0o744, 0o755), (0o700, 0o755), (0o655, 0o644)])
def test_a_source_is_a_program_when_its_owner_may_run_it(build, tmp_path, mode: int, carried: int) -> None:
    (tmp_path / "source").write_text("#!/bin/sh\n")
    (tmp_path / "source").chmod(mode)
    layer = build(files=(File(path="usr/bin/x", source="source"),), description=oct(mode))
    assert members(layer)["usr/bin/x"].mode == carried, "whoever builds"


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("climbs", r"package climbs holds the path '\./\.\./\.\./etc/passwd', which leads out of its tree"),
        ("absolute", "package absolute holds the path '/etc/passwd'"),
        ("device", "package device holds './dev/sda', which is neither file, folder nor link"),
        ("pipe", "package pipe holds './run/pipe'"),
        ("danglinglink", "leads out of its tree"),
        ("garbage", r"package garbage is no \.deb"),
        ("nodata", "package nodata has no data"),
        ("notxz", "package notxz is damaged"),
    ],
)
def test_hostile_and_damaged_packages(build, cache, package: str, words: str) -> None:
    before = len(list((cache / "layers").iterdir())) if (cache / "layers").exists() else 0
    with pytest.raises(HostError, match=words):
        build(package)
    assert len(list((cache / "layers").iterdir()) if (cache / "layers").exists() else []) == before
    assert list((cache / "tmp").iterdir()) == []


def test_a_package_that_unpacks_without_end(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(deb, "MAX_UNPACKED", 10_000)
    path = tmp_path / "x.deb"
    path.write_bytes(make_deb([Item(f"./{number}", b"0" * 4000) for number in range(3)]))
    with pytest.raises(HostError, match="package bomb is too large to unpack"):
        deb.read(path, "bomb", io.BytesIO(), tmp_path / "spool")


@pytest.mark.parametrize("cut", [100, 200, 300, 400])
def test_a_deb_cut_short(tmp_path, cut: int) -> None:
    whole = make_deb([Item("./usr/x", bytes(range(256)) * 40)])
    path = tmp_path / "x.deb"
    path.write_bytes(whole[:-cut])
    with pytest.raises(HostError, match="package cut"):
        deb.read(path, "cut", io.BytesIO(), tmp_path / "spool")


@pytest.mark.parametrize(
    ("soname", "package"),
    [
        ("libssl.so.3", "libssl3"),
        ("libc.so.6", "libc6"),
        ("libpcre2-8.so.0", "libpcre2-8-0"),
        ("libz.so.1", "libz1"),
        ("libdb-5.3.so", "libdb5.3"),
        ("libgssapi_krb5.so.2", "libgssapi-krb5-2"),
    ],
)
def test_policy_names(soname: str, package: str) -> None:
    assert policy_name(soname) == package


@pytest.fixture(scope="module")
@needs("builds")
def real(tmp_path_factory: pytest.TempPathFactory) -> Debian:
    return Debian(Store(tmp_path_factory.mktemp("real")))


@pytest.mark.parametrize("name", ARCHES)
def test_sshd_has_all_its_libraries_on_every_architecture(real, tmp_path, name: str) -> None:
    arch = ARCHES[name]
    spec = ComponentSpec(
        name="sshd",
        path=tmp_path / "sshd.yml",
        digest=name,
        description="",
        packages=("openssh-server", "busybox-static"),
        keep=("usr/sbin/sshd", "usr/bin/busybox"),
        users=(User(name="sshd", uid=101, gid=101),),
    )
    layer = make_layer(spec, arch, real, real.store)
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "-xf", str(layer.tar), "-C", str(out)], check=True)
    readelf = shutil.which("readelf")
    assert readelf is not None
    from harness.proc import run

    libraries = {path.name for path in (out / "usr/lib" / arch.cross).iterdir()}
    for path in [out / "usr/sbin/sshd", *(out / "usr/lib" / arch.cross).glob("*.so*")]:
        text = run([readelf, "-d", str(path)]).stdout.decode()
        needed = [line.split("[")[1].rstrip("]") for line in text.splitlines() if "(NEEDED)" in line]
        assert set(needed) <= libraries | {"ld64.so.1"}, path
    assert layer.size < 22e6
    brought = {row["name"]: row["files"] > 0 for row in layer.packages}
    assert brought["libssl3"] and not brought["perl-base"]
