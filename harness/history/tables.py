"""The history's tables. What changes here needs a migration of its own; a test compares the two."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# SQLite counts rows by itself only where a key's type is INTEGER, which has 64 bits there
Id = BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    """What all tables have in common: text without a limit, 64-bit numbers."""

    type_annotation_map = {str: Text(), int: BigInteger()}  # noqa: RUF012 -- SQLAlchemy reads it from the class


class RunRow(Base):
    """One run of a matrix.

    ``at`` is its place in the order: ``when`` in seconds since 1970, but of a night never before a run that was there
    when it came. ``note`` and ``ack`` are a person's words: what to know of it, why its change is accepted.
    """

    __tablename__ = "run"
    __table_args__ = (Index("run_in_order", "at", "id"), Index("run_of_project", "project", "at", "id"))
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    uid: Mapped[str] = mapped_column(unique=True)
    at: Mapped[int]
    when: Mapped[str]
    harness: Mapped[str]
    plan: Mapped[str | None]
    commit: Mapped[str]
    subject: Mapped[str]
    changed: Mapped[bool]
    project: Mapped[str] = mapped_column(server_default=text("''"))
    note: Mapped[str] = mapped_column(server_default=text("''"))
    ack: Mapped[str] = mapped_column(server_default=text("''"))


class BootRow(Base):
    """One image on one machine in a run. ``spec`` is the digest of the image's YAML, ``inputs`` that of `InputSet`."""

    __tablename__ = "boot"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), index=True)
    image: Mapped[str]
    machine: Mapped[str]
    arch: Mapped[str]
    spec: Mapped[str]
    inputs: Mapped[str] = mapped_column(server_default=text("''"))


class InputSet(Base):
    """What a boot was made of: digests and versions by name as JSON, under its own digest; most nights share one."""

    __tablename__ = "input_set"
    digest: Mapped[str] = mapped_column(primary_key=True)
    facts: Mapped[str]


class SeriesRow(Base):
    """A figure of one image on one machine under one key; ``facts`` is the key as JSON, ``key`` its digest."""

    __tablename__ = "series"
    __table_args__ = (UniqueConstraint("image", "machine", "arch", "mode", "figure", "key", name="series_once"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    image: Mapped[str]
    machine: Mapped[str]
    arch: Mapped[str]
    mode: Mapped[str]
    figure: Mapped[str]
    key: Mapped[str]
    facts: Mapped[str]


class Value(Base):
    """A boot's value in a series. ``at`` is its run's: so the rows of a series lie in order, and its end is found."""

    __tablename__ = "value"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 -- SQLAlchemy reads it from the class
    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"), primary_key=True)
    at: Mapped[int] = mapped_column(primary_key=True)
    boot_id: Mapped[int] = mapped_column(ForeignKey("boot.id"), primary_key=True)
    value: Mapped[int]


class Baseline(Base):
    """A run that was accepted as what others are measured by; an empty image or machine stands for all."""

    __tablename__ = "baseline"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"))
    image: Mapped[str]
    machine: Mapped[str]
    reason: Mapped[str]
    who: Mapped[str]
    when: Mapped[str]


class Floor(Base):
    """How far an exact figure moves by mere perturbation, in µs, under one key; ``how`` says how that was measured."""

    __tablename__ = "floor"
    image: Mapped[str] = mapped_column(primary_key=True)
    machine: Mapped[str] = mapped_column(primary_key=True)
    figure: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    us: Mapped[int]
    how: Mapped[str]
    when: Mapped[str]


class VerdictRow(Base):
    """What the gate of a run has said of one image on one machine, against which run: answer, by what, in words.

    ``us`` is the difference that pairs of boots showed, between ``low`` and ``high``; null without any.
    """

    __tablename__ = "verdict"
    __table_args__ = (Index("verdict_of_cell", "image", "machine"),)
    run: Mapped[str] = mapped_column(primary_key=True)
    image: Mapped[str] = mapped_column(primary_key=True)
    machine: Mapped[str] = mapped_column(primary_key=True)
    when: Mapped[str]
    base: Mapped[str]
    answer: Mapped[str]
    by: Mapped[str]
    said: Mapped[str]
    us: Mapped[int | None]
    low: Mapped[int | None]
    high: Mapped[int | None]
    pairs: Mapped[int | None]


class OutcomeRow(Base):
    """What came of one image on one machine in a run: the digest of the image's bytes, the failed cases as JSON.

    ``at`` is the run's place in the order, as in `RunRow`.
    """

    __tablename__ = "outcome"
    __table_args__ = (Index("outcome_of_cell", "image", "machine", "at"),)
    run: Mapped[str] = mapped_column(primary_key=True)
    image: Mapped[str] = mapped_column(primary_key=True)
    machine: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[int] = mapped_column(server_default="0")
    when: Mapped[str]
    digest: Mapped[str]
    failed: Mapped[str]
