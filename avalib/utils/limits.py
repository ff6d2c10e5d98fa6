"""Upper bounds on what is read from other people's files. An error that enforces one names it and the value read.

They are far above any real data set and far below what exhausts a machine. A limit belongs here when more than one
module needs it; otherwise it stands beside the code that enforces it.
"""

MAX_ACTION_ID = 9_999  # AVA has 80, Kinetics-700 has 700; a head of 10,000 columns is 92 MB of float32 weights
MAX_FILE_BYTES = 8 << 30  # AVA's largest csv is 0.4 GB; a gzip bomb of 8 MB unpacks to more than this
MAX_UNPACKED_RATIO = 100  # unpacked to packed bytes; a csv of boxes has 5, the worst that deflate can do is 1,030
MAX_UNPACKED_RATIO_FROM = 64 << 20  # bytes from which on the ratio counts
MAX_TEXT_BYTES = 1 << 30  # label maps, json and xml, which are held in memory whole; COCO's largest is 0.5 GB
MAX_LINE_BYTES = 8 << 20  # a row of AVA's csv has 60
MAX_PAIRS = 1 << 30  # pairs of boxes compared in one evaluation, 2 to 3 minutes; AVA's validation set has 10 million
MAX_VIDEO_ID_BYTES = 200  # file systems allow 255 for a file name, to which suffixes are added
MAX_CLIP_LEN = 512  # frames of a clip; the zoo's have at most 32, others' 64
MAX_FRAME_INTERVAL = 900  # frames between two of a clip's; 30 s
MAX_SHORT_SIDE = 4_320  # pixels of a picture's shorter side; 8K has as many
MAX_LABEL_MAP_BYTES = 1 << 24  # AVA's has 8,000; MAX_ACTION_ID names of 1,600 letters
