"""A rehearsal of the phases that look at a teacher's layers, on untrained nets: a wrong path or shape is found in a second.

Without it the mistake would come to light only when the teacher has been trained, which may take hours.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from galenic.compress.method import Bench, Teacher, TeacherNeed, TrainedMethod
from galenic.pipeline.plan import Phase, Plan
from galenic.pipeline.reference import untrained
from galenic.pipeline.setting import Setting


def rehearse(setting: Setting, plan: Plan) -> None:
    """Let every method that looks at layers find them. Nothing is trained or kept.

    Raises:
        ModelError: a layer is not there, or shapes cannot be matched.
    """
    recipe = plan.recipe
    looking = [phase for phase in plan.phases if looks_at_layers(phase)]
    if not looking or recipe.student is None:
        return
    student = untrained(setting, recipe.student)
    net = untrained(setting, recipe.teacher[0] if recipe.teacher else recipe.reference)
    task = setting.task
    teacher = Teacher(net.lineage[0], "untrained", task.classes, predict=lambda inputs: inputs, model=net)
    with tempfile.TemporaryDirectory() as folder:
        for phase in looking:
            bench = Bench(task, setting.seed, Path(folder), phase.training, (teacher,))
            for method in phase.methods:
                if isinstance(method, TrainedMethod):
                    method.contribute(student, bench)


def looks_at_layers(phase: Phase) -> bool:
    """Whether one of its methods needs more of a teacher than its answers."""
    return any(method.needs_teacher is TeacherNeed.LAYERS for method in phase.methods)
