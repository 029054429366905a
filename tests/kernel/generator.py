"""Random envelopes: schemas of random columns in every version's order of fields, and rows of them, quickly and by a seed.

Values are drawn where classes have their edges: what a class can't read, numbers at the ends of their ranges, the unavailable
placeholder in all its forms, keys twice, nested containers.
"""

from __future__ import annotations

import io
import json
import random
import struct
import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from fastavro import parse_schema, schemaless_writer

from app.decode.schemas import RecordedSchemas
from app.model import Projection, RawBatch, RawRecord
from cdc_receipts.atoms import CONNECT, DEBEZIUM
from cdc_receipts.fingerprint import UNAVAILABLE_VALUE
from cdc_receipts.schemas import loaded
from tests.unit.decode.envelopes import ORDERS, TIMES

Chance = random.Random
Draw = Callable[[Chance], Any]

PLACEHOLDER_UUID = "b68a35a7-17ad-35b3-af2a-ae46edb4545a"
INT64_ENDS = (0, 1, -1, 999, -999, 1000, -1000, -1001, 2**31, 2**63 - 1, -(2**63), 10**9, -(10**9) - 1)
CHARACTERS = 'ab01 "\\/{}[]:,.-+eE\n\t\x00\x1f\x7fäß€😀\ud7ff\ue000'
CONNECTORS = {
    "postgresql": (("txId", ["null", "long"]), ("lsn", ["null", "long"])),
    "mysql": (("file", "string"), ("pos", "long"), ("row", "int"), ("gtid", ["null", "string"])),
    "sqlserver": (("commit_lsn", ["null", "string"]), ("change_lsn", ["null", "string"]), ("event_serial_no", ["null", "long"])),
    "oracle": (("commit_scn", ["null", "string"]), ("txId", ["null", "string"]), ("scn", ["null", "string"]),
               ("rs_id", ["null", "string"]), ("ssn", ["null", "long"]), ("txSeq", ["null", "int"])),
    "mongodb": (("ord", "int"), ("lsid", ["null", "string"]), ("txnNumber", ["null", "long"]), ("collection", "string")),
    "other": (("lsn", "long"),),
}  # fmt: skip


class Type(NamedTuple):
    """An Avro type and what draws its values."""

    avro: Any
    draw: Draw


def named(base: str, name: str | None = None, **rest: Any) -> Any:
    return {"type": base, **({} if name is None else {"connect.name": name}), **rest}


def number(chance: Chance) -> int:
    if chance.random() < 0.3:
        return chance.choice(INT64_ENDS)
    return chance.getrandbits(64) - 2**63 >> chance.randrange(64)


def small(chance: Chance) -> int:
    """An int, as unions with null of them ask for."""
    return (number(chance) + 2**31) % 2**32 - 2**31


def text(chance: Chance) -> str:
    if chance.random() < 0.1:
        return UNAVAILABLE_VALUE
    return "".join(chance.choices(CHARACTERS, k=chance.choice((0, 1, 2, 5, 9, 40))))


def data(chance: Chance) -> bytes:
    if chance.random() < 0.1:
        return UNAVAILABLE_VALUE.encode()
    return chance.choice((b"", b"\0", b"\xff", b"\0\0\1\0", chance.randbytes(chance.choice((1, 7, 8, 9, 16, 17, 33)))))


