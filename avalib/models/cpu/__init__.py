"""Faster forms of the published layers, which pay most on a CPU; `accelerate` swaps them into a built network."""
