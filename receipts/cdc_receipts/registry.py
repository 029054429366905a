"""Registers the evidence schemas; the standard library is enough for that."""

from __future__ import annotations

import json
import urllib.request

from cdc_receipts.codec import SCHEMAS

TIMEOUT_S = 10.0


def register_schemas(url: str) -> dict[str, int]:
    """Ids of the evidence schemas by record name.

    Args:
        url: of a registry that speaks Confluent's REST API.

    Raises:
        OSError: it does not answer, or refuses.
        ValueError: no http address.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url!r} is no registry's address; say registry_url or schema_ids")
    return {name: _register(url.rstrip("/"), name, text) for name, text in SCHEMAS.items()}


def _register(url: str, name: str, schema: str) -> int:
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        f"{url}/subjects/cdc_verifier.{name}/versions",
        json.dumps({"schema": schema}).encode(),
        {"Content-Type": "application/vnd.schemaregistry.v1+json"},
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - the scheme was checked
        return int(json.loads(answer.read())["id"])
