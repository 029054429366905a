"""A source partition of a recording beside the rows that a sink of it kept: recorded tables, or the change log's last rows.

What can't be compared has a reason, a sentence for the operator: rows whose keys can't be matched prove nothing, and least
of all that a change never arrived.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from app.adapters.recording import RecordedTable
from app.decode.images import Image, Row
from app.evidence import change_log
from app.evidence.keys import KeyText, by_key, is_comparable, is_exact, row_key, shared_text
from app.evidence.postgres import atom_of_text
from app.evidence.states import State, due, states
from app.evidence.tables import StoreTerms, named
from app.model import ChangeKind, SinkTopic

BEFORE_ALL = -1
"""When rows of a table were told of: a recording's tables are taken before its topics (docs/contracts.md)."""


class Source:
    """One source partition as a sink sees it.

    Attributes:
        by_offset: its changes.
        known: the states that the changes of each key make, by the form of `shared_text`; keys that only the source tells
            apart are left out.
        table, sink_table: the newest names; no ``sink_table`` where each row's value names another one.
        key: atoms of the columns that find the newest row in the sink; empty where no change has them.
    """

    def __init__(self, where: SinkTopic, images: Sequence[Image], terms: StoreTerms) -> None:
        self.where = where
        self.terms = terms
        self.by_offset = {image.offset: image for image in images}
        images = [image for image in images if image.table not in terms.projection.tables] or images
        newest = next((image for image in reversed(images) if image.table), images[-1])
        self.table = newest.table
        self.sink_table = "" if terms.is_table_by_value(where.topic) else terms.table_of(newest)
        self.key: Row = next(filter(None, (row_key(image, terms) for image in reversed(images))), {})
        self.known: dict[KeyText, list[State]] = {}
        twice: set[KeyText] = set()
        for history in by_key(images, terms).values():
            columns = next(filter(None, (row_key(image, terms) for image in history)), None)
            key = shared_text(columns, terms, self.table)
            if key is None or (columns or {}).keys() != self.key.keys():
                continue
            if key in self.known:
                twice.add(key)
            self.known[key] = states(history, terms)
        for key in twice:
            del self.known[key]

    def due(self, key: KeyText, below: int) -> State | None:
        """The newest state of a key below a progress that the contract asks for."""
        place = due(self.known[key], below)
        return None if place is None else self.known[key][place]


class Rows(Protocol):
    """What is known of a sink's rows.

    Attributes:
        problem: why they can't be compared; empty where they can.
        is_exact: a row of a change's key is found by its text, or is not there.
    """

    problem: str
    is_exact: bool

    def keys(self) -> Mapping[KeyText, int]:
        """The keys of all rows, and when each was last told of, ms."""

    def row(self, key: KeyText) -> Row | None:
        """The sink's columns of a key by the sink's names; None where it has no such row."""

    def tells(self, due: State, key: KeyText) -> bool:
        """Whether the row of a key, or that there is none, shows whether a change arrived."""


class TableRows:
    """The rows of a recorded table by key."""

    def __init__(self, of: Source, table: RecordedTable | None) -> None:
        self.problem = ""
        self.is_exact = True
        self._rows: dict[KeyText, Row] = {}
        self._twice: set[KeyText] = set()
        if table is None:
            self.problem = (
                f"the store has no table {of.sink_table}"
                if of.sink_table
                else "its tables are named after a column: only a worker reads their rows"
            )
            return
        kept = {kept for kept, _ in table.columns}
        names = {
            column: named({name: name for name in kept}, of.terms.name_in_sink(of.table, column)) for column in of.key
        }
        lacking = sorted(column for column, name in names.items() if name is None)
        if lacking or not of.key:
            self.problem = (
                f"{of.sink_table} has no column for {', '.join(lacking)} of the key"
                if lacking
                else "no change has a key"
            )
            return
        for cells in table.rows:
            row = {name: atom_of_text(kind, text) for (name, kind), text in zip(table.columns, cells, strict=True)}
            self._take(of, {column: row[name] for column, name in names.items() if name is not None}, row)
            if self.problem:
                break

    def _take(self, of: Source, columns: Row, row: Row) -> None:
        apart = [name for name, atom in columns.items() if not is_comparable(of.key[name], atom)]
        key = shared_text(columns, of.terms, of.table)
        self.is_exact &= _is_exact(of, columns)
        if apart:
            self.problem = f"{', '.join(apart)} of the key is kept in a type that can't be matched with the source's"
        elif key is not None:
            if key in self._rows:
                self._twice.add(key)
            self._rows[key] = row

    def keys(self) -> Mapping[KeyText, int]:
        """See `Rows`."""
        return dict.fromkeys(self._rows, BEFORE_ALL)

    def row(self, key: KeyText) -> Row | None:
        """See `Rows`."""
        return self._rows.get(key)

    def tells(self, due: State, key: KeyText) -> bool:  # noqa: ARG002 - a table shows every change alike
        """Two rows of one key tell nothing."""
        return key not in self._twice


class LogRows:
    """The last rows of a change log, as far as it covers what the sink wrote."""

    def __init__(self, of: Source, log: Sequence[Image]) -> None:
        columns = tuple(of.key)
        self.problem = _log_problem(of, log, columns)
        self._replica = change_log.replica(log, of.terms, of.table, columns)
        self._coverage = change_log.coverage(of.known, log, of.terms, of.table, columns)
        told = [(change_log.source_key(image, of.terms, of.table, columns), image) for image in log]
        self._told = {key: image.timestamp for key, image in told if key is not None}
        self.is_exact = all(_is_exact(of, _logged_key(of, image)) for key, image in told if key is not None)

    def keys(self) -> Mapping[KeyText, int]:
        """See `Rows`."""
        return {key: at for key, at in self._told.items() if self._replica.row(key) is not None}

    def row(self, key: KeyText) -> Row | None:
        """See `Rows`."""
        return self._replica.row(key)

    def tells(self, due: State, key: KeyText) -> bool:
        """The log shows what was written for this change, if anything was; of truncates it need not tell."""
        is_covered = self._replica.has_heard_of(key) or due.offset > self._coverage.after
        return is_covered and due.offset < self._coverage.below and due.kind is not ChangeKind.TRUNCATE


def _is_exact(of: Source, columns: Row) -> bool:
    return all(is_exact(of.key[name], atom) for name, atom in columns.items())


def _logged_key(of: Source, image: Image) -> Row:
    """The columns of a log record's key by the source's names."""
    found = {column: named(image.key or {}, of.terms.name_in_sink(of.table, column)) for column in of.key}
    return {column: atom for column, atom in found.items() if atom is not None}


def _log_problem(of: Source, log: Sequence[Image], columns: Sequence[str]) -> str:
    if not log:
        return f"the change log has no records of {of.sink_table}"
    if len({image.partition for image in log}) > 1:
        return f"the change log of {of.sink_table} has several partitions: they have no common order"
    if any(image.kind is ChangeKind.UNREADABLE for image in log):
        return f"the change log of {of.sink_table} has records that can't be read"
    rows = [image for image in log if image.kind in (ChangeKind.UPSERT, ChangeKind.DELETE)]
    if not columns or any(change_log.source_key(image, of.terms, of.table, columns) is None for image in rows):
        return f"the change log of {of.sink_table} has not the source's key"
    return ""
