"""Settings: one frozen tree, loaded once from TOML and environment, every fault reported together (protocol section 7).

The other parts get plain values out of it; translation to what Faust, librdkafka and RocksDB want is the adapters' work.
"""

from app.config.check import live_problems, override_problems
from app.config.kinds import Secret
from app.config.load import load
from app.config.settings import (
    ConnectSettings,
    KafkaSettings,
    MetricsSettings,
    OverrideSettings,
    RegistrySettings,
    Settings,
    SinkSettings,
    SourceSettings,
    StateSettings,
    VerifierSettings,
    keys,
)
from app.config.show import show

__all__ = [
    "ConnectSettings",
    "KafkaSettings",
    "MetricsSettings",
    "OverrideSettings",
    "RegistrySettings",
    "Secret",
    "Settings",
    "SinkSettings",
    "SourceSettings",
    "StateSettings",
    "VerifierSettings",
    "keys",
    "live_problems",
    "load",
    "override_problems",
    "show",
]
