"""The machine and the versions that a result was measured with: a number without them says nothing."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from app.native import missing

ROOT = Path(__file__).parents[1]
PACKAGES = ("aiokafka", "confluent-kafka", "fastavro", "faust-streaming", "numpy", "rocksdict", "xxhash")


def described() -> dict[str, Any]:
    """What every output says of where it was made."""
    return {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        "version": product_version(),
        "kernel_in_c": missing() or "in use",
        "cpus": os.cpu_count(),
        "cpu": _cpu(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "linux": platform.release(),
        "python": platform.python_version(),
        "load_at_start": round(os.getloadavg()[0], 2),
        "packages": {name: version(name) for name in PACKAGES},
    }


def product_version() -> str:
    """The package's version, and the commit where this is a work tree."""
    told = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    commit = told.stdout.strip()
    return version("cdc-verifier") + (f" ({commit})" if commit else "")


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
