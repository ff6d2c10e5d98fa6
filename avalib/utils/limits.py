"""Upper bounds for other people's files. The error for a file beyond a bound names the bound and the value.

The bounds are far above any real data set and far below what exhausts a machine. A bound that only one module needs
is in that module.
"""

MAX_ACTION_ID = 9_999  # AVA has 80, Kinetics-700 has 700; a head of 10,000 columns is 92 MB of float32 weights
MAX_FILE_BYTES = 8 << 30  # AVA's largest csv is 0.4 GB; a gzip bomb of 8 MB unpacks to more than this
MAX_UNPACKED_RATIO = 100  # unpacked to packed bytes; a csv of boxes has 5, the worst that deflate can do is 1,030
MAX_UNPACKED_RATIO_FROM = 64 << 20  # the ratio counts for files of more unpacked bytes
MAX_TEXT_BYTES = 1 << 30  # label maps, json and xml, which memory holds whole; COCO's largest is 0.5 GB
MAX_LINE_BYTES = 8 << 20  # a row of AVA's csv has 60
MAX_PAIRS = 1 << 30  # pairs of boxes compared in one evaluation, 2 to 3 minutes; AVA's validation set has 10 million
MAX_VIDEO_ID_BYTES = 200  # file systems allow 255 for a file name, and suffixes are added
MAX_CLIP_LEN = 512  # frames of a clip; the zoo's models take at most 32, others 64
MAX_FRAME_INTERVAL = 900  # frames from one frame of a clip to the next; 30 s
MAX_SHORT_SIDE = 4_320  # pixels of a picture's shorter side; that of 8K video
MAX_LABEL_MAP_BYTES = 1 << 24  # AVA's has 8,000; enough for MAX_ACTION_ID names of 1,600 letters
