import hashlib

import pytest
from django.db import Error, connection, transaction

from apps.accounts.policy import Denied
from apps.audit.actors import SYSTEM
from apps.audit.models import AuditEvent
from apps.flows.actions import (
    FlowInvalid,
    SaveConflict,
    archive_flow,
    restore_flow,
    save_version,
    test_again,
)
from apps.flows.models import Flow, FlowTestResult, FlowVersion, NeverChangedError
from tests.flows.texts import flow
from tests.portal.people import person

pytestmark = pytest.mark.django_db
test_again.__test__ = False


def save(text, **more):
    return save_version(by=SYSTEM, text=text, **more)


def codes(refused):
    return [each.code for each in refused.value.diagnostics if each.is_error]


class TestVersions:
    def test_the_first_save_makes_the_flow(self):
        version = save(flow("orders"))
        assert (version.number, version.flow.name, version.flow.description) == (1, "orders", "Counts")
        assert Flow.objects.get().current == version

    def test_its_name_is_the_digest_of_its_text(self):
        text = flow("orders", "# Zürich\n")
        version = save(text)
        assert version.text == text
        assert version.sha256 == hashlib.sha256(text.encode()).hexdigest()

    def test_the_next_one_stands_on_it(self):
        first = save(flow())
        second = save(flow(more="# more\n"), base_sha256=first.sha256, note="more")
        assert (second.number, second.parent, second.note) == (2, first, "more")

    def test_the_same_text_again_is_the_same_version(self, sent):
        first = save(flow())
        assert save(flow(), base_sha256=first.sha256) == first
        assert FlowVersion.objects.count() == AuditEvent.objects.filter(kind="flow.save").count() == 1

    def test_line_ends_do_not_make_a_version(self):
        assert save(flow().replace("\n", "\r\n")).sha256 == save(flow()).sha256

    def test_an_old_text_brings_its_version_back(self):
        first = save(flow())
        second = save(flow(more="# more\n"), base_sha256=first.sha256)
        assert save(flow(), base_sha256=second.sha256) == first
        assert Flow.objects.get().current == first
        assert save(flow(more="# third\n"), base_sha256=first.sha256).number == 3

    def test_it_keeps_what_its_head_says(self):
        text = flow(retries=3, retry_delay="5m", timeout="20m", concurrency=1, schedule='"0 6 * * *"')
        kept = save(text).settings
        assert (kept["retries"], kept["retry_delay_seconds"], kept["timeout_seconds"]) == (3, 300.0, 1200.0)
        assert (kept["concurrency"], kept["schedule"], kept["memory_bytes"]) == (1, "0 6 * * *", None)

    def test_the_audit_says_who_saved_what(self):
        ann = person("author", name="ann")
        version = save_version(by=ann, text=flow(), note="begin")
        event = AuditEvent.objects.get(kind="flow.save")
        assert (event.actor, event.target) == ("ann", "flow:orders")
        assert event.detail == {"version": 1, "sha256": version.sha256, "note": "begin", "new": True}

    def test_a_viewer_may_not_save(self):
        with pytest.raises(Denied):
            save_version(by=person("viewer"), text=flow())
        assert not Flow.objects.exists()


