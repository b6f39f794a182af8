"""An option that is off is not in the record, and one that is on comes back."""

from __future__ import annotations

from galenic.record.training import TrainingConfig


def test_an_idle_option_leaves_no_trace_and_another_comes_back() -> None:
    assert "warp" not in TrainingConfig().model_dump(mode="json")
    warped = TrainingConfig(warp=0.03)
    assert warped.model_dump(mode="json")["warp"] == 0.03
    assert TrainingConfig.model_validate_json(warped.model_dump_json()) == warped
    assert TrainingConfig.model_validate_json(TrainingConfig().model_dump_json()) == TrainingConfig()
