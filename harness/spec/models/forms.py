"""How texts in a file look: the patterns that rules judge by, and the types by which a JSON Schema says the same.

A pattern is one that Python's `re` and ECMAScript read alike. A type says no more than the rules do: what it refuses,
they refuse, in words of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from harness.arch import ALIASES, ARCHES

MAX_ID = 2**32 - 2
_CAPABILITIES = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
CAPABILITIES = tuple(f"CAP_{short}" for short in _CAPABILITIES.split())
NAMESPACES = ("root", "host", "new")

NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"
OCTAL = r"0*[0-7]{1,4}"
INTERFACE = r"(?!\.{1,2}$)[^\s/:]{1,15}"  # as the kernel has it (dev_valid_name)
LINK = r"[a-z0-9_-]{1,15}"
PACKAGE = r"[a-z0-9][a-z0-9+.-]*[a-z0-9+.]"
ACCOUNT = r"[a-z_][a-z0-9_-]{0,30}"
PASSWD_PATH = r"/[^:\x00-\x1f\x7f]*"
MODULE = r"[A-Za-z0-9][A-Za-z0-9_-]*"
CONSOLE = r"[A-Za-z0-9][A-Za-z0-9/_-]*"
QEMU_WORD = r"[A-Za-z0-9][A-Za-z0-9_.,+=:-]*"
HOST = r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}(%[a-z0-9]{1,15})?"
VARIABLE = r"[A-Za-z_][A-Za-z0-9_]{0,100}"
PORT_PAIR = r"[1-9][0-9]{0,4}:[1-9][0-9]{0,4}"
# a plain address, or NAME <ADDRESS>; one alone, for a second one would be a comma away
_ADDRESS = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}(@[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?)?"
MAIL_ADDRESS = rf'{_ADDRESS}|[^<>@,;:\\"\x00-\x1f\x7f]{{0,100}}<{_ADDRESS}>'
MAIL_SERVER = r"([A-Za-z0-9][A-Za-z0-9.-]{0,250}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?"
OS_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}"
OS_PLACE = r"(/(?!\.\.?(/|$))[^/\x00]+)+"
REQUIREMENT = r"[a-z0-9][a-z0-9-]{0,39}"
CASE = r"(?P<file>[\w./-]+\.py)(?:::(?P<case>test_\w+))?"
DAY = r"\d{4}-\d\d-\d\d"


@dataclass(frozen=True)
class Form:
    """What a JSON Schema says of a value besides its type; validation itself is the rules' work."""

    keywords: Mapping[str, Any]

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), **self.keywords}

    def __hash__(self) -> int:  # as a type's metadata has to have one
        return id(self)


def _pattern(text: str, *, empty: bool = False) -> Form:
    """Return the form of a text that is `text` from end to end, or none at all."""
    return Form({"pattern": f"^({text.replace('(?P<file>', '(?:').replace('(?P<case>', '(?:')})" + "?" * empty + "$"})


def _namespace(*more: str) -> Form:
    return Form({"anyOf": [{"enum": [*NAMESPACES, *more]}, {"pattern": "^(/.*)?$"}]})


_ALONE = {"pattern": "^([Aa][Ll][Ll]|[Nn][Oo][Nn][Ee])$"}
EntryName = Annotated[str, _pattern(NAME)]
Capability = Annotated[str, Form({"anyOf": [{"enum": [*CAPABILITIES, "all", "none"]}, _ALONE]})]
Rlimit = Annotated[str, Form({"pattern": "^[^,]+,[^,]+,[^,]+$"})]
Tmpfs = Annotated[str, Form({"pattern": "^/[^:]*(:[^:]*)?$"})]
Bind = Annotated[str, Form({"pattern": "^[^:]+:/[^:]*(:[^:]+)?$"})]
Mode = Annotated[str, _pattern(OCTAL, empty=True)]
Namespace = Annotated[str, _namespace()]
NetNamespace = Annotated[str, _namespace("none")]
Identity = Annotated[int, Form({"minimum": 0, "maximum": MAX_ID})] | str
DeviceKind = Annotated[str, Form({"enum": ["a", "b", "c", "u", "p"]})]
InterfaceName = Annotated[str, _pattern(INTERFACE)]
InterfaceKind = Annotated[str, _pattern(LINK, empty=True)]
ArchName = Annotated[str, Form({"enum": list(ARCHES)})]
ArchAlias = Annotated[str, Form({"enum": [*ARCHES, *ALIASES]})]
PackageName = Annotated[str, _pattern(PACKAGE)]
Account = Annotated[str, _pattern(ACCOUNT)]
PasswdPath = Annotated[str, _pattern(PASSWD_PATH)]
ModuleName = Annotated[str, _pattern(MODULE)]
ConsoleName = Annotated[str, _pattern(CONSOLE)]
QemuWord = Annotated[str, _pattern(QEMU_WORD)]
VariableName = Annotated[str, _pattern(VARIABLE, empty=True)]
PortPair = Annotated[str, _pattern(PORT_PAIR)]
MailAddress = Annotated[str, _pattern(MAIL_ADDRESS)]
MailServer = Annotated[str, _pattern(MAIL_SERVER)]
OsName = Annotated[str, _pattern(OS_NAME), Form({"not": {"const": "unready"}})]
OsPlace = Annotated[str, _pattern(OS_PLACE)]
RequirementName = Annotated[str, _pattern(REQUIREMENT)]
RequirementCase = Annotated[str, _pattern(CASE)]
Day = Annotated[str, Form({"pattern": f"^{DAY}$", "format": "date"})]
