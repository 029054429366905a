"""A shop that works: tables, and random transactions from one seed; what PostgreSQL holds afterwards is the truth."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import psycopg

TABLES = {
    "customers": {
        "id": "bigint",
        "email": "text not null",
        "name": "text not null",
        "credit": "numeric(12,2) not null",
        "created": "timestamptz not null",
        "note": "text",
    },
    "orders": {
        "id": "bigint",
        "customer_id": "bigint not null",
        "status": "text not null",
        "total": "numeric(12,2) not null",
        "placed": "timestamp not null",
    },
    "order_items": {
        "order_id": "bigint",
        "line": "int",
        "sku": "text not null",
        "qty": "int not null",
        "price": "numeric(12,2) not null",
    },
    "documents": {"id": "uuid", "title": "text not null", "body": "text not null", "version": "int not null"},
    "notes": {"id": "int", "amount": "numeric(12,2) not null", "text": "text"},
}
"""Every table's columns; ``documents.body`` is long enough to be kept outside its row (TOAST)."""

KEYS = {table: ("order_id", "line") if table == "order_items" else ("id",) for table in TABLES}
"""The columns of each table's key, which are its first ones."""

NAMES = ("Zoë Ångström", "李小龍", "Владимир", "محمد", "rocket 🚀", 'O\'Brien "q" \\ back', "tab\there", "e\u0301")
BODY_CHARACTERS = 12_000
"""Random hexadecimal digits don't shrink below the 2,000 bytes from which PostgreSQL puts a value outside its row."""

CUSTOMERS = 30
BEGINNING = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)


def definition(table: str, name: str, more: str = "") -> str:
    """The statement that makes a table; ``more`` are columns that it has besides."""
    columns = [f"{column} {kind}" for column, kind in TABLES[table].items()]
    return (
        f"create table {name} ({', '.join([*columns, *filter(None, [more])])}, primary key ({', '.join(KEYS[table])}))"
    )


