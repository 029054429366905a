"""Settings as librdkafka and Faust want them."""

from __future__ import annotations

import ssl
from typing import Any

import faust

from app.config import Settings

CRITICAL = 2
"""Librdkafka's own lines about a broker that is away come ten times a second; ours say it, too."""


def client_config(settings: Settings) -> dict[str, Any]:
    """Librdkafka's properties; secrets leave their `Secret` only here."""
    kafka = settings.kafka
    found: dict[str, Any] = {
        "bootstrap.servers": ",".join(kafka.brokers),
        "log_level": CRITICAL,
        "security.protocol": kafka.security_protocol,
        "ssl.ca.location": kafka.ssl_ca_file,
        "ssl.certificate.location": kafka.ssl_certificate_file,
        "ssl.key.location": kafka.ssl_key_file,
        "ssl.key.password": None if kafka.ssl_key_password is None else kafka.ssl_key_password.reveal(),
    }
    if kafka.security_protocol.startswith("SASL"):
        found |= {
            "sasl.mechanism": kafka.sasl_mechanism,
            "sasl.username": kafka.sasl_username,
            "sasl.password": None if kafka.sasl_password is None else kafka.sasl_password.reveal(),
        }
    return {name: value for name, value in found.items() if value is not None}


def credentials(settings: Settings) -> Any:
    """Faust's credentials, None for a plain listener."""
    kafka = settings.kafka
    if kafka.security_protocol == "PLAINTEXT":
        return None
    context = None
    if kafka.security_protocol.endswith("SSL"):
        context = ssl.create_default_context(cafile=kafka.ssl_ca_file)
        if kafka.ssl_certificate_file is not None:
            secret = kafka.ssl_key_password
            context.load_cert_chain(
                kafka.ssl_certificate_file, kafka.ssl_key_file, None if secret is None else secret.reveal()
            )
    if not kafka.security_protocol.startswith("SASL"):
        return faust.SSLCredentials(context)
    return faust.SASLCredentials(
        username=kafka.sasl_username,
        password="" if kafka.sasl_password is None else kafka.sasl_password.reveal(),
        mechanism=kafka.sasl_mechanism,
        ssl_context=context,
    )
