"""Helpers that every other package may use: whole files, hashes, locks, processes, limits on what is read."""
