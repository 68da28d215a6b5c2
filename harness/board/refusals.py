"""What boot loaders say when they cannot do what was asked: each ends a dialogue at once, in the loader's own words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """The words, as a pattern of RE2's, of one boot loader."""

    loader: str
    pattern: str


# Of whole lines: each ends with the line, so that nothing is judged before all of it has come.
REFUSALS = tuple(
    Refusal(loader, rf"(?m)^[^\n]*(?:{words})[^\n]*\n" if anywhere else rf"(?m)^(?:{words})[^\n]*\n")
    for loader, anywhere, words in (
        ("U-Boot", False, r"Bad Linux (?:ARM64|RISCV) Image magic|Wrong (?:Ramdisk )?Image (?:Format|Type)"),
        ("U-Boot", False, r"ERROR: (?:can't get kernel image|Did not find a cmdline|image is not a fdt)"),
        (
            "U-Boot",
            False,
            r"Unknown command '|syntax error|## Error: \"|Ramdisk image is corrupt|Bad (?:Data|Header) CRC",
        ),
        (
            "U-Boot",
            False,
            r"\*\* (?:Unable to read file|File not found|Bad device|Invalid partition|No partition table)",
        ),
        ("U-Boot", False, r"TFTP (?:server died|error: )|(?:ARP )?Retry (?:count|time) exceeded|\*\*\* ERROR: `"),
        ("U-Boot", False, r"No (?:ethernet|network) (?:found|device)|Card did not respond|FDT and ATAGS support"),
        ("U-Boot", False, r"\"(?:Synchronous|Error)\" (?:Abort|handler)|SCRIPT FAILED|Failed to load '"),
        ("GRUB", False, r"error: |grub rescue>"),
        ("iPXE", False, r"Could not (?:start|boot|open|configure|select)|No more network devices|Nothing to boot"),
        ("iPXE", True, r"\(https?://ipxe\.org/[0-9a-f]{6,8}\)"),
        ("EDK2", False, r"BdsDxe: (?:failed to|No bootable option)|ASSERT(?:_EFI_ERROR)? ?[\[(]"),
        ("EDK2", False, r"'[^'\n]*' is not recognized as an internal or external command|Command Error Status: "),
        ("barebox", False, r"could not open |booting '[^\n]*' failed|(?:ERROR: )?Couldn't boot|ERROR: booting"),
        ("barebox", False, r"[^\s:]+: No such file or directory|barebox: cannot"),
    )
)
