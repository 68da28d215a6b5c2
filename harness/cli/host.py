"""This host: what it has, and what the cache holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.cli.app import command

if TYPE_CHECKING:
    from pathlib import Path


@command
def doctor(json: bool) -> int:
    """Say what this host has and lacks.

    Tools with their versions and packages, KVM, the cache, room for guests, package sources.

    Exit 0 when everything indispensable is there, 3 otherwise.

    \b
    Examples:
      harness doctor
      harness doctor --json
    """
    from harness.commands.host import doctor as module

    return module.doctor(as_json=json)


@command
def cache(action: str, folder: Path | None, json: bool) -> int:
    """Keep downloaded packages and images elsewhere.

    export writes them to a folder, import takes them back; verify compares all that is cached with its digests, throws
    away what is damaged, and exits 1 then.

    With a lock (harness build --lock FILE) and an exported cache an image can be built again, byte for byte, when the
    mirror no longer has its packages, or the registry its images.

    \b
    Examples:
      harness cache export /backup/packages
      harness cache import /backup/packages
      harness cache verify
      harness build my-os.yml --lock my-os.lock --offline
    """
    from harness.commands.host import cache as module

    return module.cache(action, folder, as_json=json)


@command
def clean(all_: bool, dry_run: bool, to: float | None, json: bool) -> int:
    """Free the cache of what can be made again.

    Never while a build or a boot is using it.

    \b
    Examples:
      harness clean --dry-run
      harness clean --all
      harness clean --to 20000
    """
    from harness.commands.host import clean as module

    return module.clean(everything=all_, dry_run=dry_run, to_mb=to, as_json=json)


@command
def help_(command: str | None) -> int:
    """Say what a command does, or list all commands.

    \b
    Examples:
      harness help
      harness help boot
    """
    from harness.cli.app import show_help

    return show_help(command)


@command
def completion(shell: str) -> int:
    """Print what makes your shell complete harness's words.

    Images, machines, architectures, components, profiles, plans and runs, too.

    \b
    Examples:
      eval "$(harness completion bash)"                              (in ~/.bashrc)
      eval "$(harness completion zsh)"                               (in ~/.zshrc)
      harness completion fish > ~/.config/fish/completions/harness.fish
    """
    from harness.cli.app import app
    from harness.cli.completion import script

    print(script(app, shell))
    return 0


@command
def man(folder: Path) -> int:
    """Write the manual pages of all commands.

    \b
    Examples:
      harness man ~/.local/share/man
    """
    from harness.cli.app import app
    from harness.cli.man import write

    for path in write(app, folder):
        print(path)
    return 0


@command
def version() -> int:
    """Print the version of the harness.

    \b
    Examples:
      harness version
    """
    from harness import __version__

    print(f"harness {__version__}")
    return 0
