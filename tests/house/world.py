"""One of everything, so that every address leads somewhere; and one account of each role."""

from dataclasses import dataclass

from django.test import Client

from apps.accounts.models import RoleGrant, User
from apps.audit.actors import SYSTEM
from apps.common import clock
from apps.deployments.hooks import actions as hooks
from apps.deployments.models import Delivery
from apps.environments import variables
from apps.environments.models import Environment, Service, StackJob
from apps.flows.actions import save_version
from apps.runs.models import Output, Run, StepRun
from apps.testruns.models import CaseResult, LayerResult, TestRun, key_of
from tests.deployments import making
from tests.house.routes import ACCOUNTS, NOBODY, STRANGER

TEXT = """flow orders

source orders = csv("in/orders.csv") {{ columns: {{ id: int, amount: decimal(12, 2) }} }}

step wanted = orders
  | where amount > {least}

sink wanted -> csv("out/orders.csv")
"""
ELSEWHERE = "192.0.2.1"  # not this machine, to which /metrics answers anyway


@dataclass
class World:
    values: dict[str, str]
    clients: dict[str, Client]


def build() -> World:
    dev = Environment.objects.get(slug="dev")
    staging, _ = Environment.objects.get_or_create(slug="staging", defaults={"name": "Staging", "position": 2})
    first = save_version(by=SYSTEM, text=TEXT.format(least=1), base_sha256=None)
    second = save_version(by=SYSTEM, text=TEXT.format(least=2), base_sha256=first.sha256)
    run, in_staging = (_run(second, each) for each in (dev, staging))
    case, case_in_staging = (_case(each) for each in (dev, staging))
    stack, stack_in_staging = (_stack(each) for each in (dev, staging))
    step = StepRun.objects.create(run=run, name="wanted", kind="step", state="succeeded", rows=1)
    output = Output.objects.create(run=run, name="wanted", path="out/orders.csv", rows=1, bytes=10)
    variables.set_variable(by=SYSTEM, environment=staging, name="GREETING", value="hello")
    variables.set_secret(by=SYSTEM, environment=staging, name="API_KEY", value="a-planted-value")
    older, newer = making.keep("one", dev)[0], making.keep("two", dev)[0]
    deployment = making.deployment(dev, newer, previous=older)
    build = making.build(dev, newer)
    hook, _ = hooks.add_source(
        by=SYSTEM,
        name="shop-main",
        environment=staging,
        provider="github",
        repository="/srv/shop.git",
        secret="API_KEY",
    )
    hook_target, _ = hooks.add_target(
        by=SYSTEM, name="chat", environment=staging, url="https://chat.example.org/1", secret="API_KEY"
    )
    delivery = Delivery.objects.create(source=hook, verdict="accepted", status=202, is_signed=True)
    notice = hooks.test(by=SYSTEM, target=hook_target)
    clients = {role: _client(role) for role in ACCOUNTS} | {STRANGER: Client(REMOTE_ADDR=ELSEWHERE)}
    values = {
        "flow": "orders",
        "variables_of": staging.slug,
        "variable": "GREETING",
        "secret": "API_KEY",
        "hook": hook.name,
        "hook_target": hook_target.name,
        "delivery": str(delivery.pk),
        "notice": str(notice.pk),
        "run": str(run.pk),
        "staging_run": str(in_staging.pk),
        "step": step.name,
        "output": str(output.pk),
        "testrun": str(case.test_run_id),
        "case": str(case.pk),
        "staging_testrun": str(case_in_staging.test_run_id),
        "staging_case": str(case_in_staging.pk),
        "stack": str(stack.pk),
        "staging_stack": str(stack_in_staging.pk),
        "older_release": older.name,
        "release": newer.name,
        "deployment": str(deployment.pk),
        "build": str(build.pk),
        "user": str(User.objects.get(username="viewer").pk),
    }
    return World(values, clients)


def _case(environment: Environment) -> CaseResult:
    """A case of a test run that has ended."""
    run = TestRun.objects.create(environment=environment, layers=["L1"], state="failed", finished_at=clock.now())
    LayerResult.objects.create(test_run=run, layer="L1", position=0, status="failed", failed=1)
    names = {"layer": "L1", "source": "L1/a.sh", "title": "it is there"}
    return CaseResult.objects.create(
        test_run=run, environment=environment, status="failed", key=key_of(*names.values()), **names
    )


def _stack(environment: Environment) -> StackJob:
    """A stack that was brought up, with one service."""
    now = clock.now()
    Service.objects.create(
        environment=environment, name="web", container="a-web-1", container_id="a", state="running", seen_at=now
    )
    return StackJob.objects.create(environment=environment, action="up", state="succeeded", finished_at=now)


def _run(version: object, environment: Environment) -> Run:
    now = clock.now()
    return Run.objects.create(
        flow=version.flow,
        version=version,
        environment=environment,
        logical_time=now,
        state="succeeded",
        finished_at=now,
    )


def _client(role: str) -> Client:
    user = User.objects.create_user(role)
    if role != NOBODY:
        RoleGrant.objects.create(user=user, role=role)
    client = Client(REMOTE_ADDR=ELSEWHERE)
    client.force_login(user)
    return client
