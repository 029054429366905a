"""The fingerprint of protocol section 2, on the vectors that every implementation shares."""

import base64
import io
import json
from pathlib import Path

import pytest
from fastavro import parse_schema, schemaless_reader

from app.cli.fingerprints import fingerprint_lines
from cdc_receipts.fingerprint import RowFingerprinter
from cdc_receipts.schemas import loaded

VECTORS = json.loads((Path(__file__).parents[2] / "data" / "fingerprint-vectors.json").read_text())["vectors"]


def _row(vector):
    body = io.BytesIO(base64.b64decode(vector["avro_b64"]))
    return schemaless_reader(body, parse_schema(loaded(vector["schema"])), None)


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_a_row_has_the_fingerprint_of_its_vector(vector):
    made = RowFingerprinter(vector["schema"], vector["ignore"])

    assert made.fingerprint(_row(vector)).hex() == vector["fingerprint"]


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_every_column_that_takes_part_has_the_atom_of_its_vector(vector):
    atoms = RowFingerprinter(vector["schema"], vector["ignore"]).atoms(_row(vector))

    expected = {name: vector["atoms"][name] for name in atoms}

    assert {name: atom.hex() for name, atom in atoms.items()} == expected
    assert atoms


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_leaving_a_column_out_subtracts_its_part(vector):
    """The fingerprint is a sum, so a projection is a subtraction."""
    row = _row(vector)
    whole = RowFingerprinter(vector["schema"])
    for column in whole.columns:
        less = RowFingerprinter(vector["schema"], [column.name]).fingerprint_int(row)

        assert less == (whole.fingerprint_int(row) - column.hash(row[column.name])) % 2**64


def test_the_command_prints_the_fingerprint_of_each_line():
    lines = [json.dumps({key: vector[key] for key in ("schema", "avro_b64", "ignore")}) for vector in VECTORS]

    assert list(fingerprint_lines(lines)) == [vector["fingerprint"] for vector in VECTORS]