def decimal(chance: Chance) -> bytes:
    if chance.random() < 0.2:
        return data(chance)
    whole = number(chance) * 10 ** chance.randrange(0, 25)
    return whole.to_bytes(whole.bit_length() // 8 + 1 + chance.randrange(2), "big", signed=True)


def floating(chance: Chance) -> float:
    return chance.choice((0.0, -0.0, float("nan"), float("inf"), -1.5, chance.uniform(-1e9, 1e9), 5e-324))


def mangled(chance: Chance, whole: str) -> str:
    """A text, or one that is a character away from it."""
    if chance.random() < 0.97 or not whole:
        return whole
    at = chance.randrange(len(whole))
    return whole[:at] + chance.choice(("", "0", "-", "T", "é", " ", whole[at] * 2)) + whole[at + 1 :]


def mostly(chance: Chance, usual: Sequence[Any], odd: Sequence[Any]) -> Any:
    """One of the usual values, now and then an odd one."""
    return chance.choice(usual if chance.random() < 0.98 else odd)


def iso_date(chance: Chance) -> str:
    year = mostly(chance, (0, 1, 1900, 1970, 2000, 2023, 2024, 9999, 10000, 123456789), (1234567890, 10**30))
    month, day = mostly(chance, range(1, 13), (0, 13)), mostly(chance, range(1, 29), (0, 29, 30, 31, 32))
    zone = mostly(chance, ("", "", "Z", "+23:59"), ("-24:00", "+0100", "z"))
    return mangled(chance, f"{chance.choice(('', '', '+', '-'))}{year:04}-{month:02}-{day:02}{zone}")


def iso_time(chance: Chance) -> str:
    seconds = mostly(chance, ("", ":59", ":00.1", ":07.123456789"), (":60", ":07.1234567890", ":07.", ":7"))
    clock = f"{mostly(chance, range(24), (24,)):02}:{mostly(chance, range(60), (60,)):02}{seconds}"
    return mangled(chance, clock + mostly(chance, ("", "", "Z", "+01:30"), ("-00:60", "+1:00")))


def iso_stamp(chance: Chance) -> str:
    day = f"{chance.choice(('', '-'))}{chance.choice((0, 4, 1969, 2024, 99999))!s:0>4}-{chance.randrange(1, 13):02}-28"
    clock = f"{chance.randrange(24):02}:{chance.randrange(60):02}{chance.choice(('', ':01', ':02.5', ':59.999999999'))}"
    return mangled(chance, f"{day}T{clock}{mostly(chance, ('Z', '-11:30', '+14:00'), ('', '+24:00'))}")


def interval(chance: Chance) -> str:
    def some(unit: str) -> str:
        whole = mostly(chance, (0, 1, 12, 999_999), (12_345_678, 178_956_970, 2_147_483_647, 10**12))
        return chance.choice(("", "", f"{whole}{unit}", f"-{whole}{unit}"))

    second = mostly(chance, ("", "5S", "-0.5S", "6.123456789S", "99999999.9S"), ("1.S", "100000000S", ".5S"))
    clock = some("H") + some("M") + second
    return mangled(chance, "P" + some("Y") + some("M") + some("D") + ("T" + clock if clock else ""))


def json_value(chance: Chance, depth: int = 0) -> str:
    space = chance.choice(("", "", " ", "\n\t"))
    kind = chance.randrange(10 if depth < 4 else 7)
    if kind < 3:
        found = mostly(chance, ("0", "-0", "1", "150", "-1.50", "0.00", "1e5", "1E+05", "12e-3", "-0e7", str(number(chance)),
                                f"{chance.uniform(-9, 9):.6f}", "1" * 40 + "000", "0.0010", "10.0e999999999"),
                       ("1e9999999999", "01", "1.", ".5", "-", "+1"))  # fmt: skip
    elif kind < 6:
        found = json.dumps(text(chance), ensure_ascii=chance.random() < 0.5)
        found = found.replace("/", "\\/") if chance.random() < 0.2 else found
    elif kind == 6:
        found = mostly(
            chance,
            ("true", "false", "null", '"\\ud83d\\ude00"', '"\\u00e4\\b"'),
            ("NaN", "tru", '"\\ud800"', '"\\x"', '"'),
        )
    elif kind == 7:
        found = "[" + ",".join(json_value(chance, depth + 1) for _ in range(chance.randrange(4))) + "]"
    else:
        keys = [
            json.dumps(key)
            for key in chance.sample(("a", "b", "", "aa", "ä", "€", "😀", "B", "a\ud7ff"), chance.randrange(6))
        ]
        keys += ['"a"', '"\\""'] if chance.random() < 0.02 else []
        found = "{" + ",".join(f"{space}{key}:{json_value(chance, depth + 1)}" for key in keys) + "}"
    return space + found + space


def json_text(chance: Chance) -> str:
    if chance.random() < 0.02:
        return "[" * 40 + "]" * 40
    return mangled(chance, json_value(chance))


SCALARS: tuple[Type, ...] = (
    Type("boolean", lambda chance: chance.random() < 0.5),
    Type("int", small), Type("long", number), Type(named("int", DEBEZIUM + "time.Year"), small),
    Type("float", lambda chance: struct.unpack("<f", struct.pack("<f", floating(chance)))[0]), Type("double", floating),
    Type("string", text), Type("bytes", data), Type(named("string", DEBEZIUM + "data.Enum"), text),
    *(Type(named("long", DEBEZIUM + "time." + name), number) for name in (
        "Timestamp", "MicroTimestamp", "NanoTimestamp", "Date", "Time", "MicroTime", "NanoTime", "MicroDuration", "NanoDuration")),
    *(Type(named("int", CONNECT + name), small) for name in ("Timestamp", "Date", "Time")),
    Type(named("string", DEBEZIUM + "time.ZonedTimestamp"), iso_stamp),
    Type(named("string", DEBEZIUM + "time.IsoTimestamp"), iso_stamp),
    Type(named("string", DEBEZIUM + "time.IsoDate"), iso_date), Type(named("string", DEBEZIUM + "time.IsoTime"), iso_time),
    Type(named("string", DEBEZIUM + "time.Interval"), interval), Type(named("string", DEBEZIUM + "data.Json"), json_text),
    Type(named("string", DEBEZIUM + "data.Uuid"), lambda chance: mangled(chance, str(uuid.UUID(int=chance.getrandbits(128))))),
    Type(named("bytes", DEBEZIUM + "data.Bits"), data),
    *(Type(named("bytes", CONNECT + "Decimal", **{"connect.parameters": {"scale": str(scale)}}), decimal) for scale in (-3, 0, 2, 38)),
    Type(named("bytes", CONNECT + "Decimal", scale=5, logicalType="decimal", precision=4), decimal),
    Type("null", lambda _: None),
)  # fmt: skip


class Types:
    """Draws types; records, enums and fixed need names of their own within a schema."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._names = 0

    def _name(self) -> str:
        self._names += 1
        return f"T{self._names}"

    def draw(self, depth: int = 0) -> Type:
        chance = self._chance
        kind = chance.random()
        if depth > 2 or kind < 0.7:
            found = chance.choice(SCALARS)
        else:
            make = chance.choice(
                (self.array, self.map, self.record, self.variable, self.enum, self.fixed, self.several)
            )
            found = make(depth + 1)
        if chance.random() < 0.5 and found.avro != "null" and not isinstance(found.avro, list):
            return self.nullable(found)
        return found

    def nullable(self, inner: Type) -> Type:
        branches = ["null", inner.avro] if self._chance.random() < 0.8 else [inner.avro, "null"]
        return Type(branches, lambda chance: None if chance.random() < 0.3 else inner.draw(chance))

    def several(self, _: int) -> Type:
        """A union of two types, as no converter writes it."""
        return Type(["null", "string", "long"], lambda chance: mostly(chance, (None, text(chance)), (number(chance),)))

    def array(self, depth: int) -> Type:
        item = self.draw(depth)
        if item.avro == "null":
            item = SCALARS[1]
        forms: list[Any] = {
            "string": [[UNAVAILABLE_VALUE], [PLACEHOLDER_UUID], [UNAVAILABLE_VALUE] * 2],
            "bytes": [[UNAVAILABLE_VALUE.encode()]],
            "int": [list(UNAVAILABLE_VALUE.encode())], "long": [list(UNAVAILABLE_VALUE.encode())],
            "double": [[float(byte) for byte in UNAVAILABLE_VALUE.encode()]],
            "float": [[float(byte) for byte in UNAVAILABLE_VALUE.encode()]],
        }.get(_base(item.avro), [])  # fmt: skip

        def draw(chance: Chance) -> list[Any]:
            if forms and chance.random() < 0.3:
                return chance.choice(forms)
            return [item.draw(chance) for _ in range(chance.choice((0, 1, 2, 5)))]

        return Type({"type": "array", "items": item.avro}, draw)

    def map(self, depth: int) -> Type:
        item = self.draw(depth)

        def draw(chance: Chance) -> dict[str, Any]:
            if _base(item.avro) == "string" and chance.random() < 0.2:
                return {UNAVAILABLE_VALUE: UNAVAILABLE_VALUE}
            return {text(chance): item.draw(chance) for _ in range(chance.choice((0, 1, 3, 12)))}

        return Type({"type": "map", "values": item.avro}, draw)

    def record(self, depth: int) -> Type:
        names = self._chance.sample(["x", "y", "wkb", "srid", "Z", "_", "xx"], self._chance.randrange(5))
        fields = {name: self.draw(depth) for name in names}
        avro = {
            "type": "record",
            "name": self._name(),
            "fields": [{"name": n, "type": t.avro} for n, t in fields.items()],
        }
        return Type(avro, lambda chance: {name: item.draw(chance) for name, item in fields.items()})

    def variable(self, _: int) -> Type:
        """A decimal that says its scale."""
        fields = [{"name": "scale", "type": "int"}, {"name": "value", "type": "bytes"}]
        avro = {
            "type": "record",
            "name": self._name(),
            "fields": fields,
            "connect.name": DEBEZIUM + "data.VariableScaleDecimal",
        }
        return Type(avro, lambda chance: {"scale": small(chance), "value": decimal(chance)})

    def enum(self, _: int) -> Type:
        symbols = ["A", "B", UNAVAILABLE_VALUE]
        return Type({"type": "enum", "name": self._name(), "symbols": symbols}, lambda chance: chance.choice(symbols))

    def fixed(self, _: int) -> Type:
        size = self._chance.choice((1, 8, len(UNAVAILABLE_VALUE)))
        name = self._chance.choice((None, DEBEZIUM + "data.Bits"))
        placeholder = UNAVAILABLE_VALUE.encode()
        return Type(
            named("fixed", name, size=size) | {"name": self._name()},
            lambda chance: (
                placeholder if size == len(placeholder) and chance.random() < 0.5 else chance.randbytes(size)
            ),
        )


def _base(avro: Any) -> Any:
    """The type behind a union with null."""
    if isinstance(avro, list):
        avro = next(one for one in avro if one != "null")
    return avro["type"] if isinstance(avro, dict) else avro


class Table(NamedTuple):
    """One random envelope's schema, and what writes changes of it."""

    schema: Any
    columns: list[str]
    write: Callable[[Chance], bytes]
    table: str


def table(chance: Chance) -> Table:
    """A random table: its columns, its connector, its version's order of fields."""
    types = Types(chance)
    columns = {
        name: types.draw()
        for name in chance.sample(["id", "note", "total", "at", "_x", "ä", "b"], chance.randrange(1, 8))
    }
    connector, extra = chance.choice(list(CONNECTORS.items()))
    name = chance.choice(("orders", "items", ""))
    nullable = chance.random() < 0.5
    source = [("connector", "string"), ("name", "string"), ("ts_ms", ["null", "long"] if nullable else "long"),
              ("db", ["null", "string"]), ("snapshot", {"type": "enum", "name": "Snap", "symbols": ["a", "b"]}), *extra]  # fmt: skip
    if connector != "mongodb" or chance.random() < 0.3:
        source.insert(chance.randrange(len(source)), ("table", ["null", "string"]))
    row: Any = _record("Value", [(column, kind.avro) for column, kind in columns.items()])
    fields = []
    for field in ORDERS[chance.choice(list(ORDERS))]:
        if field in {"before", "after"}:
            fields.append((field, ["null", row]))
            row = "Value"
        elif field == "source":
            fields.append((field, _record("Source", source)))
        elif field == "transaction":
            fields.append((field, ["null", _record("Block", [("id", "string"), ("order", "long")])]))
        else:
            fields.append((field, "string" if field == "op" else ["null", "long"]))
    schema = _record("Envelope", fields) | {"namespace": "shop"}
    parsed = parse_schema(loaded(json.loads(json.dumps(schema))))

    def write(chance: Chance) -> bytes:
        op = chance.choice("ccuurdtm") if chance.random() < 0.98 else chance.choice(("x", "", "cc", "€"))
        lacks = (0.5, 0.5 if op in "dtm" else 0.02)
        before, after = (
            {n: t.draw(chance) for n, t in columns.items()} if chance.random() > lack else None for lack in lacks
        )
        came_from = {field: _source_value(chance, kind) for field, kind in source}
        came_from |= {"connector": connector if chance.random() < 0.95 else "postgresql"}
        for field in ("table", "collection"):
            if field in came_from and chance.random() < 0.9:
                came_from[field] = name
        datum = {"before": before, "after": after, "source": came_from, "op": op, "transaction": None} | dict.fromkeys(
            TIMES, 3
        )
        out = io.BytesIO()
        schemaless_writer(out, parsed, datum)
        return out.getvalue()

    return Table(schema, list(columns), write, name)


def _record(name: str, fields: list[tuple[str, Any]]) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields]}


