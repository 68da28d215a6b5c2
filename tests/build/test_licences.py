"""Licences out of Debian's copyright files: the words of DEP-5 as SPDX expressions, what is unknown as its own text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.licenses import canonicalize_license_expression
from packaging.licenses._spdx import LICENSES

from harness.build import licences
from harness.build.licences import MAX_TEXT, Licences, read, referred

HEAD = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"


def said(*licence_fields: str) -> Licences:
    """Return what a machine-readable file with these License fields says."""
    files = "".join(f"\nFiles: {number}\nCopyright: x\nLicense: {one}\n" for number, one in enumerate(licence_fields))
    return read((HEAD + files).encode(), "src")


@pytest.mark.parametrize(
    ("synopsis", "expression"),
    [
        ("Expat", "MIT"),
        ("GPL-2", "GPL-2.0-only"),
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPL-2.0+", "GPL-2.0-or-later"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("GFDL-1.3+", "GFDL-1.3-or-later"),
        ("bsd-3-CLAUSE", "BSD-3-Clause"),
        ("zlib", "Zlib"),
        ("GPL-2+ or Artistic-2", "GPL-2.0-or-later OR Artistic-2.0"),
        ("GPL-2+ or ISC and MIT", "GPL-2.0-or-later OR ISC AND MIT"),
        ("GPL-2+ or ISC, and MIT", "(GPL-2.0-or-later OR ISC) AND MIT"),
        ("ISC and MIT, or Zlib", "ISC AND MIT OR Zlib"),
        ("Perl", "Artistic-1.0-Perl OR GPL-1.0-or-later"),
        ("Perl and ISC", "(Artistic-1.0-Perl OR GPL-1.0-or-later) AND ISC"),
        ("GPL-3+ with Autoconf exception", "GPL-3.0-or-later WITH Autoconf-exception-2.0"),
        ("GPL-2 with Linux-syscall-note", "GPL-2.0-only WITH Linux-syscall-note"),
        ("GPL-2+ with OpenSSL exception", "LicenseRef-src-GPL-2-with-OpenSSL-exception"),
        ("BSD-2-clause-NetBSD and MIT", "BSD-2-Clause AND MIT"),
        ("wxWindows", "LGPL-2.0-or-later WITH WxWindows-exception-3.1"),
        ("public-domain", "LicenseRef-src-public-domain"),
        ("LicenseRef-theirs", "LicenseRef-src-LicenseRef-theirs"),
        ("\x1b[31mred", "LicenseRef-src-31mred"),
        ("x" * 5000, f"LicenseRef-{('src-' + 'x' * 5000)[:100]}"),
    ],
)
def test_names_of_debian_are_those_of_spdx(synopsis: str, expression: str) -> None:
    assert said(synopsis).expression == expression
    assert canonicalize_license_expression(expression) == expression


def test_all_paragraphs_count_each_licence_once() -> None:
    found = said("ISC and Expat", "Expat", "GPL-2+ or ISC", "ISC")
    assert found.expression == "ISC AND MIT AND (GPL-2.0-or-later OR ISC)"
    assert found.texts == {}


def test_what_spdx_does_not_know_comes_with_its_text() -> None:
    found = said("mine\n My own words.\n .\n All of them.", "other", "ISC")
    assert found.expression == "LicenseRef-src-mine AND LicenseRef-src-other AND ISC"
    assert found.texts == {
        "LicenseRef-src-mine": "My own words.\n\nAll of them.",
        "LicenseRef-src-other": "other",
    }


def test_two_names_that_make_one_id_keep_both_texts() -> None:
    assert said("own+\n One.", "own\n Two.").texts == {"LicenseRef-src-own": "One.\n\nTwo."}


def test_the_text_may_stand_in_a_paragraph_of_its_own() -> None:
    text = f"{HEAD}\nFiles: *\nCopyright: x\nLicense: mine\n\nLicense: Mine\n The words.\n"
    assert read(text.encode(), "src").texts["LicenseRef-src-mine"] == "The words."


def test_free_text_is_one_licence_of_its_own() -> None:
    text = "Written by somebody.\nSee /usr/share/common-licenses/GPL-2, and /usr/share/common-licenses/LGPL-2.1.\n"
    found = read(text.encode(), "libc++1")
    assert found == Licences("LicenseRef-libc-1", {"LicenseRef-libc-1": text.strip()})
    assert referred(text) == ["GPL-2", "LGPL-2.1"]


@pytest.mark.parametrize("content", [b"", b" \n", b"x" * (MAX_TEXT + 1)])
def test_what_is_no_copyright_file_says_nothing(content: bytes) -> None:
    assert read(content, "src") == Licences("NOASSERTION")


@given(st.binary(max_size=300), st.sampled_from([b"", HEAD.encode() + b"\nFiles: *\nCopyright: x\nLicense: "]))
def test_whatever_a_file_holds_the_expression_is_valid(content: bytes, head: bytes) -> None:
    found = read(head + content, "src")
    if found.expression != licences.UNKNOWN:
        assert canonicalize_license_expression(found.expression) == found.expression
    assert all(ref in found.expression for ref in found.texts)


def test_ids_that_spdx_has_given_up_are_todays() -> None:
    for row in LICENSES.values():
        if row["deprecated"]:
            new = licences.canonical(row["id"])
            assert canonicalize_license_expression(new) == new
            known = {part for part in re.split(r"[() ]+|WITH.*", new) if part}
            assert row["id"] == "Net-SNMP" or not any(LICENSES[one.lower()]["deprecated"] for one in known)
    assert licences.canonical("(gpl-2.0+ or nunit) and gpl-2.0 WITH classpath-exception-2.0") == (
        "(GPL-2.0-or-later OR zlib-acknowledgement) AND GPL-2.0-only WITH Classpath-exception-2.0"
    )
    assert licences.canonical("eCos-2.0 WITH GCC-exception-2.0") == "eCos-2.0 WITH GCC-exception-2.0"
