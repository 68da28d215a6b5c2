"""A component: packages and files, and how its container runs."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from harness.spec.models.base import Model, Strings
from harness.spec.models.container import EntryConfig, File
from harness.spec.models.forms import MAX_ID, Account, ArchName, Form, ModuleName, PackageName, PasswdPath


class User(Model):
    """A user (and the group of the same name) that a maintainer script would have made."""

    name: Account = Field(description="user's and group's name")
    uid: Annotated[int, Form({"minimum": 0, "maximum": MAX_ID})] = Field(description="user id")
    gid: Annotated[int, Form({"minimum": 0, "maximum": MAX_ID})] = Field(description="group id")
    home: PasswdPath = Field("/nonexistent", description="home folder")
    shell: PasswdPath = Field("/usr/sbin/nologin", description="login shell")


class Concatenate(Model):
    """A file made by joining the component's files that match a glob, in name order."""

    path: str = Field(description="the file to make")
    glob: str = Field(description="the component's files to join, in the order of their names")


class KernelPart(Model):
    """Makes a component a kernel: which modules it carries, with what they need."""

    modules: Strings = Field(
        description="modules in the root, with all they need; built-in or absent ones are left out"
    )
    stage1: Strings = Field(("loop", "squashfs"), description="modules loaded before the root can be mounted")
    probe: Strings = Field((), description="modules only cases need, in the probe")


class CommandOption(Model):
    """One option of the program that a component stands for."""

    names: Strings = Field(description="its names without dashes, as in `[k, key-file]`; of `words`, with them")
    takes: Literal["nothing", "text", "number"] = Field("nothing", description="the value that follows it")
    values: Strings = Field((), description="the only values that are honoured; any when empty")
    honoured: bool = Field(
        True, description="the component does what it says; otherwise an image that uses it is refused"
    )


class CommandLine(Model):
    """The command line of the LinuxKit package that a component stands for: what the build holds an image's to."""

    programs: Strings = Field(description="the programs whose arguments these are, as images name them")
    style: Literal["go", "getopt", "words"] = Field(
        "go",
        description="how options are written: as Go's flag package reads them (`-label X`, `--label=X`, none after the "
        "first argument), as getopt does (`-k X`, `--key-file=X`, anywhere), or each a word of its own",
    )
    options: tuple[CommandOption, ...] = Field((), description="its options")
    least: int = Field(0, ge=0, description="how many arguments there are at least")
    most: int | None = Field(None, ge=0, description="how many at most; any number unless said")
    accepts: Strings = Field((), description="globs of the arguments that are honoured; all when empty")


class ComponentSpec(Model):
    """One component of the library: which packages, which of their files, and how it runs."""

    given = ("name", "path", "digest")

    name: str  # the file's name without its ending
    path: Path
    digest: str  # SHA-256 of the YAML and of every local file its `files` name
    description: str = Field(description="one line that says what it is")
    packages: tuple[PackageName, ...] = Field((), description="Debian packages whose files it takes")
    packages_for: dict[ArchName, tuple[PackageName, ...]] = Field(
        default_factory=dict, description="more packages, by architecture (`x86_64`, `arm64`, `s390x`)"
    )
    keep: Strings = Field(
        (), description="globs of the packages' files to carry; all but docs, man pages and locales when empty"
    )
    drop: Strings = Field((), description="globs to leave out of those")
    stand_ins: Strings = Field(
        (),
        description="shared libraries by soname that are only there to be linked against, such as "
        "`libsystemd.so.0` where no systemd runs: the harness's own small stand-in is carried "
        "instead",
    )
    libraries: Strings = Field(
        (), description="shared libraries loaded at run time, which no ELF header names: sonames or globs"
    )
    users: tuple[User, ...] = Field((), description="users, each with a group of the same name")
    files: tuple[File, ...] = Field((), description="files to add; `source` is a path beside the YAML")
    concatenate: tuple[Concatenate, ...] = Field((), description="files to make by joining others")
    # symlinks to make, by their target: {/usr/bin/busybox: [usr/bin/sh, …]}
    links: dict[str, Strings] = Field(
        default_factory=dict, description="symbolic links to make, by target: `{/usr/bin/busybox: [usr/bin/sh]}`"
    )
    modules: tuple[ModuleName, ...] = Field(
        (),
        description="kernel modules that it needs: images that use it carry them, with all they need, and "
        "load them at boot; built-in or absent ones are left out",
    )
    carries: Strings = Field(
        (),
        description="kernel modules that images which use it carry, too, and that the kernel loads by itself once they "
        "are needed, as a file system's",
    )
    command_line: CommandLine | None = Field(
        None, description="the command line that images may give it, where it stands for a package of LinuxKit's"
    )
    kernel: KernelPart | None = Field(None, description="makes the component a kernel")
    guest: bool = Field(False, description="it brings the harness's own init scripts and boot marks")
    section: Literal["", "init", "onboot", "onshutdown", "services"] = Field(
        "",
        description="the section of an image that it is for; `services` unless said, or `init` where it has no command",
    )
    config: EntryConfig = Field(
        default_factory=EntryConfig,
        description="how its container runs: all keys of a container but `name` and `image`; the image's YAML wins",
    )

    @property
    def place(self) -> str:
        """The section of an image that it is for: a kernel's, what it says, or by whether it has a command."""
        if self.kernel is not None:
            return "kernel"
        return self.section or ("services" if self.config.command else "init")
