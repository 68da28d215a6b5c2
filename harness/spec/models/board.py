"""A real board: where its console, its power and its shell are, as frozen objects.

Secrets are never in the file: a key that ends in ``_env`` names the environment's variable that holds one.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from harness.secrets import hide
from harness.spec.models.base import Limit, Login, Model, NonEmptyText, Strings
from harness.spec.models.forms import PortPair, VariableName
from harness.spec.models.power import BoardPower, Port


class SshTarget(Model):
    """A machine reached over SSH. Files are relative to the machine's YAML; ``~`` is the home folder."""

    host: NonEmptyText = Field(description="the host's name or address")
    port: Port = Field(22, description="its port")
    user: NonEmptyText = Field("root", description="who logs in")
    key: str = Field(
        "",
        description="the private key's file, relative to the machine's YAML; the agent's and the home "
        "folder's when empty",
    )
    key_password_env: VariableName = Field("", description="the variable that holds the key's password")
    password_env: VariableName = Field("", description="the variable that holds the user's password")
    known_hosts: str = Field(
        "", description="the file of known host keys, relative likewise; the user's and the host's own when empty"
    )
    jump: Strings = Field((), description="hosts to go over, the first one first, each `[user@]host[:port]`")


class SshConsole(SshTarget):
    """A console that a command on another machine gives."""

    command: str = Field(
        "", description="the command whose output and input are the console, in a terminal; the login shell when empty"
    )


class BoardConsole(Model):
    """Where a board's console is: exactly one of ``serial``, ``ssh``, ``command``, ``labgrid`` and ``log``."""

    one_of = ("serial", "ssh", "command", "labgrid", "log")

    serial: str | None = Field(
        None,
        description="a serial line: a device, or a URL of pySerial's such as `rfc2217://HOST:PORT`, "
        "`socket://HOST:PORT`",
    )
    baud: Annotated[
        int,
        Field(
            ge=50,
            description="bits per second of the line; what the line itself takes of a boot's times is told from it",
        ),
    ] = 115200
    rtscts: bool = Field(False, description="the serial line's hardware flow control")
    ssh: SshConsole | None = Field(None, description="a console that a command on another machine gives")
    command: Strings | None = Field(
        None, description="a program whose output and input are the console; it is given a terminal"
    )
    ready: str = Field(
        "",
        description="a pattern of RE2's that `command` says once it is connected; only then the board is switched on",
    )
    after: Strings | None = Field(
        None, description="a program that is run once `command` has ended, to close what that leaves open"
    )
    timeout: Limit = Field(
        30.0,
        description="seconds in which `command` says `ready`, or a device that is the board's own appears",
    )
    labgrid: bool = Field(False, description="the serial line of the labgrid place")
    log: bool = Field(
        False, description="there is no console: the kernel's log is read over the board's `ssh`, once that answers"
    )

    @property
    def speed(self) -> int | None:
        """The line's speed where it is known: set from here, or written down."""
        told = self.serial is not None and not self.serial.startswith("socket://")
        return self.baud if told or "baud" in self.model_fields_set else None


# what keys send on a VT220, which boot loaders take their terminals for
KEYS = {
    "enter": "\r", "esc": "\x1b", "tab": "\t", "space": " ", "backspace": "\x7f", "delete": "\x1b[3~",
    "up": "\x1b[A", "down": "\x1b[B", "right": "\x1b[C", "left": "\x1b[D", "home": "\x1b[1~", "end": "\x1b[4~",
    "f1": "\x1bOP", "f2": "\x1bOQ", "f3": "\x1bOR", "f4": "\x1bOS", "f5": "\x1b[15~", "f6": "\x1b[17~",
    "f7": "\x1b[18~", "f8": "\x1b[19~", "f9": "\x1b[20~", "f10": "\x1b[21~", "f11": "\x1b[23~", "f12": "\x1b[24~",
}  # fmt: skip


