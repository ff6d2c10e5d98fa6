"""Many models through the notebooks with papermill, the leaderboard of their results, and verification of records.

Every notebook runs in its own process. The notebooks of one run follow one another; runs go in parallel, one per GPU,
or one at a time on a CPU.
"""
