"""Stage: what a net in C takes of a microcontroller that QEMU plays. No chip is here, so its time stays unmeasured."""

from __future__ import annotations

from galenic.pipeline.setting import Setting
from galenic.preprocess.transform import to_inputs
from galenic.record.artifact import Artifact
from galenic.record.measurement import Footprint
from galenic.record.profile import Profile
from galenic.runtimes import c, c_cortex_m

ROWS = 8


def has_board(runtime: str, profile: Profile | None) -> bool:
    """Whether files of ``runtime`` for the profile's device run on a board here; MissingPackage where its programs are not."""
    fits = profile is not None and runtime == c.NAME and profile.device in c_cortex_m.BOARDS
    if fits:
        c_cortex_m.require()
    return fits


def footprint_sentence(taken: Footprint) -> str:
    """For the notes of a report."""
    return (
        f"On {taken.where}: {taken.flash_bytes:,} bytes of flash for code and weights, {taken.ram_bytes:,} bytes of RAM "
        f"({taken.stack_bytes:,} of them the deepest stack), {taken.instructions:,} instructions an answer."
    )


def footprint_of(setting: Setting, profile: Profile | None, artifact: Artifact) -> Footprint | None:
    """Flash, RAM and instructions of a net in C on the profile's device; None where that is no board that is played here."""
    if profile is None or not has_board(artifact.runtime, profile):
        return None
    inputs = {"artifact": artifact.computation, "device": profile.device, "version": c_cortex_m.VERSION}
    stage = setting.store.stage("footprint", inputs)
    with stage.locked():
        if stage.result is None:
            session = c_cortex_m.load(artifact, artifact.path.read_bytes(), profile.device)
            session.run(to_inputs(artifact.preprocessing, setting.task.validation.inputs[:ROWS]))
            stage.finish(session.footprint().model_dump(mode="json"))
        return Footprint.model_validate(stage.result)
