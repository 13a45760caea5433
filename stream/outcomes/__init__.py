"""Predictions joined with their labels: the join, the outcomes of windows, and what is wrong with them."""
