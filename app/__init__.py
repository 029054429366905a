"""bytes -> decode -> evidence -> ledger -> repair -> outbox: the verifier decides here, and nothing in here does I/O but `adapters`."""

import os

# numpy's threads for matrices spin at every start, and there is no matrix here
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
