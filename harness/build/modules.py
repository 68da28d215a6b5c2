"""Kernel modules as names: what each needs, and the order in which to load them. Pure."""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

ENDINGS = (".ko", ".ko.xz", ".ko.gz", ".ko.zst")
# what a first stage loads for a verified root, where the kernel has it as a module: what reads the tree, and drivers of
# the disks of virtual machines and clouds; a kernel component's `stage1` names others
VERITY_NEEDS = ("dm_mod", "dm_verity")
VERITY = (
    "sha256_generic", "sha256_ssse3", "sha256_arm64", "sha2_ce", "sha256_s390", *VERITY_NEEDS,
    "virtio_pci", "virtio_mmio", "virtio_blk", "virtio_scsi", "sd_mod", "nvme", "hv_storvsc", "xen_blkfront",
)  # fmt: skip


def module_name(path: str) -> str:
    """Return a module's name as the kernel spells it; "" when `path` is not a module."""
    base = posixpath.basename(path)
    ending = next((one for one in ENDINGS if base.endswith(one)), "")
    return spelled(base.removesuffix(ending)) if ending else ""


def spelled(name: str) -> str:
    """Return `name` with the kernel's underscores."""
    return name.strip().replace("-", "_")


@dataclass(frozen=True)
class ModuleIndex:
    """A kernel's modules: path below the version's folder, and needs, by name; and the names that are built in."""

    paths: Mapping[str, str]
    needs: Mapping[str, Sequence[str]]
    builtin: frozenset[str]

    def knows(self, name: str) -> bool:
        """Say whether the kernel has `name` at all."""
        return spelled(name) in self.paths or spelled(name) in self.builtin

    def order(self, names: Iterable[str]) -> list[str]:
        """Return `names` with all they need, in an order to load them; built-in and absent ones are left out."""
        done: dict[str, None] = {}

        def visit(name: str, above: tuple[str, ...]) -> None:
            if name in done or name in above or name not in self.paths:
                return
            for need in self.needs.get(name, ()):
                visit(need, (*above, name))
            done[name] = None

        for name in names:
            visit(spelled(name), ())
        return list(done)

    def nearest(self, name: str) -> list[str]:
        """Return the names most like `name`."""
        return difflib.get_close_matches(spelled(name), [*self.paths, *sorted(self.builtin)], n=3)


def read_index(dep: str, builtin: str, softdep: str) -> ModuleIndex:
    """Read modules.dep, modules.builtin and modules.softdep; a soft `pre` counts as a need when it is a module."""
    paths: dict[str, str] = {}
    needs: dict[str, list[str]] = {}
    for line in dep.splitlines():
        path, _, rest = line.partition(":")
        name = module_name(path)
        if name:
            paths[name] = path
            # modprobe loads this list from its end
            needs[name] = [module_name(one) for one in reversed(rest.split())]
    for name, pre in re.findall(r"^softdep (\S+) pre: (.*?)(?: post:.*)?$", softdep, re.MULTILINE):
        own = needs.get(spelled(name))
        if own is not None:
            own += [spelled(one) for one in pre.split() if spelled(one) in paths and spelled(one) not in own]
    return ModuleIndex(paths, needs, frozenset(module_name(line) for line in builtin.splitlines()))
