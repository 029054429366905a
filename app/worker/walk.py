"""A walk down a change log: of each key the newest change, once, from the log's end to its beginning.

Keys are told apart by their columns' texts, not by their bytes: a key that another converter or schema has written before is the
same key. Called from threads, one call at a time.

What has changed in the source's table since is left out: a column that the table's newest change lacks, or holds in another
class, may have been dropped or altered by a DDL of which no change tells. A key of other columns than the newest is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from xxhash import xxh64_intdigest

from app.decode import atoms
from app.decode.atoms import Tag
from app.decode.images import Image, ImageDecoder
from app.evidence.keys import is_shown_by_rows, key_text
from app.evidence.tables import StoreTerms
from app.model import ChangeKind, LeftOut, RawBatch
from app.worker.seen import Seen
from cdc_receipts.atoms import NULL

CARRIED = 8
"""How many earlier changes of a key are kept for the values that a change leaves out."""
SAMPLE = 256
"""Newest keys from which is learned how keys are placed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """The newest change of a key.

    Attributes:
        images: it, last, and before it some earlier ones where it leaves values out.
        key: the record's, as it is; identity: of the key, 64 bits.
    """

    images: tuple[Image, ...]
    key: bytes
    identity: int

    @property
    def image(self) -> Image:
        """The newest change."""
        return self.images[-1]


