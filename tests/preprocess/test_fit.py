import numpy as np
import pytest

from galenic.preprocess import fit
from galenic.preprocess.fit import channel_moments, fit_preprocessing
from galenic.preprocess.transform import to_inputs
from galenic.record.errors import DataError
from galenic.record.preprocessing import Modality, Preprocessing


def test_mean_and_std_by_hand():
    raw = np.array([[[0, 5], [2, 5]], [[4, 5], [6, 5]]], dtype=np.int16)  # channel 0: 0 2 4 6, channel 1 constant
    spec = fit_preprocessing(Modality.SIGNAL, raw, 1.0)
    assert spec.mean == (3.0, 5.0)
    assert spec.std == (2.23607, 1.0)  # sqrt(5) to 6 digits
    assert spec.raw_shape == (2, 2)


def test_scale_applies_to_both():
    raw = np.array([[[[0]], [[255]]]], dtype=np.uint8)
    spec = fit_preprocessing(Modality.IMAGE, raw, 1 / 255)
    assert spec.mean == (0.5,)
    assert spec.std == (0.5,)


def test_a_constant_black_channel_gets_std_one():
    assert fit_preprocessing(Modality.IMAGE, np.zeros((3, 2, 2, 1), dtype=np.uint8), 1 / 255).std == (1.0,)


def test_six_digits_survive_json():
    raw = np.random.default_rng(0).normal(3.3, 1.7, (50, 4))
    spec = fit_preprocessing(Modality.TABLE, raw, 1.0)
    assert Preprocessing.model_validate_json(spec.model_dump_json()) == spec
    assert all(float(f"{value:.6g}") == value for value in (*spec.mean, *spec.std))


def test_chunks_do_not_change_the_moments(monkeypatch):
    raw = np.random.default_rng(1).integers(0, 255, (37, 5, 5, 3)).astype(np.uint8)
    monkeypatch.setattr(fit, "_CHUNK_VALUES", 100)
    mean, std = channel_moments(raw)
    np.testing.assert_allclose(mean, raw.reshape(-1, 3).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(std, raw.reshape(-1, 3).std(axis=0), rtol=1e-12)


def test_fitted_inputs_are_standard():
    raw = np.random.default_rng(2).normal(100, 20, (400, 3)).astype(np.float32)
    inputs = to_inputs(fit_preprocessing(Modality.TABLE, raw, 1.0), raw)
    np.testing.assert_allclose(inputs.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(inputs.std(axis=0), 1, atol=1e-4)


def test_no_rows_are_refused():
    with pytest.raises(DataError, match="no training rows"):
        fit_preprocessing(Modality.TABLE, np.zeros((0, 3)), 1.0)