class Shop:
    """Writes to the shop's tables; everything random comes from one seed.

    Attributes:
        changes: rows that committed transactions inserted, updated and deleted so far.
        untouched: documents whose last change left the body as it was: its event has a placeholder for it.
    """

    def __init__(self, connection: psycopg.Connection[Any], seed: int) -> None:
        self.changes = 0
        self.untouched: set[uuid.UUID] = set()
        self._connection = connection
        self._rng = random.Random(seed)
        self._next = 1_000
        self._orders: list[int] = []
        self._notes: list[int] = []
        self._documents: list[uuid.UUID] = []

    def open(self) -> None:
        """Make the tables, with some rows that are there before any connector comes."""
        for table in TABLES:
            self._connection.execute(definition(table, table))
        self._connection.commit()
        with self._transaction():
            for number in range(1, CUSTOMERS + 1):
                self._insert("customers", number, f"{number}@example.org", self._name(), self._money(), BEGINNING, None)
        for step in (self.order, self.document, self.note):
            for _ in range(3):
                step()

    def work(self, changes: int) -> None:
        """Transactions of every kind, until so many more rows were changed."""
        enough = self.changes + changes
        kinds: dict[Callable[[], None], int] = {
            self.order: 5, self.pay: 5, self.cancel: 2, self.credit: 3, self.credit_thrice: 1, self.document: 1,
            self.touch: 2, self.rewrite: 1, self.drop_document: 1, self.note: 2, self.correct: 2, self.tear: 1,
            self.replace_item: 1, self.undo: 1,
        }  # fmt: skip
        while self.changes < enough:
            self._rng.choices(list(kinds), list(kinds.values()))[0]()

    def order(self) -> None:
        """A new order with its items, at a customer's expense: one transaction over three tables."""
        with self._transaction():
            self._orders.append(self._order())

    def pay(self) -> None:
        """An order's status changes."""
        with self._transaction():
            status = self._rng.choice(("PAID", "SHIPPED", "RÉGLÉ"))
            self._do("update orders set status = %s where id = %s", status, self._rng.choice(self._orders))

    def cancel(self) -> None:
        """An order goes, with its items."""
        if len(self._orders) > 1:
            number = self._take(self._orders)
            with self._transaction():
                self._do("delete from order_items where order_id = %s", number)
                self._do("delete from orders where id = %s", number)

    def credit(self) -> None:
        """A customer's credit and note change; the note may become null."""
        with self._transaction():
            note = self._rng.choice((None, self._name()))
            self._do("update customers set credit = %s, note = %s where id = %s", self._money(), note, self._customer())

    def credit_thrice(self) -> None:
        """One row three times in one transaction."""
        with self._transaction():
            customer = self._customer()
            for _ in range(3):
                self._do("update customers set credit = credit + 1 where id = %s", customer)

    def document(self) -> None:
        """A new document with a long body."""
        number = uuid.UUID(int=self._rng.getrandbits(128))
        with self._transaction():
            self._insert("documents", number, self._name(), self._body(), 1)
        self._documents.append(number)

    def touch(self) -> None:
        """A document's version changes, and its body stays: the event has a placeholder for it."""
        number = self._rng.choice(self._documents)
        with self._transaction():
            self._do("update documents set version = version + 1 where id = %s", number)
        self.untouched.add(number)

    def rewrite(self) -> None:
        """A document gets another body."""
        number = self._rng.choice(self._documents)
        with self._transaction():
            self._do("update documents set body = %s where id = %s", self._body(), number)
        self.untouched.discard(number)

    def drop_document(self) -> None:
        """A document goes."""
        if len(self._documents) > 1:
            number = self._take(self._documents)
            with self._transaction():
                self._do("delete from documents where id = %s", number)
            self.untouched.discard(number)

    def note(self, amount: Decimal | None = None) -> int:
        """A new note; its id."""
        number = self._number()
        with self._transaction():
            self._insert("notes", number, self._money(500) if amount is None else amount, self._name())
        self._notes.append(number)
        return number

    def correct(self) -> None:
        """A note's amount changes."""
        with self._transaction():
            amount = self._money(500)
            self._do("update notes set amount = %s where id = %s", amount, self._rng.choice(self._notes))

    def tear(self) -> None:
        """A note goes."""
        if len(self._notes) > 1:
            number = self._take(self._notes)
            with self._transaction():
                self._do("delete from notes where id = %s", number)

    def replace_item(self) -> None:
        """A row is deleted and comes again with the same key, in one transaction."""
        number = self._rng.choice(self._orders)
        with self._transaction():
            self._do("delete from order_items where order_id = %s and line = 1", number)
            self._insert("order_items", number, 1, "AGAIN", 9, Decimal("9.99"))

    def undo(self) -> None:
        """A transaction that is rolled back: nobody must ever see it."""
        before = self.changes
        self._order()
        self._connection.rollback()
        self.changes = before

    def _order(self) -> int:
        number, customer = self._number(), self._customer()
        placed = BEGINNING.replace(tzinfo=None) + dt.timedelta(microseconds=self._rng.randrange(10**13))
        self._insert("orders", number, customer, "NEW", self._money(), placed)
        for line in range(1, self._rng.randrange(2, 6)):
            self._insert("order_items", number, line, f"SKU-{line}", self._rng.randrange(1, 9), self._money())
        self._do("update customers set credit = credit - 1 where id = %s", customer)
        return number

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        yield
        self._connection.commit()

    def _insert(self, table: str, *values: Any) -> None:
        self._do(f"insert into {table} values ({', '.join(['%s'] * len(values))})", *values)

    def _do(self, statement: str, *values: Any) -> None:
        self.changes += self._connection.execute(statement, values).rowcount

    def _take(self, numbers: list[Any]) -> Any:
        return numbers.pop(self._rng.randrange(len(numbers)))

    def _number(self) -> int:
        self._next += 1
        return self._next

    def _customer(self) -> int:
        return self._rng.randrange(1, CUSTOMERS + 1)

    def _money(self, below: int = 10_000) -> Decimal:
        return Decimal(self._rng.randrange(below * 100)) / 100

    def _name(self) -> str:
        return self._rng.choice(NAMES)

    def _body(self) -> str:
        return f"{self._rng.getrandbits(4 * BODY_CHARACTERS):0{BODY_CHARACTERS}x}"
