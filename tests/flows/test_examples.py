import logging

import pytest
from django.conf import settings as house

from apps.audit.actors import SYSTEM
from apps.flows import testing
from apps.flows.actions import archive_flow, load_examples, save_version
from apps.flows.models import Flow, FlowTestResult
from tests.flows.texts import flow


@pytest.fixture
def examples(tmp_path):
    folder = tmp_path / "examples"
    (folder / "orders" / "data" / "in").mkdir(parents=True)
    (folder / "orders" / "orders.flow").write_text(flow("orders"))
    (folder / "orders" / "data" / "in" / "numbers.csv").write_text("n\n1\n")
    return folder


@pytest.mark.django_db
class TestLoading:
    def test_the_flow_and_its_data_are_brought_in(self, examples, workspaces):
        assert load_examples(by=SYSTEM, folder=examples) == ["orders"]
        assert Flow.objects.get().current.number == 1
        assert (workspaces / "dev" / "in" / "numbers.csv").read_text() == "n\n1\n"

    def test_once(self, examples, workspaces):
        load_examples(by=SYSTEM, folder=examples)
        (workspaces / "dev" / "in" / "numbers.csv").unlink()
        assert load_examples(by=SYSTEM, folder=examples) == []
        assert not (workspaces / "dev" / "in" / "numbers.csv").exists()

    def test_what_a_person_changed_stays(self, examples):
        load_examples(by=SYSTEM, folder=examples)
        orders = Flow.objects.get()
        mine = save_version(by=SYSTEM, text=flow(more="# mine\n"), base_sha256=orders.current.sha256)
        archive_flow(by=SYSTEM, flow=orders)
        assert load_examples(by=SYSTEM, folder=examples) == []
        orders.refresh_from_db()
        assert orders.current == mine
        assert orders.is_archived

    def test_a_file_that_is_there_is_not_overwritten(self, examples, workspaces):
        (workspaces / "dev" / "in").mkdir()
        (workspaces / "dev" / "in" / "numbers.csv").write_text("n\n7\n")
        load_examples(by=SYSTEM, folder=examples)
        assert (workspaces / "dev" / "in" / "numbers.csv").read_text() == "n\n7\n"

    def test_one_that_is_wrong_does_not_keep_the_others_out(self, examples, caplog):
        (examples / "broken").mkdir()
        (examples / "broken" / "broken.flow").write_text("flow broken { }\nstep a = nothing\n")
        with caplog.at_level(logging.WARNING, "apps.flows"):
            assert load_examples(by=SYSTEM, folder=examples) == ["orders"]
        assert "broken.flow" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_the_examples_that_come_with_it_are_right_and_their_tests_pass():
    loaded = load_examples(by=SYSTEM)
    assert len(loaded) == len(list(house.EXAMPLES.glob("*/*.flow")))
    for result in FlowTestResult.objects.all():
        done = testing.execute(result.pk)
        assert done.is_green, [case for case in done.cases if not case["ok"]]
        assert done.total
