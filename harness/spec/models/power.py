"""How a board's power is switched: one model a kind of switch, of the name of its module in `harness/board/power`.

Secrets are never in the file: a key that ends in ``_env`` names the environment's variable that holds one.
"""

from typing import Annotated, Literal

from pydantic import Field

from harness.spec.models.base import Limit, Model, NonEmptyText, Strings
from harness.spec.models.forms import VariableName

Port = Annotated[int, Field(ge=1, le=65535)]


class PowerCommands(Model):
    """Programs that switch a board, each an argv."""

    on: Strings = Field(description="the program that switches it on, and its arguments; no shell reads them")
    off: Strings = Field(description="the program that switches it off")
    cycle: Strings | None = Field(
        None, description="one that switches it off and on; the two with a pause unless given"
    )
    status: Strings | None = Field(
        None, description="one that prints a line with the word `on` or `off`, or just 1 or 0"
    )


class PowerHttp(Model):
    """A power switch that takes HTTP requests."""

    on: NonEmptyText = Field(description="the address that switches it on")
    off: NonEmptyText = Field(description="the address that switches it off")
    method: Literal["GET", "POST", "PUT"] = Field("GET", description="the request's method")
    on_body: str = Field("", description="what is sent to switch it on")
    off_body: str = Field("", description="what is sent to switch it off")
    content_type: str = Field("application/json", description="of what is sent")
    user: str = Field("", description="a user, for basic authentication")
    password_env: VariableName = Field("", description="the variable that holds the user's password")
    token_env: VariableName = Field("", description="the variable that holds a bearer token")


class PowerSnmp(Model):
    """An outlet of a power distribution unit that speaks SNMP: an integer that is set."""

    host: NonEmptyText = Field(description="the distribution unit")
    port: Port = Field(161, description="its UDP port")
    oid: NonEmptyText = Field(description="the outlet's object, an integer")
    on: int = Field(1, description="the value that switches it on")
    off: int = Field(2, description="the value that switches it off")
    version: Literal["1", "2c", "3"] = Field("2c", description="SNMP's")
    community_env: VariableName = Field(
        "", description="the variable that holds the community, which is `private` unless given"
    )
    user: str = Field("", description="of version 3")
    auth: Literal["SHA", "SHA-256", "SHA-512", "MD5"] = Field(
        "SHA", description="of version 3: how messages are authenticated"
    )
    auth_password_env: VariableName = Field(
        "", description="the variable that holds the password for it; messages are not authenticated without"
    )
    privacy: Literal["AES", "DES"] = Field("AES", description="of version 3: how messages are encrypted")
    privacy_password_env: VariableName = Field(
        "", description="the variable that holds the password for it; messages are not encrypted without"
    )


class PowerPdudaemon(Model):
    """An outlet that a pdudaemon switches."""

    url: NonEmptyText = Field(description="of its HTTP listener")
    pdu: NonEmptyText = Field(description="the distribution unit's name in its configuration")
    outlet: int = Field(description="the outlet's number")


class PowerIpmi(Model):
    """A server whose management controller speaks IPMI over the LAN."""

    host: NonEmptyText = Field(description="the management controller")
    port: Port = Field(623, description="its UDP port")
    interface: Literal["lan", "lanplus"] = Field("lanplus", description="`lanplus` is IPMI 2.0")
    user: str = Field("", description="a user who may switch the power")
    password_env: VariableName = Field("", description="the variable that holds the user's password")
    cipher: Annotated[int, Field(ge=0, le=17)] | None = Field(
        None, description="the cipher suite; ipmitool's own choice unless given"
    )


class PowerRedfish(Model):
    """A server whose management controller speaks Redfish."""

    url: NonEmptyText = Field(description="the management controller, as `https://HOST`")
    system: str = Field("", description="the system's id; needed where the controller has several")
    user: str = Field("", description="a user who may switch the power")
    password_env: VariableName = Field("", description="the variable that holds the user's password")
    ca: str = Field(
        "", description="a file of the certificates to trust, relative to the machine's YAML; the host's own when empty"
    )


class BoardPower(Model):
    """How a board is switched: exactly one of the ways, besides ``pause``."""

    one_of = ("command", "http", "snmp", "pdudaemon", "ipmi", "redfish", "manual", "labgrid")

    command: PowerCommands | None = Field(None, description="programs that switch it")
    http: PowerHttp | None = Field(None, description="a switch that takes HTTP requests")
    snmp: PowerSnmp | None = Field(None, description="an outlet that is set by SNMP")
    pdudaemon: PowerPdudaemon | None = Field(None, description="an outlet that a pdudaemon switches")
    ipmi: PowerIpmi | None = Field(None, description="a management controller that speaks IPMI (ipmitool)")
    redfish: PowerRedfish | None = Field(None, description="a management controller that speaks Redfish")
    manual: bool = Field(False, description="a person switches it, and is asked to")
    labgrid: bool = Field(False, description="the power of the labgrid place")
    pause: Limit = Field(2.0, description="seconds between off and on")
    timeout: Limit = Field(60.0, description="seconds in which the switch answers")
    confirm: Limit = Field(
        30.0, description="seconds in which a switch that can be asked says that it is as it was told to be"
    )
