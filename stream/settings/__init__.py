"""The configuration: its sections, the file, the environment, and what they mean together."""
