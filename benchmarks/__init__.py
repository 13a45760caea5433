"""What driftstream costs, measured: one command each, on real services that it starts itself."""
