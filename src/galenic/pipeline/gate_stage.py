"""The gate's stage: the only place that reads a test set. The read is entered in the ledger, with its margins, first."""

from __future__ import annotations

from galenic.gating.gate import judge
from galenic.pipeline.file_stages import predict_stage
from galenic.pipeline.setting import Setting
from galenic.record.artifact import Artifact
from galenic.record.gate import GateResult
from galenic.record.recipe import GateRecipe
from galenic.record.task import SplitName
from galenic.store.ledger import Read


def gate_stage(setting: Setting, gate: GateRecipe, artifact: Artifact, reference: Artifact) -> GateResult:
    """Judge the artifact against the reference on the test set; the same question is answered from the store."""
    split_hash = setting.task.split_hashes[SplitName.TEST.value]
    inputs = {
        "gate": gate.model_dump(mode="json"),
        "artifact": artifact.computation,
        "reference": reference.computation,
        "question": setting.task.question_hash(SplitName.TEST),
    }
    stage = setting.store.stage("gate", inputs)
    with stage.locked():
        if stage.result is None:
            read = Read(
                split_hash=split_hash,
                purpose="gate",
                subject=artifact.sha256,
                margins=gate.margins,
                floors=gate.floors,
                alpha=gate.alpha,
            )
            reads = setting.ledger.enter(read)
            setting.progress("gate on the test set", 0, 1)
            judged = predict_stage(setting, artifact, SplitName.TEST)
            trusted = predict_stage(setting, reference, SplitName.TEST)
            result = judge(judged, trusted, gate.margins, gate.floors, alpha=gate.alpha, reads=reads)
            stage.finish(result.model_dump(mode="json"))
            setting.progress("gate on the test set", 1, 1)
        return GateResult.model_validate(stage.result)
