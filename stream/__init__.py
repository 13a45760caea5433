"""Stream agents: events from Kafka, counts in Redis, verdicts, alerts and metrics out."""
