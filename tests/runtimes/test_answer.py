from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import expit, softmax

from dicom_files import dicom
from galenic.record.artifact import Artifact
from galenic.record.errors import DataError, InputError
from galenic.record.preprocessing import Frames, Modality, Picture, Preprocessing
from galenic.record.task import TaskKind
from galenic.runtimes.answer import answer_picture, postprocess, prepare, run_raw
from galenic.runtimes.onnxruntime import load

PICTURES = Preprocessing(
    modality=Modality.IMAGE,
    raw_shape=(4, 4, 1),
    scale=1 / 255,
    mean=(0.0,),
    std=(1.0,),
    picture=Picture(frames=Frames.ALL),
)
RAW = np.array([[4.0, 2.0, 6.0], [2.0, 1.0, 0.0], [0.0, -2.0, 2.0]])


def test_rows_are_prepared_as_the_artifact_says(artifact):
    # (4 * 0.5 - 1) / 2 = 0.5; (2 * 0.5 - 0) / 1 = 1; (6 * 0.5 + 1) / 4 = 1
    np.testing.assert_array_equal(prepare(load(artifact()), RAW[:1]), [[0.5, 1.0, 1.0]])


def test_raw_rows_are_answered_in_batches(artifact, oracle):
    session, told = load(artifact()), []
    answers = run_raw(session, RAW, 2, told.append)
    np.testing.assert_allclose(answers, oracle(prepare(session, RAW)), atol=1e-6)
    assert told == [2, 3]


def test_no_raw_rows_give_no_answers(artifact):
    assert run_raw(load(artifact()), RAW[:0]).shape == (0, 2)


def test_a_row_that_is_not_finite_is_named_by_its_number_in_all_rows(artifact):
    raw = RAW.copy()
    raw[2, 1] = np.nan
    with pytest.raises(DataError, match="row 2 has a value that is NaN"):
        run_raw(load(artifact()), raw, 2)


def test_postprocessing_agrees_with_scipy():
    logits = np.random.default_rng(0).normal(0, 40, (50, 4)).astype(np.float32)
    probabilities, chosen = postprocess(logits, TaskKind.SINGLE_LABEL)
    np.testing.assert_allclose(probabilities, softmax(logits.astype(float), axis=1), atol=1e-12)
    np.testing.assert_array_equal(chosen, logits.argmax(axis=1))
    probabilities, chosen = postprocess(logits, TaskKind.MULTI_LABEL)
    np.testing.assert_allclose(probabilities, expit(logits.astype(float)), atol=1e-12)
    np.testing.assert_array_equal(chosen, probabilities > 0.5)


@dataclass
class MeanGrey:
    """A session whose two logits are a picture's mean grey, 0 to 1, and minus it."""

    artifact: Artifact

    def run(self, inputs):
        mean = inputs.mean(axis=(1, 2, 3))
        return np.stack([mean, -mean], axis=1)


def mean_grey(kind=TaskKind.SINGLE_LABEL):
    values = {"path": "m.onnx", "runtime": "r", "precision": "float32", "sha256": "", "size_bytes": 1, "lineage": ()}
    return MeanGrey(Artifact(**values, preprocessing=PICTURES, classes=("light", "dark"), kind=kind))


def test_a_picture_is_answered_from_its_bytes_or_its_path(tmp_path):
    clip = dicom(np.stack([np.full((4, 4), value, np.uint8) for value in (0, 255)]))
    (tmp_path / "clip.dcm").write_bytes(clip)
    for given in (clip, tmp_path / "clip.dcm"):
        answer = answer_picture(mean_grey(), given)
        assert answer.logits.tolist() == [[0, 0], [1, -1]], "a row for each frame"
        # softmax of (1, -1) is 1 / (1 + e**-2)
        np.testing.assert_allclose(answer.probabilities, [[0.5, 0.5], [0.880797, 0.119203]], atol=1e-6)
        assert (answer.kind, answer.decisions.tolist()) == (TaskKind.SINGLE_LABEL, [0, 0])


def test_the_kind_is_the_files_own_or_has_to_be_said():
    white = dicom(np.full((4, 4), 255, np.uint8))
    several = answer_picture(mean_grey(TaskKind.MULTI_LABEL), white)
    np.testing.assert_allclose(several.probabilities, [[0.731059, 0.268941]], atol=1e-6)  # 1 / (1 + 1/e)
    assert several.decisions.tolist() == [[1, 0]]
    with pytest.raises(InputError, match=r"m\.onnx, whose card does not say"):
        answer_picture(mean_grey(None), white)
    assert answer_picture(mean_grey(None), white, kind=TaskKind.MULTI_LABEL).probabilities[0, 0] > 0.7


def test_what_is_no_picture_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.png, which cannot be read"):
        answer_picture(mean_grey(), tmp_path / "none.png")
    with pytest.raises(DataError, match=r"the upload: 3 bytes that are no whole image"):
        answer_picture(mean_grey(), b"abc", name="the upload")
    burned = dicom(np.full((4, 4), 255, np.uint8), BurnedInAnnotation="YES")
    with pytest.raises(DataError, match="Burned In Annotation is YES"):
        answer_picture(mean_grey(), burned)
    assert answer_picture(mean_grey(), burned, burned_in=True).logits.shape == (1, 2)