class TestNeverChanged:
    def test_not_by_save_or_delete(self):
        version = save(flow())
        version.note = "other"
        for change in (version.save, version.delete, FlowVersion.objects.all().delete):
            with pytest.raises(NeverChangedError):
                change()
        with pytest.raises(NeverChangedError):
            FlowVersion.objects.update(note="other")

    @pytest.mark.parametrize("statement", ["UPDATE flows_flowversion SET text = 'x'", "DELETE FROM flows_flowversion"])
    def test_not_by_a_statement_either(self, statement):
        save(flow())
        with pytest.raises(Error, match="never changed"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
        assert FlowVersion.objects.get().text == flow()


class TestTwoPeople:
    def test_the_second_learns_of_the_first_and_loses_nothing(self):
        base = save(flow())
        theirs = save(flow(more="# theirs\n"), base_sha256=base.sha256)
        ours = flow(more="# ours\n")
        with pytest.raises(SaveConflict) as conflict:
            save(ours, base_sha256=base.sha256)
        assert (conflict.value.theirs, conflict.value.ours) == (theirs, ours)
        assert "Nothing is lost" in conflict.value.hint
        assert Flow.objects.get().current == theirs

    def test_saving_again_on_top_of_theirs_is_well(self):
        base = save(flow())
        theirs = save(flow(more="# theirs\n"), base_sha256=base.sha256)
        assert save(flow(more="# ours\n"), base_sha256=theirs.sha256).number == 3

    def test_the_same_change_by_both_is_no_conflict(self):
        base = save(flow())
        theirs = save(flow(more="# same\n"), base_sha256=base.sha256)
        assert save(flow(more="# same\n"), base_sha256=base.sha256) == theirs

    def test_a_new_flow_does_not_run_over_one_of_that_name(self):
        theirs = save(flow())
        with pytest.raises(SaveConflict) as conflict:
            save(flow(more="# another\n"))
        assert conflict.value.theirs == theirs


class TestRefused:
    def test_a_text_with_mistakes_and_all_of_them(self):
        with pytest.raises(FlowInvalid) as refused:
            save(flow().replace("n < 10", "m < 10").replace("sink small", "sink smal"))
        assert len(codes(refused)) == 2
        assert "line" in refused.value.message
        assert not Flow.objects.exists()

    def test_a_text_that_names_another_flow(self):
        first = save(flow("orders"))
        with pytest.raises(FlowInvalid) as refused:
            save(flow("visits"), name="orders", base_sha256=first.sha256)
        assert codes(refused) == ["E004"]
        assert "flow orders" in refused.value.hint

    def test_a_name_that_is_too_long(self):
        with pytest.raises(FlowInvalid) as refused:
            save(flow("n" * 101))
        assert codes(refused) == ["E004"]

    def test_bytes_that_are_not_utf_8(self):
        with pytest.raises(FlowInvalid) as refused:
            save(flow().encode() + b"# Z\xfcrich\n")
        assert codes(refused) == ["E001"]
        assert "UTF-8" in refused.value.message

    def test_half_of_a_surrogate_pair(self):
        with pytest.raises(FlowInvalid) as refused:
            save(flow(more="# \ud83d\n"))
        assert codes(refused) == ["E001"]

    def test_ten_megabytes(self):
        with pytest.raises(FlowInvalid) as refused:
            save(flow(more="# more\n" * 1_500_000))
        assert codes(refused) == ["E002"]

    @pytest.mark.parametrize("text", ["", "\0", "flow", "nonsense", "flow orders {", "(" * 500])
    def test_what_is_no_flow_at_all(self, text):
        with pytest.raises(FlowInvalid) as refused:
            save(text)
        assert refused.value.message
        assert refused.value.hint


class TestSources:
    def test_one_with_columns_needs_no_file(self):
        assert save(flow()).number == 1

    def test_one_without_says_what_to_do(self):
        undeclared = flow().replace(" { columns: { n: int } }", "")
        with pytest.raises(FlowInvalid) as refused:
            save(undeclared)
        assert "in/numbers.csv" in refused.value.message
        assert "columns" in refused.value.hint

    def test_one_without_is_looked_up_in_dev(self, workspaces):
        (workspaces / "dev" / "in").mkdir()
        (workspaces / "dev" / "in" / "numbers.csv").write_text("n\n1\n2\n")
        assert save(flow().replace(" { columns: { n: int } }", "")).number == 1


class TestArchive:
    def test_it_is_put_aside_and_brought_back(self):
        orders = save(flow()).flow
        archive_flow(by=SYSTEM, flow=orders)
        assert orders.is_archived
        assert orders.archived_by == "system"
        archive_flow(by=SYSTEM, flow=orders)
        restore_flow(by=SYSTEM, flow=orders)
        assert not orders.is_archived
        kinds = list(AuditEvent.objects.filter(target="flow:orders").order_by("seq").values_list("kind", flat=True))
        assert kinds == ["flow.save", "flow.archive", "flow.restore"]

    @pytest.mark.parametrize("more", ["", "# more\n"])
    def test_saving_brings_it_back(self, more):
        version = save(flow())
        archive_flow(by=SYSTEM, flow=version.flow)
        save(flow(more=more), base_sha256=version.sha256)
        assert not Flow.objects.get().is_archived

    def test_a_viewer_may_not(self):
        orders = save(flow()).flow
        with pytest.raises(Denied):
            archive_flow(by=person("viewer"), flow=orders)
        assert not Flow.objects.get().is_archived


class TestAskedTests:
    def test_a_new_version_has_its_tests_in_line(self, sent, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            version = save(flow())
        result = FlowTestResult.objects.get(version=version)
        assert (result.outcome, result.queue) == ("pending", "flows.dev")
        assert sent == [("flowtest", result.pk)]

    def test_asking_again_while_they_wait_gives_the_same(self):
        version = save(flow())
        assert test_again(by=SYSTEM, version=version) == FlowTestResult.objects.get()
