"""What every peer has: a name in the table, parts that may be missing, and a way to start it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from benchmarks.cluster import APPENDED, Cluster
from benchmarks.judging import decoded_text
from benchmarks.load import Load
from benchmarks.measuring import Launch


class Peer(ABC):
    """One system that is compared.

    Attributes:
        label: its row in the table.
        is_judge: whether it says anything of what it reads.
    """

    label = ""
    is_judge = True

    def missing(self) -> str | None:
        """What this machine lacks for it, or None; what can be fetched is fetched here."""
        return None

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Of what it is made of."""

    @abstractmethod
    def launch(self, cluster: Cluster, load: Load, name: str, directory: Path) -> Launch:
        """How it is started for one run.

        Args:
            name: of this run, for its consumer group and its topics; nobody used it before.
            directory: of this run.
        """


class Program(Peer):
    """A peer whose program is a part of this benchmark.

    It is told the brokers, the directory of the schemas, a directory for its state and the name of this run, which is its
    consumer group's and its topic of verdicts'. Topics and sinks are known to it. It says ``reading`` with its first record.
    """

    def launch(self, cluster: Cluster, load: Load, name: str, directory: Path) -> Launch:
        if self.is_judge:
            cluster.create([name], 1, APPENDED)
        state = directory / "state"
        told = [cluster.bootstrap, str(cluster.schemas), str(state), name, *self.told(load)]
        return Launch(
            command=[*self.command(), *told],
            directory=directory,
            marker=b"reading",
            verdicts=name if self.is_judge else None,
            decode=decoded_text if self.is_judge else None,
            environ=self.environ(),
        )

    @abstractmethod
    def command(self) -> list[str]:
        """The program, without what it is told."""

    def told(self, load: Load) -> list[str]:
        """What it is told beside what all are told."""
        del load
        return []

    def environ(self) -> dict[str, str]:
        """Environment variables that it needs."""
        return {}
