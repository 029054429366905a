"""Topics and sinks of the benchmark, as its programs know them."""

CHANGES = "commerce.public.accounts"
SINKS = ("warehouse-one", "warehouse-two")
RECEIPTS = [f"receipts.{sink}" for sink in SINKS]