class Typing(Model):
    """How fast a boot loader can take what is typed: some have a FIFO of a few bytes and no flow control."""

    character: Limit | None = Field(None, description="seconds between two characters")
    line: Limit | None = Field(None, description="seconds before each line")
    fifo: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        None, description="bytes that are sent at once; the next ones follow when the line has carried them"
    )


class LoaderStep(Model):
    """One step of the dialogue with a boot loader: words of its, and what is typed then."""

    wait: NonEmptyText = Field(
        description="a pattern of RE2's: looked for in what the board has said since the step before"
    )
    send: str | None = Field(
        None,
        description="what is typed then, if anything; `{cmdline}`, `{url}`, `{kernel}`, `{initrd}`, "
        "`{folder}` filled in",
    )
    enter: bool = Field(True, description="the return key follows what is sent")
    key: str = Field(
        "", description=f"a key that is pressed then, in place of `send`: {', '.join(KEYS)}, or `ctrl-` and a letter"
    )
    repeat: Limit | None = Field(
        None, description="seconds: `key` or `send` is pressed again as often until the next step's `wait` is seen"
    )
    fail: Strings | None = Field(
        None,
        description="patterns of RE2's that end the boot at once after this step; what U-Boot, GRUB, iPXE, EDK2 and "
        "barebox are known to say unless given",
    )
    echo: bool = Field(
        False, description="the return key follows once what was sent came back right; else it is typed again"
    )


class Netboot(Model):
    """DHCP and TFTP served by a dnsmasq that runs while the board boots."""

    interface: NonEmptyText = Field(description="this host's network interface to the board")
    range: NonEmptyText = Field(description="the addresses that the board may get, `FIRST,LAST`")
    file: str = Field(
        "",
        description="what the board is told to load: a file of the folder, which has `kernel`, `initrd` and `cmdline`",
    )
    http: Port | None = Field(
        None,
        description="a port at which the folder is served by HTTP too: to iPXE, which finds `boot.ipxe`, and to UEFI",
    )


class Web(Model):
    """The folder of files served by HTTP while the board boots."""

    address: NonEmptyText = Field(description="this host's address at which it listens")
    port: Port = Field(8080, description="its port")


class Deploy(Model):
    """How the image gets to the board: exactly one way.

    Names that are filled in, also in `loader` and `console.command`: {kernel} {initrd} {folder} are files, {here} is
    the folder of the machine's YAML, {cmdline} the kernel's words, {url} the folder by HTTP.
    """

    one_of = ("command", "kexec", "netboot", "http", "installed")

    command: Strings | None = Field(
        None, description="a program and its arguments, no shell; the same names are filled in and `{here}`"
    )
    kexec: bool = Field(
        False, description="the system that runs on the board is given the image over `ssh`, and starts it by kexec"
    )
    netboot: Netboot | None = Field(None, description="the harness serves DHCP and TFTP while the board boots")
    http: Web | None = Field(
        None, description="the harness serves the files by HTTP while the board boots, and nothing else"
    )
    installed: bool = Field(False, description="nothing is done: the image is there, and no probe can be put beside it")
    timeout: Limit = Field(300.0, description="seconds that it may take")
    dtb: str = Field(
        "",
        description="a device tree's file, relative to the machine's YAML, that `command` and `netboot` bring as `dtb`",
    )
    unpack: bool | None = Field(
        None,
        description="whether the kernel is brought unpacked (gzip, zstd, EFI's own); unless said, where `loader` uses "
        "U-Boot's `booti`, which takes no packed one, and by `netboot`",
    )


class LabgridPlace(Model):
    """A place of labgrid's, by name, or any that has these tags: exactly one of ``place`` and ``tags``."""

    one_of = ("place", "tags")

    coordinator: str = Field("", description="its `HOST:PORT`; what labgrid's own client takes unless said")
    place: str = Field("", description="the place's name")
    tags: dict[str, str] = Field(default_factory=dict, description="the tags of any place, which is reserved")


