"""Many models through the notebooks with papermill, the leaderboard of their results, and verification of records.

Every notebook runs in a process of its own, those of one run one after the other; runs one at a time on a CPU, or as
many at once as there are GPUs.
"""
