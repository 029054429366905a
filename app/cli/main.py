"""The command ``cdc-verifier``. Every command is documented in docs/cli.md, which is made from ``--help``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from app.cli.operator import add_commands
from app.errors import BadInput, InvariantBroken, Unavailable

OK, WRONG, BAD_INPUT, BROKEN, DISK = 0, 1, 2, 70, 74
"""Exit statuses (protocol section 6)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    options = parser().parse_args(arguments)
    try:
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except BadInput as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except Unavailable as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except InvariantBroken as error:
        print(f"a law of the fold does not hold: {error}", file=sys.stderr)
        return BROKEN
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        print(f"the disk refused: {error}", file=sys.stderr)
        return DISK
    except KeyboardInterrupt:
        return OK


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(prog="cdc-verifier", description="Proves, change by change, what became of it.")
    top.add_argument("--version", action="version", version=f"%(prog)s {version('cdc-verifier')}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add(commands, "run", _run, "judge live, beside Kafka Connect, until a signal stops it", config="required")
    _add(commands, "demo", _demo, "a whole run in one process, with planted faults; no Kafka needed").add_argument(
        "--keep", action="store_true", help="stay up afterwards, with the metrics page"
    )
    verify = _add(commands, "verify", _verify, "judge a recording", config="recording", is_json=True)
    verify.add_argument(
        "--grace",
        type=float,
        metavar="SECONDS",
        help="for a capture without fences: a fence stands this long behind what was named",
    )
    _add(commands, "changes", _changes, "list every change of a recording", config="recording", is_json=True)
    explain = _add(commands, "explain", _explain, "tell the story of one change", config="recording", is_json=True)
    explain.add_argument("change", metavar="TOPIC:PARTITION:OFFSET", help="the change's coordinates")
    text = "propose the contracts of sinks from what Connect says of them, or check a whole installation"
    doctor = _add(commands, "doctor", _doctor, text, is_json=True)
    doctor.add_argument(
        "--check",
        action="store_true",
        help="look at everything that --config needs: 0 all is fine, 1 something was found or could not be asked, 2 bad input",
    )
    where = doctor.add_mutually_exclusive_group(required=True)
    where.add_argument("--recording", type=Path, metavar="DIR", help="of a recording's connect.json")
    where.add_argument(
        "--config", type=Path, metavar="FILE", help="a TOML file that names Kafka, the registry and Connect"
    )
    _add(
        commands, "fingerprint", _fingerprint, 'fingerprint rows: JSON lines {"schema", "avro_b64", "ignore"} on stdin'
    )
    add_commands(commands, _add)
    config = commands.add_parser("config", help="look at the configuration")
    shown = config.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add(shown, "show", _config_show, "print the settings in force, secrets masked", config="optional")
    return top


def _add(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
    *,
    config: str = "",
    is_json: bool = False,
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    command.set_defaults(run=run)
    if config == "recording":
        command.add_argument("--recording", type=Path, required=True, metavar="DIR", help="the recording's directory")
        command.add_argument("--config", type=Path, metavar="FILE", help="default: config.toml of the recording")
    elif config:
        command.add_argument("--config", type=Path, required=config == "required", metavar="FILE", help="a TOML file")
    if is_json:
        command.add_argument("--json", action="store_true", help="one JSON object a line")
    return command


def _run(options: argparse.Namespace) -> int:
    from topologies.verifier import run  # noqa: PLC0415 - the engine is not needed by the other commands

    return run(options.config)


def _demo(options: argparse.Namespace) -> int:
    from topologies.demo import demo  # noqa: PLC0415 - the engine is not needed by the other commands

    return demo(is_kept=options.keep)


def _verify(options: argparse.Namespace) -> int:
    from app.cli.offline import is_wrong, verify_lines  # noqa: PLC0415 - starts faster without it
    from app.cli.report import summary  # noqa: PLC0415

    lines = verify_lines(options.recording, options.config, options.grace)
    _print(lines if options.json else None, summary(lines, options.grace))
    return WRONG if is_wrong(lines) else OK


def _changes(options: argparse.Namespace) -> int:
    from app.cli.offline import recorded_changes  # noqa: PLC0415
    from app.cli.report import change_row  # noqa: PLC0415

    for line in recorded_changes(options.recording, options.config):
        print(json.dumps(line) if options.json else change_row(line))
    return OK


def _explain(options: argparse.Namespace) -> int:
    from app.cli.explain import explain, story  # noqa: PLC0415

    told = explain(options.recording, options.config, options.change)
    print(json.dumps(told) if options.json else "\n".join(story(told)))
    return OK


def _doctor(options: argparse.Namespace) -> int:
    if options.check and options.config is None:
        raise BadInput("--check: looks at a cluster; name its configuration with --config FILE, and no recording")
    if options.check:
        from app.cli.check import check  # noqa: PLC0415

        found = check(options.config)
        _print(found.lines() if options.json else None, found.text())
        return OK if found.is_fine else WRONG
    if options.json:
        raise BadInput("--json: goes with --check; proposed contracts are TOML")
    from app.cli.doctor import live_contracts, recorded_contracts  # noqa: PLC0415

    for line in live_contracts(options.config) if options.config else recorded_contracts(options.recording):
        print(line)
    return OK


def _fingerprint(_: argparse.Namespace) -> int:
    from app.cli.fingerprints import fingerprint_lines  # noqa: PLC0415

    for digits in fingerprint_lines(sys.stdin):
        print(digits)
    return OK


def _config_show(options: argparse.Namespace) -> int:
    from app.config.load import load  # noqa: PLC0415
    from app.config.show import show  # noqa: PLC0415

    print(show(load(options.config, os.environ)))
    return OK


def _print(lines: Iterable[dict[str, Any]] | None, text: Iterable[str]) -> None:
    for line in text if lines is None else map(json.dumps, lines):
        print(line)


if __name__ == "__main__":
    sys.exit(main())
