"""Rows at a state, for the tests of every room. `RunFactory(failed=True)` is a run that has failed."""

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


class _JobFactory(DjangoModelFactory):
    class Meta:
        abstract = True

    state = "queued"
    queue = "flows.dev"
    queued_at = factory.LazyFunction(lambda: ago(seconds=20))
    available_at = factory.SelfAttribute("queued_at")
    send_after = factory.LazyFunction(clock.now)
    requested_by = "ann"

    class Params:
        begun = factory.Trait(
            attempt=1, fence=1, worker="worker@here", started_at=factory.LazyFunction(lambda: ago(seconds=10))
        )
        over = factory.Trait(begun=True, finished_at=factory.LazyFunction(clock.now))
        running = factory.Trait(
            begun=True, state="running", lease_expires_at=factory.LazyFunction(lambda: ago(seconds=-60))
        )
        lost = factory.Trait(begun=True, state="running", lease_expires_at=factory.LazyFunction(lambda: ago(seconds=5)))
        succeeded = factory.Trait(over=True, state="succeeded", progress=1.0)
        failed = factory.Trait(over=True, state="failed", message="It went wrong. Do it better.")
        cancelled = factory.Trait(over=True, state="cancelled", message="Cancelled by ann.")


class RunFactory(_JobFactory):
    """A queued run; `running`, `lost`, `succeeded`, `failed`, `cancelled` =True put it there."""

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

    run = factory.SubFactory(RunFactory, succeeded=True)
    name = "small"
    path = "out/small.csv"
    rows = 3
    bytes = 30
