"""apt with folders of its own: resolves and downloads for any architecture, unprivileged, signatures checked."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from filelock import FileLock

from harness import files, proc
from harness.arch import Arch
from harness.build.mirror import MirrorError, explain
from harness.build.sources import stanzas
from harness.errors import UserError
from harness.patience import Patience, retrying
from harness.store import damage_of, seal

HELPER = "/usr/lib/apt/apt-helper"
COMMAND_SECONDS = 1800.0  # a bound for one apt command, whatever its mirror does

# What a host's configuration may hold that would act on, or leak into, private folders.
CLEARED = (
    "APT::Architectures",
    "APT::Default-Release",
    "APT::Update::Pre-Invoke",
    "APT::Update::Post-Invoke",
    "APT::Update::Post-Invoke-Success",
    "APT::Install::Pre-Invoke",
    "APT::Install::Post-Invoke",
    "DPkg::Pre-Invoke",
    "DPkg::Post-Invoke",
    "DPkg::Pre-Install-Pkgs",
    "Acquire::IndexTargets",
)

CONFIG = """\
APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
APT::Sandbox::User "root";
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Get::AllowUnauthenticated "false";
APT::Update::Error-Mode "any";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::IndexTargets::deb::Packages {{
  MetaKey "$(COMPONENT)/binary-$(ARCHITECTURE)/Packages"; flatMetaKey "Packages";
  ShortDescription "Packages"; Description "$(RELEASE)/$(COMPONENT) $(ARCHITECTURE) Packages";
  flatDescription "$(RELEASE) Packages"; Optional "0";
}};
Acquire::Languages "none";
Acquire::ForceHash "SHA256";
Acquire::GzipIndexes "true";
Acquire::Retries "0";
Acquire::http::Timeout "{timeout}";
Acquire::https::Timeout "{timeout}";
Dir::State "{root}";
Dir::State::status "{root}/status";
Dir::State::Lists "{root}/lists";
Dir::Cache "{root}/cache";
Dir::Cache::archives "archives";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "{root}/harness.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Log "{root}";
"""


@dataclass(frozen=True)
class Offer:
    """What apt would fetch: a package's name and version, where it lies, and its digest."""

    name: str
    version: str
    uri: str
    sha256: str


