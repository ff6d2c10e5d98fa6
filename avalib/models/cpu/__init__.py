"""Faster forms of the published layers, for CPUs above all; swapped in from outside (accelerate)."""
