"""Brokers and registries for tests and the demo: no Kafka, no Java, one process."""
