"""docker/requirements.lock, what the image installs: the part of requirements.lock that the worker needs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

OURS = {"cdc-verifier-receipts"}


def locked(text: str) -> dict[str, str]:
    """Version and hashes by name."""
    entries = re.split(r"^(?=\S+==)", text, flags=re.MULTILINE)
    return {entry.partition("==")[0]: entry for entry in entries if "==" in entry}


def test_the_image_installs_the_versions_that_were_tested(root: Path) -> None:
    everything, images = (locked((root / f).read_text()) for f in ("requirements.lock", "docker/requirements.lock"))
    differing = [name for name, entry in images.items() if everything.get(name, "").split() != entry.split()]

    assert images
    assert differing == [], "run make lock"


def test_the_image_installs_everything_that_the_worker_depends_on(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    images = locked((root / "docker/requirements.lock").read_text())
    names = {re.split(r"[\[=<>~ ]", one)[0].lower() for one in project["dependencies"]}

    assert names - OURS - images.keys() == set(), "run make lock"
