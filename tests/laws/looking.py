"""How Hypothesis looks at a law."""

from __future__ import annotations

from hypothesis import Phase

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""A law that breaks is shown as it broke: a seed shrinks to nothing simpler, it only takes long."""
