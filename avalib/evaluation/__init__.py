"""The AVA metric, and what belongs to it.

evaluator, protocols: the mAP by each protocol. report: `Report.mAP` and all other results. frame_index, matching,
row_groups, ranking, average_precision: the array code behind them. baselines: the score to beat. box_recall, video_map:
other measures. error_analysis, labeled_boxes, mistake_kinds, perfect_parts: the mAP that each kind of mistake costs.
inference: a model's detections on a data set. explanation, frame_jitter: studies of a model's scores. Importing this
package loads neither torch nor scipy.
"""

from avalib.evaluation.baselines import compute_frequency_baseline
from avalib.evaluation.evaluator import compare_protocols, evaluate
from avalib.evaluation.report import Report

__all__ = ["Report", "compare_protocols", "compute_frequency_baseline", "evaluate"]