class Lab(Model):
    """The lab that a board belongs to."""

    labgrid: LabgridPlace = Field(description="a place of a labgrid lab, acquired as long as it is used")


class BoardLimits(Model):
    """How long a board is waited for, in seconds; what a boot itself may take, its plan or command line says."""

    free: Limit = Field(3600.0, description="until whoever has the board gives it back")
    silence: Limit | None = Field(
        None, description="from power-on until its first word; the boot's own time unless given"
    )
    loader: Limit | None = Field(
        None,
        description="from power-on until the dialogue with its boot loader is over; the boot's own time unless given",
    )
    resident: Limit = Field(300.0, description="until the system that `kexec` starts from answers over SSH")


class Board(Model):
    """A board and how it is reached."""

    console: BoardConsole = Field(description="where its console is, which must be heard from power-on to power-off")
    power: BoardPower = Field(
        default_factory=lambda: BoardPower(manual=True), description="how it is switched; by hand unless said"
    )
    loader: tuple[LoaderStep, ...] = Field(
        (), description="the dialogue with its boot loader, step by step, from power-on and from each reset"
    )
    typing: Typing = Field(default_factory=Typing, description="how fast the boot loader takes what is typed")
    deploy: Deploy = Field(
        default_factory=lambda: Deploy(installed=True),
        description="how the image gets there; it is installed already unless said",
    )
    login: Login | None = Field(
        None, description="a root shell by a login on the console; unless said, a boot with the probe has one there"
    )
    ssh: SshTarget | None = Field(None, description="a shell into the booted system")
    address: str = Field(
        "", description="the host name or address at which this host reaches its services; the `network` cases need it"
    )
    ports: tuple[PortPair, ...] = Field(
        (),
        description="ports of that address that lead to others of the guest, each `THERE:GUEST`; the same unless said",
    )
    limits: BoardLimits = Field(default_factory=BoardLimits, description="how long it is waited for")
    lab: Lab | None = Field(None, description="the lab that is asked for it before each boot")
    pool: Strings = Field((), description="tags: boards beside this file that have them all may take its place")
    after: Literal["off", "on"] = Field(
        "off",
        description="how the board is left, whatever ends the harness (a kill included): its power cut, or on",
    )
    tries: Annotated[
        int,
        Field(
            ge=1,
            le=10,
            description="how often a boot is tried where the board fails as a machine; an image that fails is not"
            " tried again",
        ),
    ] = 2
    secrets_env: tuple[VariableName, ...] = Field(
        (), description="variables of the environment whose values are kept out of every file, besides all `…_env`"
    )

    why_not_exact: ClassVar[str] = "a board has no instruction counter"
    host_memory: ClassVar[int] = 0

    def model_post_init(self, context: Any, /) -> None:
        """Keep its secrets out of what this process writes, whether its YAML was read here or by another process."""
        hide(variables(self))

    @property
    def network(self) -> bool:
        """Whether this host can reach its services."""
        return bool(self.address)

    @property
    def hears_off(self) -> bool:
        """Whether it is heard to the last: a console is, and the log of the system itself is not."""
        return not self.console.log


def reached(board: Board, port: int) -> tuple[str, int]:
    """Return the address and port at which this host reaches a TCP port of the guest."""
    there = {int(guest): int(outside) for outside, _, guest in (text.partition(":") for text in board.ports)}
    return board.address, there.get(port, port)


def variables(board: Model) -> set[str]:
    """Return the names of the environment's variables that hold a board's secrets: all that keys in ``_env`` name."""
    found: set[str] = set()
    for key in type(board).model_fields:
        value = getattr(board, key)
        if isinstance(value, Model):
            found |= variables(value)
        elif key.endswith("_env") and value:
            found |= {value} if isinstance(value, str) else set(value)
    return found
