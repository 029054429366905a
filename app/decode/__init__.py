"""bytes -> `ChangeBatch`, `EvidenceBatch`: framing, writer schemas, the reference decoders."""
