"""A model is tested as it was published: its protocol, its score threshold, the person boxes' scores, its decimals."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from avalib import zoo
from avalib.cli.app import main
from avalib.data.ava_csv import write_ava_csv
from avalib.data.keyframe_table import load_keyframes
from avalib.data.layout import DatasetLayout
from avalib.evaluation.inference import build_detections_table
from avalib.evaluation.protocols import CSV_DECIMALS, choose_protocol, describe_test

V0, V1X, KINETICS = (zoo.get(name) for name in ("slowonly_r50", "slowfast_r50_8x8_ava22", "slowonly_r50_8x8_ak"))


@pytest.mark.parametrize(
    ("version", "entry", "protocol"),
    [
        ("v2.1", V0, "mmaction"),
        ("v2.2", V1X, "mmaction1x"),
        ("ava_kinetics", KINETICS, "mmaction1x"),
        ("mini", V1X, "mmaction"),
        ("own", V1X, "frame"),
    ],
)
def test_on_ava_the_protocol_is_the_models(version, entry, protocol):
    assert choose_protocol(DatasetLayout("nowhere", version), entry) == protocol


def test_where_the_published_number_is_from_is_said():
    text = describe_test(KINETICS, "ava2.2", "mmaction1x")
    assert text == "slowonly_r50_8x8_ak was published with 27.82 % on the val split of ava2.2 by mmaction1x."
    assert describe_test(KINETICS, "ava_kinetics", "mmaction1x") == text, "its val split is that of AVA v2.2"
    assert "on ava2.1 by mmaction1x: its mAP can't be compared" in describe_test(KINETICS, "ava2.1", "mmaction1x")
    assert "on ava2.2 by mmaction: its mAP can't be compared" in describe_test(KINETICS, "ava2.2", "mmaction")


@pytest.fixture(scope="module")
def scored(tiny):
    """(keyframes, scores) of the tiny set's proposals: 0.001 for one in three, else 0.5."""
    keyframes = load_keyframes(tiny, "val", 0.5)
    scores = np.full((len(keyframes.proposals_norm), 81), 0.5, np.float32)
    scores[::3] = 0.001
    return keyframes, scores


def test_low_scores_are_left_out_where_the_model_says_so(scored):
    keyframes, scores = scored
    n_proposals = len(scores)
    written = {
        entry.alias: build_detections_table(keyframes, scores, keyframes.proposals_norm, entry) for entry in (V0, V1X)
    }
    assert len(written[V0.alias]) == 80 * n_proposals
    assert len(written[V1X.alias]) == 80 * (n_proposals - len(scores[::3])) and written[V1X.alias].score.min() == 0.5
    assert V1X.score_threshold == 0.002


def test_scores_are_multiplied_by_the_person_boxes_where_the_model_says_so(scored):
    keyframes, scores = scored
    by_person = replace(V0, score_by_person=True)
    plain, times = (
        build_detections_table(keyframes, scores, keyframes.proposals_norm, entry) for entry in (V0, by_person)
    )
    person_scores = keyframes.proposal_scores
    assert (person_scores < 0.95).any(), "else nothing is tested"
    expected = np.sort((scores[:, 1:] * person_scores[:, None]).ravel())
    assert np.allclose(np.sort(times.score), expected) and not np.allclose(times.score, plain.score)


def test_later_versions_write_four_decimals(tmp_path):
    row = ("v", 902.0, 0.078125, 0.083333, 0.472656, 0.9375, 1, 0.455411)
    names = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id", "score"]
    write_ava_csv(pd.DataFrame([row], columns=names), tmp_path / "d.csv", CSV_DECIMALS["mmaction1x"])
    assert (tmp_path / "d.csv").read_text(encoding="utf-8") == "v,902,0.0781,0.0833,0.4727,0.9375,1,0.4554\n"


def test_ava_stands_for_the_version_that_the_model_was_published_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "--model", V1X.alias, "--dataset", "ava"]) != 0
    assert "outputs/runs/ava2.2/slowfast_r50_8x8_ava22" in capsys.readouterr().err.replace("\\", "/")
