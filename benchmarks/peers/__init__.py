"""Who is compared: this verifier, and what one would build instead; see `benchmarks.compare`."""

from benchmarks.peers.ours import Ours
from benchmarks.peers.peer import Peer
from benchmarks.peers.python import Confluent, Plain, Quix
from benchmarks.peers.streams import Streams

PEERS: dict[str, type[Peer]] = {
    "ours": Ours,
    "confluent": Confluent,
    "plain": Plain,
    "streams": Streams,
    "quix": Quix,
}

__all__ = ["PEERS", "Peer"]
