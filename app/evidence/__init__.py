"""What others than sinks' own receipts say: dead letters, success topics."""
