"""Where a flow is cut into stages: at a step that is read more than once, checked, sunk, or read by nobody, and where a
statement would grow too long."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from apps.engine.pruning import Names, Needs, all_names, names_in, step_needs
from apps.language.plan import Check, JoinTo, Plan, SinkTable, StepTable, UnionWith

LONGEST = 250  # operations in a statement: DuckDB follows a chain of not quite a thousand


@dataclass(frozen=True, slots=True)
class Cut:
    """One stage to be: the step whose rows it gives, and those computed on the way, in order, the step last."""

    step: StepTable
    steps: tuple[StepTable, ...]
    keeps: bool  # the rows are read again: by later stages, checks or further sinks
    sinks: tuple[SinkTable, ...]


def cut(plan: Plan, targets: Collection[str] = ()) -> list[Cut]:
    """The stages of a plan, in an order in which each comes after what it reads. `targets` are steps to keep, too."""
    reads = Counter(name for step in plan.steps for name in _reads(step))
    checked = {name for check in plan.checks for name in (check.step, check.other)} | set(targets)
    fused: dict[str, list[StepTable]] = {}  # steps that wait for their one reader
    cuts = []
    for step in plan.steps:
        before: list[StepTable] = []
        for name in plan.inputs_of(step):
            before += fused.pop(name, [])
        steps = [*before, step]
        sinks = tuple(sink for sink in plan.sinks if sink.step == step.name)
        short = sum(len(each.operations) + 1 for each in steps) <= LONGEST
        if not sinks and step.name not in checked and reads[step.name] == 1 and short:
            fused[step.name] = steps
        else:
            keeps = step.name in checked or reads[step.name] > 0 or len(sinks) != 1
            cuts.append(Cut(step, tuple(steps), keeps, sinks))
    return cuts


def names_of(plan: Plan) -> list[str]:
    return [source.name for source in plan.sources] + [step.name for step in plan.steps]


def needs_of(plan: Plan, cuts: list[Cut], targets: Collection[str] = ()) -> dict[str, Needs]:
    """What each step needs, and by it what each has to give, so that no column is computed for nobody."""
    wanted: dict[str, set[str]] = {name: set() for name in names_of(plan)}
    whole = set(targets) | {item.step.name for item in cuts if item.sinks} | _leaves(plan, cuts)
    for check in plan.checks:
        wanted[check.step] |= columns_of(check)
        if check.other:
            wanted[check.other] |= set(check.other_columns)
    found: dict[str, Needs] = {}
    for step in reversed(plan.steps):
        names = all_names(step.columns) if step.name in whole else frozenset(wanted[step.name])
        found[step.name] = step_needs(step, plan.schema_of(step.input), names)
        for name, columns in found[step.name].inputs:
            wanted[name] |= columns
    return found


def wanted_of(plan: Plan, needs: dict[str, Needs], name: str) -> Names:
    """The columns that all steps together read of a source."""
    return frozenset().union(*(columns for need in needs.values() for of, columns in need.inputs if of == name))


def columns_of(check: Check) -> Names:
    return frozenset(check.columns) | names_in([check.test])


def _leaves(plan: Plan, cuts: list[Cut]) -> set[str]:
    """Steps that no other reads: somebody looks at their rows, so they are whole."""
    read = {name for step in plan.steps for name in _reads(step)}
    return {item.step.name for item in cuts if item.step.name not in read}


def _reads(step: StepTable) -> list[str]:
    """What the step reads, as often as it does."""
    names = [step.input]
    for operation in step.operations:
        match operation:
            case JoinTo(right=name) | UnionWith(other=name):
                names.append(name)
    return names
