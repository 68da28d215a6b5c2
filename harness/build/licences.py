"""What a Debian package's copyright file says of its licences: one SPDX expression, and the texts it refers to.

Debian's machine-readable format (DEP-5, copyright-format/1.0) names licences in words of its own; those that the SPDX
licence list has get its ids, all others a LicenseRef with the text that Debian gives. A file in free text is one
LicenseRef as a whole: nobody guesses here what a lawyer may have to read.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

MAX_TEXT = 1 << 20  # bytes of a copyright file
MAX_NAME = 100  # characters of one licence's name
UNKNOWN = "NOASSERTION"  # SPDX's word for what nobody has said

# Debian's short names for what SPDX calls otherwise: from copyright-format/1.0, and from what packages write.
_NAMES = {
    "expat": "MIT",
    "mit/x11": "MIT",
    "mit-x11": "MIT",
    "gpl": "GPL-1.0-or-later",
    "lgpl": "LGPL-2.0-or-later",
    "apache-2": "Apache-2.0",
    "artistic": "Artistic-1.0-Perl",
    "artistic-2": "Artistic-2.0",
    "cc0": "CC0-1.0",
    "perl": "Artistic-1.0-Perl OR GPL-1.0-or-later",
    "psf-2": "PSF-2.0",
    "python": "Python-2.0",
    "zpl-2": "ZPL-2.0",
    "mpl-2": "MPL-2.0",
    "bsd-2": "BSD-2-Clause",
    "bsd-3": "BSD-3-Clause",
    "bsd-4": "BSD-4-Clause",
}
_EXCEPTIONS = {
    "autoconf": "Autoconf-exception-2.0",
    "bison": "Bison-exception-2.2",
    "classpath": "Classpath-exception-2.0",
    "font": "Font-exception-2.0",
    "gcc": "GCC-exception-3.1",
    "gcc-runtime-library": "GCC-exception-3.1",
    "libtool": "Libtool-exception",
    "linux-syscall-note": "Linux-syscall-note",
    "llvm": "LLVM-exception",
}
# What SPDX's list calls otherwise today: checkers take the old ids for the new ones, or for none.
_RENEWED = {
    "BSD-2-Clause-FreeBSD": "BSD-2-Clause-Views",
    "BSD-2-Clause-NetBSD": "BSD-2-Clause",
    "Nunit": "zlib-acknowledgement",
    "StandardML-NJ": "SMLNJ",
    "bzip2-1.0.5": "bzip2-1.0.6",
    "eCos-2.0": "GPL-2.0-or-later WITH eCos-exception-2.0",
    "wxWindows": "LGPL-2.0-or-later WITH WxWindows-exception-3.1",
    "GPL-2.0-with-GCC-exception": "GPL-2.0-only WITH GCC-exception-2.0",
    "GPL-2.0-with-autoconf-exception": "GPL-2.0-only WITH Autoconf-exception-2.0",
    "GPL-2.0-with-bison-exception": "GPL-2.0-only WITH Bison-exception-2.2",
    "GPL-2.0-with-classpath-exception": "GPL-2.0-only WITH Classpath-exception-2.0",
    "GPL-2.0-with-font-exception": "GPL-2.0-only WITH Font-exception-2.0",
    "GPL-3.0-with-GCC-exception": "GPL-3.0-only WITH GCC-exception-3.1",
    "GPL-3.0-with-autoconf-exception": "GPL-3.0-only WITH Autoconf-exception-3.0",
}
_OLD_GNU = re.compile(r"((?:A?GPL|LGPL|GFDL)-[0-9.]+?)(\+?)")
_GNU = re.compile(r"(A?GPL|LGPL|GFDL)-?v?(\d)(?:\.(\d))?(?:\.0)?(\+|-or-later|-only)?", re.I)
_REFERRED = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9.-]*[A-Za-z0-9])")


@dataclass(frozen=True)
class Licences:
    """An SPDX licence expression, and the text of each LicenseRef in it."""

    expression: str
    texts: Mapping[str, str] = field(default_factory=dict)


def read(content: bytes, source: str) -> Licences:
    """Return what the copyright file of a package made from `source` says.

    NOASSERTION when the file is empty or far too large to be one.
    """
    text = content.decode("utf-8", errors="replace").strip()
    if not text or len(content) > MAX_TEXT:
        return Licences(UNKNOWN)
    named = list(_paragraphs(text))
    if not any(synopsis for synopsis, _ in named):
        ref = _ref(source)
        return Licences(ref, {ref: text})
    spoken = _Spoken(source, {synopsis.lower(): body for synopsis, body in named if body})
    made = [spoken.expression(synopsis) for synopsis, _ in named if synopsis]
    terms = dict.fromkeys(term for one in made for term in ([one] if " OR " in one else one.split(" AND ")))
    return Licences(" AND ".join(map(_held, terms)) if len(terms) > 1 else next(iter(terms)), spoken.texts)


def referred(text: str) -> list[str]:
    """Return which of Debian's common licences a text refers to by their path."""
    return sorted(set(_REFERRED.findall(text)))


