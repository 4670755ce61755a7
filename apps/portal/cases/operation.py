"""L3 operation: whether the services reach each other, and what a flow does comes out right."""

import tempfile
from pathlib import Path

import redis
from django.conf import settings
from django.db import connection, transaction

from apps.common import clock
from apps.engine.process import FlowProcess
from apps.engine.spec import RunOutcome, RunSpec
from apps.environments.models import Environment
from apps.jobs import queries, workers
from apps.testruns.cases.checks import Skip, check
from apps.testruns.cases.model import Place

FLOW = """flow operation {}
source orders = csv("orders.csv") { columns: { id: int, customer: text, amount: decimal(12, 2) } }
step paid = orders | where amount is not null
step totals = paid | group by customer { total = sum(amount), n = count() } | sort customer
expect paid { unique(id) fail }
sink totals -> csv("totals.csv")
"""
ORDERS = "id,customer,amount\n1,a,10.00\n2,a,5.50\n3,b,1.25\n4,b,\n"
TOTALS = "customer,total,n\na,15.50,2\nb,1.25,1\n"


def _run(folder: Path, orders: str) -> RunOutcome:
    (folder / "orders.csv").write_text(orders)
    process = FlowProcess(RunSpec(FLOW, "operation.flow", folder, {}, clock.now(), "run-check", memory_bytes=512 << 20))
    process.start()
    return process.outcome


@check("L3", title="the database takes a write and gives it back", timeout=20)
def database_answers() -> None:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE case_of_operation (x integer)")
            cursor.execute("INSERT INTO case_of_operation VALUES (42)")
            cursor.execute("SELECT x FROM case_of_operation")
            assert cursor.fetchone() == (42,), "what was written is not what is read"
            cursor.execute("DROP TABLE case_of_operation")
    finally:
        connection.close()


@check("L3", title="the bus takes a message and gives it back", timeout=20)
def bus_answers() -> None:
    client = redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=5)
    name = f"case-of-operation-{clock.now().timestamp()}"
    try:
        client.rpush(name, "here")
        client.expire(name, 60)
        assert client.lpop(name) == b"here", "what was sent did not come back"
    except redis.ConnectionError as error:
        if not workers.alive():
            raise Skip("the portal does not run here: start it with `make run`") from error
        raise AssertionError(f"the bus does not answer: {error}") from error
    finally:
        client.close()
        connection.close()


@check("L3", title="a worker takes work from this environment's queue", timeout=20)
def worker_is_alive(place: Place) -> None:
    try:
        queue = Environment.objects.get(slug=place.environment).queue
        if not workers.alive():
            raise Skip("no worker is alive: start the portal with `make run`")
        assert workers.alive(queue), f"workers are alive, but none takes work from {queue}: start one for it"
    finally:
        connection.close()


@check("L3", title="the controller minds what is lost", timeout=20)
def controller_ticks() -> None:
    try:
        if not workers.alive():
            raise Skip("the portal does not run here: start it with `make run`")
        readiness = queries.readiness()
        assert readiness["ready"], " ".join(readiness["reasons"])
    finally:
        connection.close()


@check("L3", title="a flow's data goes in and comes out right", timeout=60)
def data_comes_out_right() -> None:
    with tempfile.TemporaryDirectory(prefix="case-") as name:
        outcome = _run(Path(name), ORDERS)
        assert outcome.status == "succeeded", f"the flow {outcome.status}: {outcome.error}"
        assert (Path(name) / "totals.csv").read_text() == TOTALS, "the totals are wrong"


@check("L3", title="an error in a flow is told, and what depends on it does not happen", timeout=60)
def errors_stop_what_depends() -> None:
    with tempfile.TemporaryDirectory(prefix="case-") as name:
        folder = Path(name)
        (folder / "totals.csv").write_text("the old one\n")
        outcome = _run(folder, ORDERS + "1,a,1.00\n")
        assert outcome.status == "failed", "a broken expectation did not fail the flow"
        assert (outcome.error or {}).get("code") == "E530", f"the error is another: {outcome.error}"
        assert (folder / "totals.csv").read_text() == "the old one\n", "the old output was replaced"
