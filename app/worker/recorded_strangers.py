"""Rows that a recording holds of a sink under keys that no change tells of: somebody else put them there.

They have no coordinates and convict no change: they are counted and named, by the words of a worker that reads a change log
(`app.worker.log_rest`): ``foreign`` where every change that there ever was is held, else ``unexplained``: a change that is not
held may have been theirs. Nothing is said where a change may have written a row under another key than it tells, or where a
sink may keep keys in another form than the source: then a row of a change would look like somebody else's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from app.decode.images import Image
from app.evidence.keys import KeyText, row_key, shared_text
from app.evidence.tables import StoreTerms
from app.model import ChangeKind
from app.worker.recorded_rows import Rows, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Strangers:
    """The rows of one table; keys by the source's column names, sorted."""

    sink: str
    topic: str
    table: str
    word: Literal["foreign", "unexplained"]
    keys: list[KeyText]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A change topic as one sink sees it, beside the rows of the table that it fills.

    Attributes:
        stores: the file with the sink's tables, and the topics of its change log.
        sources, rows: by source partition that has changes, each beside the rows of its table.
        is_whole: every change that there ever was is held, and can be told of its key.
        is_passed: the sink has passed changes that the recording does not hold.
    """

    stores: frozenset[str]
    sources: Sequence[Source]
    rows: Sequence[Rows]
    is_whole: bool
    is_passed: bool

    def images(self) -> Iterator[Image]:
        """The changes of every partition."""
        return (image for of in self.sources for image in of.by_offset.values())

    def tables(self) -> set[str]:
        """The tables of the sink that its changes stand in, without schema and letter case: some stores name no more."""
        terms = self.sources[0].terms
        named = (terms.table_of(image) for image in self.images())
        return {name.rpartition(".")[2].casefold() for name in named} - {""}


def strangers(filled: Sequence[Filled]) -> Iterator[Strangers]:
    """All that is known of such rows, of all sinks: of a table that two sinks or topics fill it is nothing."""
    tables = [one.tables() for one in filled]
    for place, one in enumerate(filled):
        is_shared = any(
            other is not one and other.stores & one.stores and tables[at] & tables[place]
            for at, other in enumerate(filled)
        )
        if not is_shared and not one.is_passed:
            yield from _of(one)


def _of(filled: Filled) -> Iterator[Strangers]:
    with_keys = [(of, rows) for of, rows in zip(filled.sources, filled.rows, strict=True) if of.key]
    is_known = all(rows.is_exact and not rows.problem for _, rows in with_keys)
    if not is_known or len({of.sink_table for of, _ in with_keys}) != 1:
        return
    of, rows = with_keys[0]
    told, standing = _told(filled, of), rows.keys()
    if not told & standing.keys():
        return  # keys of the two sides were never seen to agree
    alike = set(map(_folded, told))
    found = sorted(key for key in standing if _folded(key) not in alike)
    newest = max(image.timestamp for image in filled.images())
    foreign = [key for key in found if filled.is_whole and standing[key] <= newest]
    table, where = of.sink_table, of.where
    if foreign:
        yield Strangers(sink=where.sink, topic=where.topic, table=table, word="foreign", keys=foreign)
    rest = sorted(set(found).difference(foreign))
    if rest:
        yield Strangers(sink=where.sink, topic=where.topic, table=table, word="unexplained", keys=rest)


def _told(filled: Filled, of: Source) -> set[KeyText]:
    """The keys that some change tells of, whatever the contract takes of them; none where they can't all be told."""
    terms = of.terms
    if any(terms.allowed(table, column) for table in {image.table for image in filled.images()} for column in of.key):
        return set()
    found: set[KeyText] = set()
    for image in filled.images():
        columns = row_key(image, terms)
        if columns is not None and columns.keys() == of.key.keys():
            text = shared_text(columns, terms, image.table)
            found |= set() if text is None else {text}
        elif _writes(image, terms):
            return set()
    return found


def _writes(image: Image, terms: StoreTerms) -> bool:
    """Whether a change leaves a row of the sink behind it; of one that can't be read, `Filled.is_whole` tells."""
    is_kept = image.kind is ChangeKind.UPSERT or (image.kind is ChangeKind.DELETE and terms.deletes == "soft")
    return is_kept and image.table not in terms.projection.tables


def _folded(key: KeyText) -> KeyText:
    """A key without what stores pad or fold of their own: a key that differs by no more may be the same."""
    return tuple((column, text.strip().casefold()) for column, text in key)
