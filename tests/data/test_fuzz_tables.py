"""Mutated csv files and label maps: every reader reads them or names the file and what is wrong; nothing else."""

import io
import warnings

import fuzzing
import pandas as pd
import pytest

from avalib.data import ava_csv
from avalib.data.ava_csv import read_ava_csv
from avalib.data.exclusions import read_exclusions
from avalib.data.label_map import load_label_map, write_label_map
from avalib.data.lint import lint_csv
from avalib.data.proposals import read_proposals
from avalib.evaluation.evaluator import evaluate

pytestmark = pytest.mark.slow

GT = (
    b"-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,80,1\n-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,9,1\n"
    b"video b,0903,0.1,0.2,0.5,0.9,12,0\nvideo b,0904,0.1,0.2,0.5,0.9,14,0\n"
)
GT_7 = b"-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,80\r\nvideo b,0903,0.1,0.2,0.5,0.9,12\r\n"
GT_2 = b"-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,80,1\nvideo b,0903\n"
DET = (
    b"-5KQ66BBWC4,902,0.08,0.15,0.28,0.80,80,0.9\n-5KQ66BBWC4,902,0.08,0.15,0.28,0.80,9,0.5\n"
    b'"video b",903,0.1,0.2,0.4,0.9,12,1e-3\nvideo b,904.5,0.1,0.2,0.5,0.8,14,0.25\n'
)
DET_2 = b"".join(DET.splitlines(True)[:2])
EXCLUDED = b"-5KQ66BBWC4,0902\nvideo b,0903\n"
TOKENS = [b"video b", b"0903", b'"', b'""', b"1e3", b"true", b"0x10", b";", b"\t", b"\r\n", b",,,,,,", b"\x1f\x8b"]
EXPECTED = (ValueError, OSError)


def quietly(read):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read()


def evaluate_ground_truth(path):
    for protocol in ("mmaction", "activitynet", "mmaction1x", "pyslowfast", "frame"):
        try:
            report = quietly(lambda name=protocol: evaluate(path, io.BytesIO(DET_2), protocol=name))
        except ValueError as error:
            if protocol == "frame":
                raise
            assert path.name in str(error), error
        else:
            report.to_json(), report.summary(), report._repr_html_()


def evaluate_detections(path):
    report = quietly(lambda: evaluate(io.BytesIO(GT), path, protocol="frame"))
    report.to_json(), report.summary(), report._repr_html_()


def evaluate_exclusions(path):
    read_exclusions(path)
    evaluate(io.BytesIO(GT), io.BytesIO(DET), exclusions=path, protocol="frame")


def lint_both(path):
    for kind in ("ground_truth", "detections"):
        quietly(lambda kind=kind: lint_csv(path, kind))


def both_parsers_agree(path):
    """The fast parser and the one that goes row by row give the same table, or both reject the file."""
    outcomes = []
    typed = ava_csv.parse_typed_csv
    for parser in (typed, lambda *args: None):
        ava_csv.parse_typed_csv = parser
        try:
            table = read_ava_csv(path, "detections")
            outcomes.append((table.to_csv(), table.attrs["decimal"], table.attrs["has_last"]))
        except ValueError as error:
            outcomes.append(str(error))
        finally:
            ava_csv.parse_typed_csv = typed
    assert outcomes[0] == outcomes[1]


def label_map_comes_back(path):
    label_map = load_label_map(path)
    write_label_map(label_map, path.with_suffix(".again.pbtxt"))
    assert load_label_map(path.with_suffix(".again.pbtxt")) == label_map
    path.with_suffix(".again.pbtxt").unlink()


PBTXT = [
    b'item {\n  name: "bend/bow (at the waist)"\n  id: 1\n}\nitem {\n  name: "crawl"\n  id: 2\n}\n',
    b"# comment\nlabel < name: 'sit \\303\\274' \"x\", label_id: 11; label_type: PERSON_MOVEMENT >\n",
    'item { name: run id: 0x3 keypoints { id: 5 v: [1, 2] } } item { name: "跌倒" id: 4 }'.encode(),
]
TXT = [b"walk\nfall\nsit down\n", b"1: fall\n3: walk\n7: sit\n", b"fall, 1\nwalk, 3\n", b"1 fall\n2 walk\n"]
JSON = [b'{"1": "fall", "3": "walk"}', b'["fall", "walk"]', b'{"categories": [{"id": 1, "name": "fall"}]}']
BOXES = b"video_id,timestamp,x1,y1,x2,y2,score\na,902,0.1,0.2,0.3,0.9,0.5\nb,903,0.1,0.2,0.3,0.9,0.5\n"


@pytest.mark.parametrize(
    ("read", "seeds", "suffix"),
    [
        (evaluate_ground_truth, [GT, GT_7, GT_2], ".csv"),
        (evaluate_detections, [DET, GT, GT_7], ".csv"),
        (evaluate_exclusions, [EXCLUDED, DET], ".csv"),
        (lint_both, [GT, GT_7, GT_2, DET], ".csv"),
        (both_parsers_agree, [DET, GT, GT_7, GT_2], ".csv"),
        (read_proposals, [BOXES], ".csv"),
        (label_map_comes_back, PBTXT, ".pbtxt"),
        (label_map_comes_back, TXT, ".txt"),
        (label_map_comes_back, JSON, ".json"),
    ],
)
def test_mutated_files_are_read_or_named(read, seeds, suffix):
    tokens = [*TOKENS, b"item {", b"name: ", b"id: ", b"[", b"]", b"#", b":"] if suffix != ".csv" else TOKENS
    fuzzing.run(read, seeds, EXPECTED, suffix=suffix, tokens=tokens)


def test_a_mutated_parquet_table_is_read_or_named(tmp_path):
    pd.read_csv(io.BytesIO(BOXES)).to_parquet(tmp_path / "seed.parquet")
    fuzzing.run(read_proposals, [(tmp_path / "seed.parquet").read_bytes()], EXPECTED, suffix=".parquet")
