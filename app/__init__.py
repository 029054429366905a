"""bytes -> decode -> evidence -> ledger -> repair -> outbox: the verifier decides here, and nothing in here does I/O but `adapters`."""
