"""The AVA metric and what stands around it.

evaluator, protocols, report: the mAP by each protocol. ranking, matching, row_groups, frame_index, average_precision:
its array code. box_recall, video_map: other measures. error_analysis, labeled_boxes, mistake_kinds, perfect_parts: what
the mistakes cost. inference: a model's detections on a data set. explanation, frame_jitter: studies of a model's
scores. Importing this package loads neither torch nor scipy.
"""

from avalib.evaluation.evaluator import compare_protocols, compute_frequency_baseline, evaluate
from avalib.evaluation.report import Report

__all__ = ["Report", "compare_protocols", "compute_frequency_baseline", "evaluate"]
