"""The only part that touches the world: RocksDB, Kafka, registries, recordings, metrics."""