def _source_value(chance: Chance, kind: Any) -> Any:
    if isinstance(kind, list):
        return None if chance.random() < 0.2 else _source_value(chance, kind[1])
    if isinstance(kind, dict):
        return "a"
    if kind == "string":
        return chance.choice(("", "x", "ä" * 9))
    return small(chance) if kind == "int" else number(chance)


def projections(chance: Chance, found: Table) -> list[Projection]:
    """Of one contract to eight."""
    made = [Projection()]
    for _ in range(chance.randrange(8)):
        some = frozenset(
            f"{found.table}.{name}" for name in chance.sample(found.columns, chance.randrange(len(found.columns) + 1))
        )
        rare = chance.random()
        made.append(
            Projection(
                ignored=some if chance.random() < 0.7 else frozenset(),
                listed=some if chance.random() < 0.2 else frozenset(),
                tables=frozenset({"items"}) if rare < 0.1 else frozenset(),
                operations=frozenset({"d", "r"}) if 0.1 < rare < 0.2 else frozenset(),
                rows=((f"items.{found.columns[0]}", ("1", "a")),) if rare > 0.97 else (),
            )
        )
    return made


class Batch(NamedTuple):
    """A table's schema, what is taken of it, and a batch of its changes."""

    schemas: RecordedSchemas
    projections: list[Projection]
    raw: RawBatch
    found: Table


def batch(chance: Chance, rows: int) -> Batch:
    """A random table, and changes of it."""
    found = table(chance)
    values = [struct.pack(">bi", 0, 7) + found.write(chance) for _ in range(rows)]
    return Batch(
        RecordedSchemas({7: json.dumps(found.schema)}), projections(chance, found), raw_of(chance, values), found
    )


def raw_of(chance: Chance, values: list[bytes | None]) -> RawBatch:
    """Values as one fetch, with keys."""
    keys = (None, b"", b"\0\0\0\0", b"\0\0\0\0\1key", b"plain", chance.randbytes(60))
    records = [RawRecord(at, at, chance.choice(keys), value) for at, value in enumerate(values)]
    return RawBatch.of("t", 0, records, 0, len(records))
