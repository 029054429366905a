"""A short look at everything the fold decides: exit status 0 where it is right, 1 where it is not.

Run in a process of its own over a copy of the product: ``python tests/mutants/check.py``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))  # after the copy of the product, which the caller puts first

import pytest  # noqa: E402

from app.cli.fingerprints import fingerprint_lines  # noqa: E402
from app.cli.offline import verify_lines  # noqa: E402
from tests.laws.histories import history  # noqa: E402
from tests.laws.laws import LAWS  # noqa: E402
from tests.laws.reading import How, read  # noqa: E402
from tests.simulation.compare import differences  # noqa: E402
from tests.simulation.world import write_world  # noqa: E402

SEEDS = range(1, 13)
LAW_SEEDS = range(1, 7)
PLANTED = ROOT / "tests" / "recordings" / "planted-faults"
SCENARIOS = ROOT / "tests" / "unit" / "ledger"
VECTORS = ROOT / "tests" / "data" / "fingerprint-vectors.json"


def wrong() -> Iterator[str]:
    """What is wrong, as soon as it is found."""
    vectors = json.loads(VECTORS.read_text())["vectors"]
    if list(fingerprint_lines(map(json.dumps, vectors))) != [vector["fingerprint"] for vector in vectors]:
        yield "vectors"
    expected = json.loads((PLANTED / "expected.json").read_text())
    lines = verify_lines(PLANTED)
    names = ("sink", "topic", "partition", "offset", "state", "flags")
    if sorted([line[n] for n in names] for line in lines if line["kind"] == "cell") != sorted(expected["cells"]):
        yield "planted faults"
    named: dict[str, list[int]] = {}
    for line in lines:
        if line["kind"] == "command":
            place = f"{line['sink']}|{line['topic']}|{line['partition']}"
            named.setdefault(place, []).extend(item["offset"] for item in line["items"])
    for place, wanted in expected["repair"].items():
        if not set(wanted["must"]) <= set(named.get(place, ())) <= set(wanted["may"]):
            yield f"commands of {place}"
    if pytest.main(["-q", "-x", "-p", "no:cacheprovider", str(SCENARIOS)]) != 0:
        yield "scenarios"
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as directory:
            write_world(seed, Path(directory))
            yield from differences(Path(directory))
    yield from broken_laws()


def broken_laws() -> Iterator[str]:
    """What the laws say of a few histories; a law that is broken raises."""
    for seed in LAW_SEEDS:
        whole, pieces = read(history(seed)), read(history(seed), How(seed=seed, restart=0.3, snapshot_rows=40))
        if whole.effects != pieces.effects:
            yield f"history {seed}"
        for law in LAWS:
            law(history(seed), seed)


if __name__ == "__main__":
    try:
        found = next(wrong(), None)
    except Exception as error:  # noqa: BLE001 - a mutant that breaks an invariant is caught as well
        found = repr(error)
    print(found or "nothing is wrong")  # noqa: T201
    sys.exit(1 if found else 0)