def _paragraphs(text: str) -> Iterator[tuple[str, str]]:
    """Yield the first line and the text of every License field; nothing when the text is not machine-readable."""
    from debian import copyright as dep5

    logging.getLogger(dep5.__name__).setLevel(logging.CRITICAL)  # small faults of the form are Debian's matter
    try:
        parsed = dep5.Copyright(text.splitlines(), strict=False)
        paragraphs = list(parsed.all_paragraphs())
    except (ValueError, dep5.Error):
        return
    for paragraph in paragraphs:
        licence: dep5.License | None = paragraph.license  # type: ignore[assignment]  # its stubs name the descriptor
        if licence is not None:
            yield " ".join(licence.synopsis.split()), licence.text.strip()


class _Spoken:
    """Turns synopses of one file into SPDX, and gathers the texts of what SPDX has no id for."""

    def __init__(self, source: str, bodies: Mapping[str, str]) -> None:
        self.source, self.bodies = source, bodies
        self.texts: dict[str, str] = {}

    def expression(self, synopsis: str) -> str:
        """Return a synopsis as SPDX. DEP-5: `and` binds tighter than `or`, a comma before them least of all."""
        parts = re.split(r"\s*,\s*(?:(and|or)\s+)?", synopsis, flags=re.I)
        made = self._either(parts[0])
        for word, part in zip(parts[1::2], parts[2::2], strict=True):
            made = f"{_held(made)} {(word or 'and').upper()} {_held(self._either(part))}" if part else made
        return made

    def _either(self, text: str) -> str:
        return " OR ".join(self._both(part) for part in re.split(r"\s+or\s+", text, flags=re.I))

    def _both(self, text: str) -> str:
        both = [self._one(part) for part in re.split(r"\s+and\s+", text, flags=re.I)]
        return both[0] if len(both) == 1 else " AND ".join(map(_held, both))

    def _one(self, name: str) -> str:
        licence, *exception = re.split(r"\s+with\s+", name, maxsplit=1, flags=re.I)
        known = _known(licence)
        if known and exception:
            words = re.sub(r"[\s-]+exception$", "", exception[0], flags=re.I).lower()
            known = _valid(f"{known} WITH {_EXCEPTIONS.get(words.replace(' ', '-'), exception[0])}")
        return known or self._by_text(name)

    def _by_text(self, name: str) -> str:
        ref = _ref(self.source, name)
        body = self.bodies.get(name.lower()) or name
        before = self.texts.get(ref, body)
        self.texts[ref] = before if body in before else f"{before}\n\n{body}"  # two names may make one id
        return ref


def _known(name: str) -> str:
    """Return the SPDX id (or expression) that a short name of Debian's stands for, or an empty text."""
    gnu = _GNU.fullmatch(name)
    if gnu:
        kind, major, minor, later = gnu.groups()
        ending = "or-later" if later in ("+", "-or-later") else "only"
        return _valid(f"{kind.upper()}-{major}.{minor or 0}-{ending}")
    return "" if name.lower().startswith("licenseref") else _valid(_NAMES.get(name.lower(), name))


def canonical(expression: str) -> str:
    """Return an expression as SPDX spells it, by today's ids. Raises InvalidLicenseExpression."""
    words = str(canonicalize_license_expression(expression)).split(" ")
    for at, word in enumerate(words):
        name = word.strip("()")
        old = _OLD_GNU.fullmatch(name)
        renewed = f"{old[1]}-{'or-later' if old[2] else 'only'}" if old else _RENEWED.get(name, name)
        # an exception to what has one already is nobody's licence: it stays as it is
        if " " not in renewed or words[at + 1 : at + 2] != ["WITH"]:
            words[at] = word.replace(name, renewed)
    return str(canonicalize_license_expression(" ".join(words)))


def _valid(expression: str) -> str:
    if len(expression) > MAX_NAME:
        return ""
    try:
        return canonical(expression)
    except InvalidLicenseExpression:
        return ""


def _held(expression: str) -> str:
    return f"({expression})" if " OR " in expression else expression


def _ref(*words: str) -> str:
    """Return a LicenseRef; SPDX allows it letters, digits, `.` and `-`."""
    return "LicenseRef-" + re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(words))[:MAX_NAME].strip("-")
