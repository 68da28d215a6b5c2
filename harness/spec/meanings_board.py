"""One line of meaning for every key of a board, by model."""

from __future__ import annotations

_SSH = {
    "host": "the host's name or address",
    "port": "its port",
    "user": "who logs in",
    "key": "the private key's file, relative to the machine's YAML; the agent's and the home folder's when empty",
    "key_password_env": "the variable that holds the key's password",
    "password_env": "the variable that holds the user's password",
    "known_hosts": "the file of known host keys, relative likewise; the user's and the host's own when empty",
    "jump": "hosts to go over, the first one first, each `[user@]host[:port]`",
}

BOARD: dict[str, dict[str, str]] = {
    "Board": {
        "console": "where its console is; none where only SSH leads to it",
        "power": "how it is switched; by hand unless said",
        "ssh": "a shell into the booted system",
        "secrets_env": "variables of the environment whose values are kept out of every file, besides all `…_env`",
    },
    "BoardConsole": {
        "serial": "a serial line: a device, or a URL of pySerial's such as `rfc2217://HOST:PORT`, `socket://HOST:PORT`",
        "baud": "bits per second of the serial line",
        "rtscts": "the serial line's hardware flow control",
        "ssh": "a console that a command on another machine gives",
        "command": "a program whose output and input are the console; it is given a terminal",
    },
    "SshConsole": {
        **_SSH,
        "command": "the command whose output and input are the console, in a terminal; the login shell when empty",
    },
    "SshTarget": _SSH,
    "BoardPower": {
        "command": "programs that switch it",
        "http": "a switch that takes HTTP requests",
        "snmp": "an outlet that is set by SNMP",
        "pdudaemon": "an outlet that a pdudaemon switches",
        "ipmi": "a management controller that speaks IPMI (ipmitool)",
        "redfish": "a management controller that speaks Redfish",
        "manual": "a person switches it, and is asked to",
        "pause": "seconds between off and on",
    },
    "PowerCommands": {
        "on": "the program that switches it on, and its arguments; no shell reads them",
        "off": "the program that switches it off",
        "cycle": "one that switches it off and on; the two with a pause unless given",
        "status": "one that prints a line with the word `on` or `off`",
    },
    "PowerHttp": {
        "on": "the address that switches it on",
        "off": "the address that switches it off",
        "method": "the request's method",
        "on_body": "what is sent to switch it on",
        "off_body": "what is sent to switch it off",
        "content_type": "of what is sent",
        "user": "a user, for basic authentication",
        "password_env": "the variable that holds the user's password",
        "token_env": "the variable that holds a bearer token",
    },
    "PowerSnmp": {
        "host": "the distribution unit",
        "port": "its UDP port",
        "oid": "the outlet's object, an integer",
        "on": "the value that switches it on",
        "off": "the value that switches it off",
        "version": "SNMP's",
        "community_env": "the variable that holds the community, which is `private` unless given",
        "user": "of version 3",
        "auth": "of version 3: how messages are authenticated",
        "auth_password_env": "the variable that holds the password for it; messages are not authenticated without",
        "privacy": "of version 3: how messages are encrypted",
        "privacy_password_env": "the variable that holds the password for it; messages are not encrypted without",
    },
    "PowerPdudaemon": {
        "url": "of its HTTP listener",
        "pdu": "the distribution unit's name in its configuration",
        "outlet": "the outlet's number",
    },
    "PowerIpmi": {
        "host": "the management controller",
        "port": "its UDP port",
        "interface": "`lanplus` is IPMI 2.0",
        "user": "a user who may switch the power",
        "password_env": "the variable that holds the user's password",
        "cipher": "the cipher suite; ipmitool's own choice unless given",
    },
    "PowerRedfish": {
        "url": "the management controller, as `https://HOST`",
        "system": "the system's id; needed where the controller has several",
        "user": "a user who may switch the power",
        "password_env": "the variable that holds the user's password",
        "ca": "a file of the certificates to trust, relative to the machine's YAML; the host's own when empty",
    },
}
