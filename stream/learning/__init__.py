"""References learned from the live stream, and from a range of a topic."""
