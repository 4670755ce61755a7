"""Figures and lists: right, at a fixed number of queries, and answered from an index."""

from datetime import timedelta

import pytest
from django.db import connection

from apps.common import clock
from apps.runs import queries
from apps.runs.models import Run
from tests.factories import (
    EnvironmentFactory,
    FlowFactory,
    FlowVersionFactory,
    OutputFactory,
    RunFactory,
    StepRunFactory,
    ago,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def orders():
    return FlowVersionFactory(flow__name="orders")


@pytest.fixture
def visits():
    return FlowVersionFactory(flow__name="visits")


def plan_of(rows):
    """How SQLite would answer a queryset."""
    sql, values = rows.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", values)
        return [row[3] for row in cursor.fetchall()]


class TestFiltered:
    def test_by_flow_state_and_environment(self, orders, visits):
        staging = EnvironmentFactory(slug="staging")
        one = RunFactory(version=orders, at="failed")
        two = RunFactory(version=visits, at="lost")
        three = RunFactory(version=visits, environment=staging)
        assert list(queries.filtered(flow="orders")) == [one]
        assert set(queries.filtered(flow="s")) == {one, two, three}
        assert list(queries.filtered(state="lost")) == [two]
        assert list(queries.filtered(state="running")) == [two]
        assert list(queries.filtered(flow="visits", environment="staging", state="queued")) == [three]
        assert list(queries.filtered(flow="no\0such")) == []
        assert list(queries.filtered(environment="moon")) == []

    def test_the_name_itself_is_meant_before_a_part_of_it(self, orders):
        RunFactory(version=FlowVersionFactory(flow__name="orders_daily"))
        one = RunFactory(version=orders)
        assert list(queries.filtered(flow="orders")) == [one]

    def test_a_page_is_one_query_and_reads_no_text(self, orders, django_assert_num_queries):
        for _ in range(3):
            RunFactory(version=orders, at="succeeded", outcome={"steps": []})
        with django_assert_num_queries(1) as seen:
            shown = [(run.flow.name, run.version.number, run.environment.slug) for run in queries.filtered()]
        assert len(shown) == 3
        assert '"text"' not in seen[0]["sql"]
        assert '"outcome"' not in seen[0]["sql"]

    @pytest.mark.skipif("connection.vendor != 'sqlite'", reason="reads SQLite's plan")
    @pytest.mark.parametrize(
        "filters", [{}, {"flow": "orders"}, {"state": "failed"}, {"environment": "dev"}, {"state": "lost"}]
    )
    def test_a_page_is_found_by_an_index(self, orders, filters):
        RunFactory(version=orders)
        steps = plan_of(queries.filtered(**filters).order_by("-pk")[:51])
        scanned = [step for step in steps if step.startswith("SCAN runs_run") and "USING" not in step]
        assert scanned == ([] if filters else ["SCAN runs_run"])  # newest first, to the fifty-first, by its key
        if filters and filters != {"state": "lost"}:
            assert not any("TEMP B-TREE" in step for step in steps), steps


class TestDetail:
    def test_all_of_a_run_in_four_queries(self, orders, django_assert_num_queries):
        run = RunFactory(version=orders, at="succeeded")
        for number in range(5):
            StepRunFactory(run=run, position=number)
        with django_assert_num_queries(4):
            found = queries.detail(run.pk)
            assert (len(found.steps.all()), len(found.checks.all()), len(found.outputs.all())) == (5, 0, 0)
        assert queries.detail(run.pk + 1) is None


class TestLastRuns:
    def test_the_newest_of_each_flow(self, orders, visits, django_assert_num_queries):
        never = FlowFactory()
        RunFactory(version=orders)
        two, three = RunFactory(version=visits), RunFactory(version=orders, at="failed")
        with django_assert_num_queries(2):
            found = queries.newest_of([orders.flow, visits.flow, never])
        assert found == {orders.flow.pk: three, visits.flow.pk: two}

    def test_the_last_ones_of_each_flow_oldest_first(self, orders, visits, django_assert_num_queries):
        runs = [RunFactory(version=orders) for _ in range(5)]
        other, never = RunFactory(version=visits), FlowFactory()
        with django_assert_num_queries(2):
            found = queries.last_of([orders.flow, visits.flow, never], most=3)
        assert found == {orders.flow.pk: runs[2:], visits.flow.pk: [other]}
        with django_assert_num_queries(0):
            assert [run.display_state for run in found[orders.flow.pk]] == ["queued"] * 3

    def test_the_flows_that_ran_last(self, orders, visits):
        RunFactory(version=visits)
        RunFactory(version=orders)
        never = FlowVersionFactory(flow__name="never").flow
        FlowVersionFactory(flow=FlowFactory(archived=True))
        assert queries.by_last_run(10) == [orders.flow, visits.flow, never]
        assert queries.by_last_run(1) == [orders.flow]


class TestTroubled:
    def test_the_newest_of_a_flow_that_failed_or_is_lost(self, orders, visits):
        RunFactory(version=orders, at="failed")
        RunFactory(version=orders, at="succeeded")
        lost = RunFactory(version=visits, at="lost")
        staging = EnvironmentFactory(slug="staging")
        failed = RunFactory(version=orders, environment=staging, at="failed")
        RunFactory(version=FlowVersionFactory(flow=FlowFactory(archived=True)), at="failed")
        RunFactory(at="running")
        assert queries.troubled() == [failed, lost]

    def test_the_queries_do_not_grow_with_flows(self, orders, django_assert_num_queries):
        for _ in range(5):
            RunFactory(at="failed")
        with django_assert_num_queries(3):  # environments, the newest runs in the one there is, those in trouble
            assert len(queries.troubled()) == 5


class TestReplaced:
    def test_by_the_newest_that_wrote_the_same_path(self):
        first, second = OutputFactory(), OutputFactory()
        OutputFactory(path="out/other.csv")
        OutputFactory(run__environment=EnvironmentFactory(slug="staging"))
        assert queries.replaced_by(first) == second.run
        assert queries.replaced_by(second) is None


class TestFigures:
    def test_now(self):
        RunFactory(at="running")
        RunFactory(at="lost")
        waiting = RunFactory(queued_at=ago(minutes=5))
        RunFactory(queued_at=ago(minutes=9), available_at=clock.now() + timedelta(hours=1))
        now = queries.live()
        assert (now.running, now.lost, now.queued, now.oldest) == (2, 1, 2, waiting.queued_at)

    def test_nothing_at_all(self):
        now, day = queries.live(), queries.last_day()
        assert (now.running, now.queued, now.oldest) == (0, 0, None)
        assert (day.finished, day.success, day.median, day.longest) == (0, None, None, None)

    def test_the_last_24_hours(self):
        for seconds in (1, 3, 50):
            RunFactory(at="succeeded", started_at=ago(seconds=seconds + 9), finished_at=ago(seconds=9))
        RunFactory(at="failed")
        RunFactory(at="cancelled")
        RunFactory(at="failed", finished_at=ago(hours=25))
        day = queries.last_day()
        assert (day.finished, day.succeeded, day.failed, day.success) == (5, 3, 1, 0.75)
        assert round(day.median.total_seconds()) == 3
        assert round(day.longest.total_seconds()) == 50

    def test_each_of_the_last_days_is_there(self):
        RunFactory(at="succeeded")
        RunFactory(at="failed", queued_at=ago(days=2))
        RunFactory(queued_at=ago(days=2))
        RunFactory(at="failed", queued_at=ago(days=15))
        days = queries.per_day()
        assert len(days) == 14
        assert (days[-1].succeeded, days[-1].total) == (1, 1)
        assert (days[-3].failed, days[-3].total) == (1, 2)
        assert sum(day.total for day in days) == 3

    def test_by_environment_and_state(self):
        EnvironmentFactory(slug="staging")
        RunFactory(at="lost")
        RunFactory(at="running")
        RunFactory(at="failed")
        assert queries.live_counts() == {
            "dev": {"queued": 0, "running": 2, "lost": 1},
            "staging": {"queued": 0, "running": 0, "lost": 0},
        }
        assert queries.ended_counts()["dev"] == {"succeeded": 0, "failed": 1, "cancelled": 0}

    def test_a_fixed_number_of_queries(self, django_assert_num_queries):
        for state in ("queued", "running", "lost", "succeeded", "failed", "cancelled"):
            RunFactory(at=state)
        with django_assert_num_queries(2):
            queries.live()
        with django_assert_num_queries(3):
            queries.last_day()
        with django_assert_num_queries(1):
            queries.per_day()

    @pytest.mark.skipif("connection.vendor != 'sqlite'", reason="reads SQLite's plan")
    def test_history_is_not_read(self):
        RunFactory(at="succeeded")
        window = clock.now() - queries.DAY
        for rows in (Run.objects.filter(finished_at__gte=window), Run.objects.filter(queued_at__gte=window)):
            assert any("SEARCH" in step for step in plan_of(rows.values("state"))), plan_of(rows.values("state"))
        for rows in (Run.objects.running(), Run.objects.queued()):
            assert any("runs_run USING" in step for step in plan_of(rows)), plan_of(rows)
