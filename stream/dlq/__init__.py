"""What is done with dead letters after the fact: looked at, replayed, purged. Workers never import this."""
