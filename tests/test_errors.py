"""Errors say what, where and what to do, and survive the way home from a worker."""

from __future__ import annotations

import pickle

import pytest

from harness.errors import HarnessError, HostError, ImageError, MachineError, UserError
from harness.proc import CommandError

KINDS = (UserError, HostError, MachineError, ImageError)


def test_every_kind_has_its_own_exit_code_and_culprit() -> None:
    assert len({kind.exit_code for kind in KINDS}) == len({kind.whose for kind in KINDS}) == len(KINDS)


def test_what_is_quoted_is_no_longer_than_a_message() -> None:
    error = UserError(f"no {'x' * 9999}", hint="y" * 9999, details="z" * 9999)
    assert (len(error.message), len(error.hint), len(error.details)) == (303, 300, 9999)


def test_text_has_all_parts_in_order() -> None:
    assert str(UserError("what", details="where\n", hint="this")) == "what\nwhere\nwhat to do: this"
    assert str(UserError("what")) == "what"


@pytest.mark.parametrize("kind", KINDS)
def test_pickling_keeps_everything(kind: type[HarnessError]) -> None:
    error = kind("what", hint="this", details="where")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.message, again.hint, again.details) == (kind, "what", "this", "where")
    assert str(again) == str(error)


def test_pickling_keeps_what_a_kind_adds() -> None:
    again = pickle.loads(pickle.dumps(CommandError(["x", "y z"], -9, "words")))
    assert isinstance(again, CommandError)
    assert (again.code, again.stderr) == (-9, "words")
    assert "x 'y z'" in again.details
