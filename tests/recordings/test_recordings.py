"""What the verifier says of whole recordings, through its commands."""

import json
from collections import Counter
from pathlib import Path

import pytest

from app.adapters.recording import Recording
from app.cli.main import main
from app.cli.offline import is_wrong, recorded_changes, verify_lines

RECORDINGS = Path(__file__).parent
PLANTED = RECORDINGS / "planted-faults"
REAL = RECORDINGS / "debezium-3.7"


@pytest.fixture(scope="module")
def lines():
    return verify_lines(PLANTED)


@pytest.fixture(scope="module")
def expected():
    return json.loads((PLANTED / "expected.json").read_text())


def _of(lines, kind, *names):
    return sorted([line[name] for name in names] for line in lines if line["kind"] == kind)


def test_every_cell_that_is_not_plainly_fine_is_as_it_was_planted(lines, expected):
    found = _of(lines, "cell", "sink", "topic", "partition", "offset", "state", "flags")

    assert found == sorted(expected["cells"])


@pytest.mark.parametrize(("kind", "key"), [("orphan", "orphans"), ("contradicted", "contradicted")])
def test_findings_beside_cells_are_as_they_were_planted(lines, expected, kind, key):
    assert _of(lines, kind, "sink", "topic", "partition", "offset") == sorted(expected[key])


@pytest.mark.parametrize("kind", ["unreadable", "unknown_sink"])
def test_evidence_that_nobody_can_use_is_named_by_its_own_coordinates(lines, expected, kind):
    assert _of(lines, kind, "topic", "partition", "offset") == sorted(expected[kind])


def test_counts_and_watermarks_of_every_sink_are_right(lines, expected):
    found = [{key: value for key, value in line.items() if key != "kind"} for line in lines if line["kind"] == "sink"]
    by_place = lambda line: (line["sink"], line["topic"], line["partition"])  # noqa: E731

    assert sorted(found, key=by_place) == sorted(expected["sinks"], key=by_place)


def test_each_sink_and_topic_is_covered_by_evidence_that_adds_up(lines):
    """Cells by state and level are all that was judged; those of a level are what the partitions' evidence comes to."""
    covered = {(line["sink"], line["topic"]): line for line in lines if line["kind"] == "coverage"}
    counted: dict[tuple[str, str], Counter[str]] = {}
    for line in lines:
        if line["kind"] == "evidence":
            counted.setdefault((line["sink"], line["topic"]), Counter()).update(line["counts"])

    assert covered.keys() == counted.keys()
    for place, line in covered.items():
        assert sum(one["count"] for one in line["cells"]) == line["judged"] > 0
        assert {one["level"]: one["count"] for one in line["cells"] if one["level"]} == dict(counted[place])


def test_no_command_is_too_many_and_none_too_few(lines, expected):
    named: dict[str, list[int]] = {place: [] for place in expected["repair"]}
    for line in lines:
        if line["kind"] == "command":
            place = f"{line['sink']}|{line['topic']}|{line['partition']}"
            named[place] += [item["offset"] for item in line["items"]]

    for place, offsets in named.items():
        assert len(offsets) == len(set(offsets)), place
        assert set(expected["repair"][place]["must"]) <= set(offsets) <= set(expected["repair"][place]["may"]), place


def test_verify_exits_with_1_where_something_is_wrong(capsys):
    assert main(["verify", "--recording", str(PLANTED), "--json"]) == 1
    assert is_wrong(map(json.loads, capsys.readouterr().out.splitlines()))


def test_verify_exits_with_2_where_there_is_no_recording(capsys, tmp_path):
    assert main(["verify", "--recording", str(tmp_path / "nowhere")]) == 2
    assert "is no directory" in capsys.readouterr().err


def test_changes_of_a_real_capture_are_what_they_were_said_to_be():
    """Ten thousand records of Debezium 3.7, with key changes, truncates, placeholders and three that can't be read."""
    told = {(c["topic"], c["partition"], c["offset"]): c for c in json.loads((REAL / "changes.json").read_text())}
    keys = ("kind", "op", "fingerprint")

    found = {(c["topic"], c["partition"], c["offset"]): c for c in recorded_changes(REAL)}

    assert found.keys() == told.keys()
    wrong = [place for place, c in found.items() if any(c[key] != told[place].get(key) for key in keys)]
    assert wrong == []


def test_a_change_is_explained_by_its_evidence_and_the_rule(capsys):
    assert main(["explain", "--recording", str(PLANTED), "shop.public.customers:0:3016"]) == 0
    told = capsys.readouterr().out

    assert "answers c53" in told
    assert "audit: delivered  [recovered, repaired], closed" in told
    assert "; stands on evidence of level fingerprint" in told


def test_whose_a_change_is_stands_in_its_story(capsys, tmp_path):
    config = tmp_path / "config.toml"
    text = (PLANTED / "config.toml").read_text()
    config.write_text(text.replace("[sinks.audit]", '[sinks.audit]\nowner = "ada"\nseverity = "high"'))
    asked = ["explain", "--recording", str(PLANTED), "--config", str(config), "shop.public.customers:0:3016"]

    assert main(asked) == 0
    assert "closed\n  owner ada, severity high\n" in capsys.readouterr().out
    assert main([*asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {sink["sink"]: sink["owner"] for sink in told["sinks"]}["audit"] == "ada"


def test_an_orphan_and_a_contradiction_are_explained(capsys):
    assert main(["explain", "--recording", str(PLANTED), "shop.public.customers:0:3101"]) == 0
    assert "CONTRADICTED by what was said after it closed" in capsys.readouterr().out
    assert main(["explain", "--recording", str(PLANTED), "shop.public.customers:0:3373"]) == 2
    assert "an orphan of audit: receipts.audit.customers:0:65 APPLIED" in capsys.readouterr().err


def test_a_configuration_without_sinks_judges_nothing_and_says_so(capsys):
    assert main(["verify", "--recording", str(REAL)]) == 2
    assert "no [sinks.<name>] is configured" in capsys.readouterr().err


def test_a_recording_says_where_a_line_is_wrong(tmp_path):
    (tmp_path / "t.jsonl.gz").write_bytes(b"no gzip")

    with pytest.raises(Exception, match=r"t\.jsonl\.gz, line 0"):
        Recording(tmp_path).partitions("t")
