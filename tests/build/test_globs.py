"""Which paths a glob of a component means."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.build.globs import matcher


@pytest.mark.parametrize(
    ("globs", "yes", "no"),
    [
        (("usr/bin/*",), ("usr/bin/x", "usr/bin/d/y"), ("usr/sbin/x", "usr/bin")),
        (("/bin/x",), ("usr/bin/x",), ("usr/bin/xy", "bin/x")),
        (("usr/**/*.so",), ("usr/a.so", "usr/lib/x/a.so"), ("usr/lib/a.so.1",)),
        (("etc/rc?.d", "a[!b]c"), ("etc/rc3.d/S", "axc"), ("etc/rc10.d/S", "abc")),
        (("a.b+c",), ("a.b+c",), ("aXb+c", "a.bbc")),
        ((), (), ("x",)),
    ],
)
def test_globs(globs: Sequence[str], yes: Sequence[str], no: Sequence[str]) -> None:
    fits = matcher(*globs)
    assert all(map(fits, yes))
    assert not any(map(fits, no))
