"""Every error the verifier raises on purpose.

    VerifierError
    ├── BadInput            a record, a setting or an answer that can't be used: quarantine or exit 2, the stream goes on
    │   ├── Undecodable     a change's bytes are no change
    │   ├── UnreadableEvidence
    │   ├── NoSuchTable     a store has no such table or column, or does not let us read it
    │   ├── AmbiguousKey    a key of a store's table finds more than one row
    │   └── ConfigError     all mistakes of a configuration at once
    ├── Unavailable         a part outside is away: wait with growing pauses, state intact
    │   └── NotYet          it is there, and what was asked may still be on its way: ask again
    └── InvariantBroken     a law of the fold does not hold: stop the worker, acknowledge nothing

Messages carry coordinates and what to do; causes are chained.
"""

from __future__ import annotations

from collections.abc import Sequence


class VerifierError(Exception):
    """Base of all; never raised itself."""


class BadInput(VerifierError):
    """Input that can't be used; it is set aside with its coordinates and the stream goes on."""


class Undecodable(BadInput):
    """A change whose bytes can't be read as one; its cell becomes unverifiable, with this reason."""


class UnreadableEvidence(BadInput):
    """Evidence that can't be decoded; it goes to quarantine with its coordinates and this reason."""


class NoSuchTable(BadInput):
    """A sink's store has no such table or column, or its role may not read it; the message says what to grant or to mend."""


class AmbiguousKey(BadInput):
    """A key finds more than one row of a store's table, so that none can be called the key's; name a unique key."""


class ConfigError(BadInput):
    """Every mistake of a configuration, each as one line with key, value and what is allowed; exit status 2."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class Unavailable(VerifierError):
    """A registry, broker or disk that does not answer now; the caller waits and tries again, bounded and visible."""


class NotYet(Unavailable):
    """Asked too early: what is wanted may still be on its way, for a bounded time; the caller asks again."""


class InvariantBroken(VerifierError):
    """A law of the fold does not hold: the worker stops with exit status 70 and acknowledges nothing."""


def require(holds: bool, message: str) -> None:
    """Raise `InvariantBroken` unless the law holds; unlike ``assert`` it stays under ``python -O``."""
    if not holds:
        raise InvariantBroken(message)