class Walk:
    """Where a walk stands: the keys of everything at ``[low, high)`` were seen.

    Args:
        top: where it begins, downwards and upwards.
        size: how many keys there may be; seed: see `Seen`.
        watched: by identity, cells that must be met again, be their key taken for seen.

    Attributes:
        floor: what lies below it was truncated.
        hidden: a change that may be of any key; nothing wrong can be said of what lies below it.
        is_cut: a truncate, or such a change, came in above: what is below has to be looked at with it.
        newest: keys of the newest records; newer: changes of the ``asked`` identities that came in above.
        overtaken: of the watched cells those whose key has a newer change.
    """

    def __init__(
        self, top: int, terms: StoreTerms, decoder: ImageDecoder, size: int, seed: int, watched: Mapping[int, int]
    ) -> None:
        self.low = self.high = top
        self.floor = 0
        self.hidden: Image | None = None
        self.is_cut = False
        self.newest: list[bytes] = []
        self.asked: frozenset[int] = frozenset()
        self.newer: list[Image] = []
        self.overtaken: list[int] = []
        self._terms = terms
        self._decoder = decoder
        self._seen = Seen(size, seed)
        self._watched = dict(watched)
        self._columns: dict[str, dict[str, Tag | None]] = {}
        self._keys: dict[str, frozenset[str]] = {}

    def down(self, raw: RawBatch, start: int) -> list[Candidate]:
        """The next stretch below: ``[start, low)``; the newest changes of keys that were not seen, newest first."""
        found: dict[int, tuple[bytes, list[Image]]] = {}
        offsets = raw.offsets.tolist()
        for index in range(len(offsets) - 1, -1, -1):
            key = raw.key(index)
            if raw.value(index) is None:
                continue  # a tombstone says what the delete before it said
            if key is None:
                if self._is_end(raw, index):
                    self.floor = offsets[index] + 1
                    break
                continue
            if len(self.newest) < SAMPLE:
                self.newest.append(key)
            identity = self.identity(key)
            if identity in found:
                self._carry(found[identity][1], raw, index)
            elif self._is_new(identity, raw, index) and (image := self._shown(raw, index)) is not None:
                self._seen.add(identity)
                found[identity] = (key, [image])
        self.low = start
        return [
            Candidate(images=tuple(reversed(images)), key=key, identity=identity)
            for identity, (key, images) in found.items()
            if self._is_comparable(images[0])
        ]

    def up(self, raw: RawBatch, end: int) -> None:
        """The next stretch above: ``[high, end)``."""
        for index in range(len(raw)):
            key = raw.key(index)
            if raw.value(index) is None:
                continue
            if key is None:
                self.is_cut |= self._is_end(raw, index)
                continue
            identity = self.identity(key)
            if self._is_new(identity, raw, index):
                self._seen.add(identity)
            if identity in self.asked or self._decoder.key(key) is None:
                image = self._decoder.image(raw, index)
                if image is not None and identity in self.asked:
                    self.newer.append(image)
                if image is not None and image.hides == "key":
                    self._hide(image)
        self.is_cut |= self.hidden is not None and self.hidden.offset >= self.high
        self.high = end

    def identity(self, key: bytes) -> int:
        """64 bits of a key's columns and their texts; of its bytes where it is no record of a class that can be a key."""
        text = key_text(self._decoder.key(key))
        return xxh64_intdigest(key if text is None else repr(text).encode())

    def _is_new(self, identity: int, raw: RawBatch, index: int) -> bool:
        """Whether the newest change of a key is met; a watched one is told from those that the filter mistakes.

        A newer change that shows in no row leaves a watched one as it is.
        """
        watched, offset = self._watched.get(identity), int(raw.offsets[index])
        if watched is not None and offset >= watched:
            if offset > watched and self._shown(raw, index) is None:
                return False
            del self._watched[identity]
            if offset > watched:
                self.overtaken.append(watched)
            return True
        return watched is None and not self._seen.has(identity)

    def _is_end(self, raw: RawBatch, index: int) -> bool:
        """Whether a change without a key is a truncate that empties the sink's table."""
        image = self._decoder.image(raw, index)
        if image is not None and image.hides == "truncate" and self._terms.truncates:
            self._hide(image)
        is_truncate = image is not None and image.kind is ChangeKind.TRUNCATE and self._terms.truncates
        return is_truncate and image is not None and image.table not in self._terms.projection.tables

    def _hide(self, image: Image) -> None:
        if self.hidden is None or self.hidden.offset < image.offset:
            self.hidden = image

    def _shown(self, raw: RawBatch, index: int) -> Image | None:
        """A change that does something to its row, as the table is now; None for any other."""
        image = self._decoder.image(raw, index)
        if image is None or not is_shown_by_rows(image, self._terms):
            return None
        if image.hides == "key":
            self._hide(image)
        if self._terms.left_out(image) is not LeftOut.NO:  # by the values that it has, not those that the table has now
            return replace(image, kind=ChangeKind.UNREADABLE, row=None, unavailable=frozenset())
        return self._as_now(image)

    def _carry(self, images: list[Image], raw: RawBatch, index: int) -> None:
        """An earlier change of a key, where it may hold what later ones leave out."""
        oldest = images[-1]
        is_soft = oldest.kind is ChangeKind.DELETE and self._terms.deletes == "soft"
        if len(images) <= CARRIED and (oldest.unavailable or is_soft):
            image = self._shown(raw, index)
            if image is not None:
                images.append(image)

    def _as_now(self, image: Image) -> Image:
        if image.key is not None:
            self._keys.setdefault(image.table, frozenset(image.key))
        if image.row is None:
            return image
        now = self._columns.setdefault(image.table, dict.fromkeys([*image.row, *image.unavailable]))
        changed = set()
        for name, atom in image.row.items():
            if name not in now:
                changed.add(name)
            elif atom != NULL:
                tag = atoms.tag(atom)
                if now[name] is None:
                    now[name] = tag
                elif now[name] is not tag:
                    changed.add(name)
        if not changed:
            return image
        row = {name: atom for name, atom in image.row.items() if name not in changed}
        return replace(image, row=row, unavailable=image.unavailable | changed)

    def _is_comparable(self, image: Image) -> bool:
        if image.kind is ChangeKind.UNREADABLE or image.key is None or key_text(image.key) is None:
            return False
        return frozenset(image.key) == self._keys[image.table]
