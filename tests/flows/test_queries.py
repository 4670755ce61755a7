import pytest

from apps.audit.actors import SYSTEM
from apps.flows import queries
from apps.flows.actions import save_version
from tests.factories import FlowFactory, FlowTestResultFactory, FlowVersionFactory
from tests.flows.texts import flow

pytestmark = pytest.mark.django_db


def names(rows):
    return [each.name for each in rows]


class TestListed:
    def test_in_use_by_name(self):
        FlowVersionFactory(flow__name="visits")
        FlowVersionFactory(flow__name="orders")
        FlowVersionFactory(flow=FlowFactory(name="old", archived=True))
        FlowFactory(name="empty")
        assert names(queries.listed()) == ["orders", "visits"]
        assert names(queries.listed(archived=True)) == ["old"]

    def test_every_word_has_to_be_in_it(self):
        FlowVersionFactory(flow__name="orders_daily", flow__description="Revenue of the shop")
        FlowVersionFactory(flow__name="visits_daily", flow__description="People in the shop")
        assert names(queries.listed("DAILY shop")) == ["orders_daily", "visits_daily"]
        assert names(queries.listed("daily revenue")) == ["orders_daily"]
        assert names(queries.listed("no\0such")) == []

    def test_it_reads_no_text(self, django_assert_num_queries):
        FlowVersionFactory()
        with django_assert_num_queries(1) as seen:
            assert queries.listed()[0].current.number == 1
        assert '"text"' not in seen[0]["sql"]


class TestVersions:
    def test_newest_first_and_what_each_was_written_on(self):
        orders = FlowFactory()
        for _ in range(3):
            FlowVersionFactory(flow=orders)
        found = [(each.number, each.previous) for each in queries.versions_of(orders)]
        assert found == [(3, 2), (2, 1), (1, None)]

    def test_the_head_is_read_anew(self):
        first = save_version(by=SYSTEM, text=flow())
        stale = first.flow
        second = save_version(by=SYSTEM, text=flow(more="# more\n"), base_sha256=first.sha256)
        assert queries.head_for(stale, "") == second
        assert queries.head_for(None, flow()) == second

    @pytest.mark.parametrize("text", ["", flow("unknown")])
    def test_no_head_for_what_is_no_flow(self, text):
        assert queries.head_for(None, text) is None


class TestResults:
    def test_the_newest_of_each_version(self, django_assert_num_queries):
        one, two = FlowVersionFactory(), FlowVersionFactory()
        FlowTestResultFactory(version=one, at="succeeded", failed=1)
        newest = FlowTestResultFactory(version=one, at="succeeded", passed=2)
        with django_assert_num_queries(1):
            found = queries.test_counts([one.pk, two.pk, None])
        assert found == {one.pk: newest}
        assert (found[one.pk].total, found[one.pk].outcome) == (2, "passed")

    def test_its_cases(self):
        version = FlowVersionFactory()
        assert queries.test_results(version) == []
        case = {"title": "a", "ok": True, "message": "", "seconds": 0.1}
        FlowTestResultFactory(version=version, at="succeeded", passed=1, cases=[case])
        assert queries.test_results(version) == [case]

    @pytest.mark.parametrize(
        ("state", "outcome"),
        [
            ("queued", "pending"),
            ("running", "pending"),
            ("lost", "pending"),
            ("failed", "error"),
            ("cancelled", "error"),
        ],
    )
    def test_no_other_state_is_green(self, state, outcome):
        result = FlowTestResultFactory(at=state)
        assert (result.outcome, result.is_green) == (outcome, False)