class Apt:
    """One architecture's private apt below `root`, which several processes may share."""

    def __init__(self, root: Path, sources: str, suite: str, arch: Arch, patience: Patience) -> None:
        self.root, self.sources, self.suite, self.arch, self.patience = root, sources, suite, arch, patience
        if '"' in str(root):
            raise UserError(f"the cache folder's name holds a quote: {root}", hint="set HARNESS_CACHE to another")

    @property
    def _stamp(self) -> Path:
        return self.root / "updated"

    @property
    def _lists(self) -> Path:
        return self.root / "lists"

    def resolve(self, names: Sequence[str], *, refresh: bool, progress: Callable[[str], None]) -> list[dict[str, str]]:
        """Return the index paragraphs of all that `names` need, each with its ``uri``; fetch missing indexes first.

        Raises UserError when a name is unknown or cannot be installed, MirrorError when the mirror fails.
        """
        with self._own():
            if refresh or not self._stamp.exists() or self._are_damaged(progress):
                progress(f"{self.arch.name}: fetching package indexes of {self.suite}")
                self._stamp.unlink(missing_ok=True)
                retrying(self.patience, lambda: self._run(["apt-get", "update"]), progress)
                seal(self._lists)
                self._stamp.touch()
            printed = self._run(["apt-get", "-q", "-y", "--print-uris", "install", *names])
            offers = {offer.sha256: offer for offer in parse_uris(printed)}
            shown = self._run(["apt-cache", "show", *(f"{offer.name}={offer.version}" for offer in offers.values())])
            origins = self._origins()
        found = {
            fields["sha256"]: {
                **fields,
                "uri": (uri := offers[fields["sha256"]].uri),
                "origin-of-repository": next(
                    (said for base, said in origins.items() if escaped(uri).startswith(base)), ""
                ),
            }
            for fields in stanzas(shown)
            if fields.get("sha256") in offers
        }
        missing = [offer.name for digest, offer in offers.items() if digest not in found]
        if missing:
            raise MirrorError(
                f"the indexes of {self.suite} for {self.arch.name} have no record of: {' '.join(missing)}",
                kind="mismatch",
                hint="resolve anew (refresh)",
            )
        return list(found.values())

    def _are_damaged(self, progress: Callable[[str], None]) -> bool:
        """Say whether the indexes are other than they came: apt compares them with their signed digests only then."""
        wrong = damage_of(self._lists)
        if wrong:
            progress(f"{self.arch.name}: the package indexes are damaged in the cache ({wrong}): thrown away")
            shutil.rmtree(self._lists, ignore_errors=True)
            self._prepare()
        return bool(wrong)

    def _origins(self) -> dict[str, str]:
        """Return what each repository's signed index says of its origin, by how apt's names of its files begin."""
        found = {}
        for path in sorted(self._lists.glob("*_dists_*Release")):
            head = path.read_text(encoding="utf-8", errors="replace")[:10_000]
            said = re.search(r"^Origin: *(.{1,100}?) *$", head, re.MULTILINE)
            found[f"{path.name.partition('_dists_')[0]}_"] = said[1] if said else ""
        return found

    def download(self, wanted: Sequence[tuple[str, str, Path]]) -> None:
        """Fetch (uri, sha256, target) triples in one go. Raises MirrorError; targets that did arrive stay."""
        self._prepare()
        triples = ((uri.replace("file:", "copy:", 1), str(to), f"SHA256:{digest}") for uri, digest, to in wanted)
        self._run([HELPER, "download-file", *(word for triple in triples for word in triple)])

    @contextmanager
    def _own(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / "harness.lock"):
            self._prepare()
            yield

    def _prepare(self) -> None:
        for folder in ("lists/partial", "cache/archives/partial"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        clear = "".join(f"#clear {name};\n" for name in CLEARED)
        timeout = max(1, round(self.patience.timeout))
        texts = {
            "status": "",
            "harness.sources": self.sources,
            "apt.conf": clear + CONFIG.format(arch=self.arch.debian, root=self.root, timeout=timeout),
        }
        for name, text in texts.items():
            path = self.root / name
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                files.write(path, text)

    def _run(self, argv: Sequence[str]) -> str:
        program, *rest = argv
        argv = [program, "-c", str(self.root / "apt.conf"), *rest]
        # a file, because apt says on stdout why packages do not go together
        with tempfile.TemporaryFile() as said:
            try:
                proc.run(argv, stdout=said, env={**os.environ, "LC_ALL": "C"}, timeout=COMMAND_SECONDS)
            except proc.CommandError as error:
                said.seek(0)
                words = said.read(1 << 16).decode(errors="replace")
                raise explain(error, words, suite=self.suite, arch=self.arch.name) from error
            said.seek(0)
            return said.read().decode(errors="replace")


def escaped(uri: str) -> str:
    """Return a URI as apt names the files of its lists (strutl.cc, URItoFileName)."""
    bare = re.sub(r"^[a-z+]+:(//)?([^/@]*@)?", "", uri)
    return re.sub(r"[\\|{}\[\]<>\"^~_=!@#$%&*]", lambda match: f"%{ord(match[0]):02x}", bare).replace("/", "_")


def parse_uris(printed: str) -> Iterator[Offer]:
    """Yield what ``apt-get --print-uris`` lists: ``'URI' NAME_VERSION_ARCH.deb SIZE SHA256:HEX``."""
    for line in printed.splitlines():
        match = re.fullmatch(r"'([^']+)' ([^_ ]+)_([^_ ]+)_[^_ ]+\.deb \d+ SHA256:([0-9a-f]{64})", line.strip())
        if match:
            uri, name, version, digest = match.groups()
            yield Offer(name, unquote(version), uri, digest)
