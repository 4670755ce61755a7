"""Rows at a state, for the tests of every room. `RunFactory(at="failed")` is a run that has failed."""

from datetime import timedelta

import factory
from factory.django import DjangoModelFactory

from apps.common import clock, files
from apps.environments.models import Environment
from apps.flows.models import Flow, FlowTestResult, FlowVersion
from apps.runs.models import Output, Run, RunCheck, StepRun

TEXT = """flow {name} {{ description: "Counts" }}
source numbers = csv("in/numbers.csv") {{ columns: {{ n: int }} }}
step small = numbers | where n < 10
sink small -> csv("out/{name}.csv")
"""


def ago(**amount):
    return clock.now() - timedelta(**amount)


class EnvironmentFactory(DjangoModelFactory):
    """dev, which the migrations made, unless another slug is given."""

    class Meta:
        model = Environment
        django_get_or_create = ("slug",)

    slug = "dev"
    name = factory.LazyAttribute(lambda it: it.slug.title())


class FlowFactory(DjangoModelFactory):
    """A flow with no version; FlowVersionFactory makes both."""

    class Meta:
        model = Flow

    name = factory.Sequence(lambda number: f"flow_{number}")
    description = "Counts"

    class Params:
        archived = factory.Trait(archived_at=factory.LazyFunction(clock.now), archived_by="somebody")


class FlowVersionFactory(DjangoModelFactory):
    """A version, which is then its flow's current one. The text is small and right, and nobody has checked it."""

    class Meta:
        model = FlowVersion
        skip_postgeneration_save = True

    flow = factory.SubFactory(FlowFactory)
    number = factory.LazyAttribute(lambda it: FlowVersion.objects.filter(flow=it.flow).count() + 1)
    text = factory.LazyAttribute(lambda it: TEXT.format(name=it.flow.name) + f"# {it.number}\n")
    sha256 = factory.LazyAttribute(lambda it: files.sha256(it.text))
    parent = factory.LazyAttribute(lambda it: it.flow.current)
    created_by = "ann"

    @factory.post_generation
    def current(self, create, extracted, **kwargs):
        if create and extracted is not False:
            self.flow.current = self
            self.flow.save()


def _begun(it):
    return it.at != "queued"


def _over(it):
    return it.at in ("succeeded", "failed", "cancelled")


class _JobFactory(DjangoModelFactory):
    """`at`: queued, running, lost, succeeded, failed or cancelled; the other columns are as they are in that state."""

    class Meta:
        abstract = True

    class Params:
        at = "queued"

    state = factory.LazyAttribute(lambda it: "running" if it.at == "lost" else it.at)
    queue = "flows.dev"
    queued_at = factory.LazyFunction(lambda: ago(seconds=20))
    available_at = factory.SelfAttribute("queued_at")
    send_after = factory.LazyFunction(clock.now)
    requested_by = "ann"
    attempt = factory.LazyAttribute(lambda it: int(_begun(it)))
    fence = factory.SelfAttribute("attempt")
    worker = factory.LazyAttribute(lambda it: "worker@here" if _begun(it) else "")
    started_at = factory.LazyAttribute(lambda it: ago(seconds=10) if _begun(it) else None)
    finished_at = factory.LazyAttribute(lambda it: clock.now() if _over(it) else None)
    lease_expires_at = factory.LazyAttribute(
        lambda it: {"running": ago(seconds=-60), "lost": ago(seconds=5)}.get(it.at)
    )
    progress = factory.LazyAttribute(lambda it: float(it.at == "succeeded"))
    message = factory.LazyAttribute(lambda it: "It went wrong. Do it better." if it.at == "failed" else "")


class RunFactory(_JobFactory):
    """A run in dev; `at` says in which state."""

    class Meta:
        model = Run

    version = factory.SubFactory(FlowVersionFactory)
    flow = factory.SelfAttribute("version.flow")
    environment = factory.SubFactory(EnvironmentFactory)
    logical_time = factory.LazyFunction(clock.now)


class FlowTestResultFactory(_JobFactory):
    class Meta:
        model = FlowTestResult

    version = factory.SubFactory(FlowVersionFactory)


class StepRunFactory(DjangoModelFactory):
    class Meta:
        model = StepRun

    run = factory.SubFactory(RunFactory)
    name = factory.Sequence(lambda number: f"step_{number}")
    kind = "step"


class RunCheckFactory(DjangoModelFactory):
    class Meta:
        model = RunCheck

    run = factory.SubFactory(RunFactory)
    step = "small"
    rule = "n < 10"
    severity = "fail"
    ok = True


class OutputFactory(DjangoModelFactory):
    class Meta:
        model = Output

    run = factory.SubFactory(RunFactory, at="succeeded")
    name = "small"
    path = "out/small.csv"
    rows = 3
    bytes = 30
