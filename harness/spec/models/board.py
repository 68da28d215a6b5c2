"""A real board: where its console, its power and its shell are, as frozen objects.

Secrets are never in the file: a key that ends in ``_env`` names the environment's variable that holds one.
"""

from typing import Annotated, Literal

from pydantic import Field

from harness.spec.models.base import Limit, Login, Model, NonEmptyText, Strings

Port = Annotated[int, Field(ge=1, le=65535)]


class SshTarget(Model):
    """A machine reached over SSH. Files are relative to the machine's YAML; ``~`` is the home folder."""

    host: NonEmptyText
    port: Port = 22
    user: NonEmptyText = "root"
    key: str = ""  # the agent's and the home folder's keys when empty
    key_password_env: str = ""
    password_env: str = ""
    known_hosts: str = ""  # the user's and the host's own when empty
    jump: Strings = ()  # [user@]host[:port], the first one first


class SshConsole(SshTarget):
    """A console that a command on another machine gives."""

    command: str = ""  # the login shell in a terminal when empty


class BoardConsole(Model):
    """Where a board's console is: exactly one of ``serial``, ``ssh``, ``command``, ``labgrid`` and ``log``."""

    serial: str | None = None  # a device or any URL of pySerial's
    baud: Annotated[int, Field(ge=50)] = 115200
    rtscts: bool = False
    ssh: SshConsole | None = None
    command: Strings | None = None
    labgrid: bool = False
    log: bool = False  # there is none: the kernel's log over the board's `ssh`

    @property
    def speed(self) -> int | None:
        """The line's speed where it is known: set from here, or written down."""
        told = self.serial is not None and not self.serial.startswith("socket://")
        return self.baud if told or "baud" in self.model_fields_set else None


class PowerCommands(Model):
    """Programs that switch a board, each an argv."""

    on: Strings
    off: Strings
    cycle: Strings | None = None  # off, a pause and on unless given
    status: Strings | None = None  # prints a line with the word on or off


class PowerHttp(Model):
    """A power switch that takes HTTP requests."""

    on: NonEmptyText
    off: NonEmptyText
    method: Literal["GET", "POST", "PUT"] = "GET"
    on_body: str = ""
    off_body: str = ""
    content_type: str = "application/json"
    user: str = ""
    password_env: str = ""
    token_env: str = ""  # sent as `Authorization: Bearer`


class PowerSnmp(Model):
    """An outlet of a power distribution unit that speaks SNMP: an integer that is set."""

    host: NonEmptyText
    port: Port = 161
    oid: NonEmptyText
    on: int = 1
    off: int = 2
    version: Literal["1", "2c", "3"] = "2c"
    community_env: str = ""  # `private` unless given
    user: str = ""  # of version 3, as all below
    auth: Literal["SHA", "SHA-256", "SHA-512", "MD5"] = "SHA"
    auth_password_env: str = ""
    privacy: Literal["AES", "DES"] = "AES"
    privacy_password_env: str = ""


class PowerPdudaemon(Model):
    """An outlet that a pdudaemon switches."""

    url: NonEmptyText  # of its HTTP listener
    pdu: NonEmptyText  # the PDU's name in its configuration
    outlet: int


class PowerIpmi(Model):
    """A server whose management controller speaks IPMI over the LAN."""

    host: NonEmptyText
    port: Port = 623
    interface: Literal["lan", "lanplus"] = "lanplus"
    user: str = ""
    password_env: str = ""
    cipher: Annotated[int, Field(ge=0, le=17)] | None = None


class PowerRedfish(Model):
    """A server whose management controller speaks Redfish."""

    url: NonEmptyText  # https://HOST
    system: str = ""  # its id; the only one's when empty
    user: str = ""
    password_env: str = ""
    ca: str = ""  # a file with the certificates to trust


class BoardPower(Model):
    """How a board is switched: exactly one of the ways, besides ``pause``."""

    command: PowerCommands | None = None
    http: PowerHttp | None = None
    snmp: PowerSnmp | None = None
    pdudaemon: PowerPdudaemon | None = None
    ipmi: PowerIpmi | None = None
    redfish: PowerRedfish | None = None
    manual: bool = False
    labgrid: bool = False
    pause: Limit = 2.0  # seconds between off and on


class LoaderStep(Model):
    """One step of the dialogue with a boot loader: words of its, and what is typed then."""

    wait: NonEmptyText  # a pattern of RE2's, looked for in all that has come since the step before
    send: str | None = None  # the names of `Deploy` count in it
    enter: bool = True  # the return key follows what is sent


class Netboot(Model):
    """DHCP and TFTP served by a dnsmasq that runs while the board boots."""

    interface: NonEmptyText  # the host's, to which the board's network is attached
    range: NonEmptyText  # of the addresses it hands out, FIRST,LAST
    file: str = ""  # what the board is told to load, of the folder of files; nothing when empty
    http: Port | None = None  # the folder is served by HTTP as well, on this port of the interface's address


class Web(Model):
    """The folder of files served by HTTP while the board boots."""

    address: NonEmptyText  # this host's, at which it listens
    port: Port = 8080


class Deploy(Model):
    """How the image gets to the board: exactly one way.

    Names that are filled in, also in `loader` and `console.command`: {kernel} {initrd} {folder} are files, {here} is
    the folder of the machine's YAML, {cmdline} the kernel's words, {url} the folder by HTTP.
    """

    command: Strings | None = None
    kexec: bool = False
    netboot: Netboot | None = None
    http: Web | None = None
    installed: bool = False
    timeout: Limit = 300.0  # seconds


class LabgridPlace(Model):
    """A place of labgrid's, by name, or any that has these tags: exactly one of ``place`` and ``tags``."""

    coordinator: str = ""  # HOST:PORT; labgrid's own setting when empty
    place: str = ""
    tags: dict[str, str] = Field(default_factory=dict)


class Lab(Model):
    """The lab that a board belongs to."""

    labgrid: LabgridPlace


class Board(Model):
    """A board and how it is reached."""

    console: BoardConsole
    power: BoardPower = Field(default_factory=lambda: BoardPower(manual=True))
    loader: tuple[LoaderStep, ...] = ()
    deploy: Deploy = Field(default_factory=lambda: Deploy(installed=True))
    login: Login | None = None  # a root shell on the console; the probe's when it boots with the probe
    ssh: SshTarget | None = None  # a shell into the booted system
    address: str = ""  # where this host reaches its services
    ports: Strings = ()  # THERE:GUEST, the port of the address that leads to one of the guest; the same unless said
    lab: Lab | None = None  # that has to be asked for it
    pool: Strings = ()  # tags: boards beside this file that have all of them may take its place
    tries: Annotated[int, Field(ge=1, le=10)] = 2  # of a boot in which the board fails as a machine
    secrets_env: Strings = ()  # further variables that hold secrets, for the commands' own use


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
