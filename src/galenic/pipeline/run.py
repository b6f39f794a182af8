"""The main job: a recipe in, a verified file and its report out.

    reference -> (student alone) -> phases -> files -> validation -> choice -> gate on the test set -> report
Candidates are compared on validation. The test set is read once, by the gate, for the chosen file and the reference.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from galenic.gating.budget import Timed, accuracy_floor, check_budget
from galenic.pipeline.assemble import RunFacts, assemble_report
from galenic.pipeline.chain import Finished, run_chain
from galenic.pipeline.choice import choose
from galenic.pipeline.footprint import footprint_of, footprint_sentence
from galenic.pipeline.gate_stage import gate_stage
from galenic.pipeline.plan import check_plan_against, make_plan
from galenic.pipeline.run_folder import write_run
from galenic.pipeline.setting import Setting
from galenic.record.errors import ExitCode
from galenic.record.gate import GateResult
from galenic.record.measurement import Footprint
from galenic.record.profile import BudgetResult, Profile
from galenic.record.progress import Progress, silent
from galenic.record.recipe import Recipe
from galenic.record.report import Report
from galenic.store.stages import Store
from galenic.tasks.load import load_task


@dataclass(frozen=True)
class Outcome:
    """What a run leaves: its report, the folder that holds it, and the exit code of the command line."""

    report: Report
    folder: Path

    @property
    def exit_code(self) -> ExitCode:
        """The gate's, or BUDGET where the gate passed and a limit was missed."""
        code = self.report.gate.verdict.exit_code
        missed = self.report.budget is not None and self.report.budget.missed
        return ExitCode.BUDGET if missed and code is ExitCode.PASS else code


def compress(recipe: Recipe, store: Store, progress: Progress = silent) -> Outcome:
    """Run a recipe. What is finished already is taken from the store, so a run that was killed goes on."""
    started, clock = datetime.now(UTC), time.monotonic()
    plan = make_plan(recipe)
    progress("loading the task", 0, 1)
    data = recipe.task
    task = load_task(data.source, overlap=data.overlap, transfer=data.transfer, **data.options)
    progress("loading the task", 1, 1)
    check_plan_against(task, plan)
    setting = Setting(task, store, recipe.seed, recipe.threads, progress)
    chain = run_chain(setting, plan)
    chosen = choose(recipe.choose, chain.last, plan.profile)
    gate = gate_stage(setting, recipe.gate, chosen.file.artifact, chain.reference.artifact)
    taken = footprint_of(setting, plan.profile, chosen.file.artifact)
    if taken is not None:
        chain = replace(chain, notes=(*chain.notes, footprint_sentence(taken)))
    budget = budget_of(plan.profile, chosen.file, gate, taken) if plan.profile else None
    facts = RunFacts(started.isoformat(timespec="seconds"), time.monotonic() - clock)
    report = assemble_report(setting, chain, chosen, gate, budget, facts)
    return Outcome(report, write_run(store, report, chain.all))


def budget_of(profile: Profile, chosen: Finished, gate: GateResult, taken: Footprint | None = None) -> BudgetResult:
    """The chosen file beside the profile's limits."""
    latency = chosen.measured.latency
    here = Timed(latency.p90, chosen.measured.memory_peak_mb, latency.where, latency.caveat)
    return check_budget(profile, chosen.artifact, here, taken, accuracy_floor(gate))
