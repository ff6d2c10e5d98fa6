"""Upper bounds on what is read from other people's files. An error that enforces one names it and the value read.

They are far above any real data set and far below what exhausts a machine. A limit belongs here when more than one
module needs it; otherwise it stands beside the code that enforces it.
"""

MAX_ACTION_ID = 9_999  # AVA has 80, Kinetics-700 has 700; a head of 10,000 columns is 92 MB of float32 weights
MAX_FILE_BYTES = 8 << 30  # AVA's largest csv is 0.4 GB; a gzip bomb of 8 MB unpacks to more than this
