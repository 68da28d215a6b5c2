"""Options that several subcommands share, as typer reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EPILOG = """Exit codes: 0 all is well, 1 cases failed, 2 your input, 3 this host, 4 the machine, 5 the image,
6 better (of compare), 7 not repeatable here (of verify), 70 a bug, 130 interrupted."""


def components(incomplete: str) -> list[str]:
    """Return the components whose names begin so, for the shell's completion."""
    from harness import paths

    return sorted(path.stem for path in paths.COMPONENTS.glob("*.yml") if path.stem.startswith(incomplete))


Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
ImagesArgument = Annotated[
    list[Path], typer.Argument(metavar="IMAGE.yml…", help="Image YAML; several are merged in order.")
]
LockOption = Annotated[Path | None, typer.Option(help="Honour this lock of package versions; written when absent.")]
MirrorOption = Annotated[
    str | None, typer.Option(envvar="HARNESS_MIRROR", help="Package mirror 'URL [SUITE…]' instead of the host's own.")
]
Keyring = Annotated[
    Path | None, typer.Option(envvar="HARNESS_KEYRING", help="Keys the mirror is signed by, instead of Debian's.")
]
RegistryOption = Annotated[
    str | None, typer.Option(envvar="HARNESS_REGISTRY", help="OCI registry host[:port] of names that say none.")
]
Suite = Annotated[str, typer.Option(envvar="HARNESS_SUITE", help="Debian suite the components come from.")]
Compression = Annotated[str, typer.Option(help="Of the root filesystem: lz4, lz4-fast, zstd, gzip, xz.")]
Refresh = Annotated[bool, typer.Option("--refresh", help="Ask mirrors and registries anew what is the newest.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never touch the network.")]
Library = Annotated[
    bool, typer.Option("--library", help="Let the library's components stand for LinuxKit's and some public images.")
]
Where = Annotated[
    str | None, typer.Option("--history", metavar="FILE|URL", help="The history, instead of HARNESS_HISTORY's.")
]
