"""Pages of test runs: the matrix, a case with its history, quarantine, exports; and what each costs."""

import json
import xml.etree.ElementTree as ET
from datetime import timedelta

import pytest
from django.urls import reverse

from apps.audit.models import AuditEvent
from apps.common import clock
from apps.testruns.models import CaseResult, LayerResult, Quarantine, TestRun, key_of
from tests.portal.people import person
from tests.testruns.rooms import dev

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folders(settings, tmp_path):
    settings.DATA = tmp_path


@pytest.fixture
def operator(client):
    user = person("operator")
    client.force_login(user)
    return user


def make_run(state="failed", results=(("a", "passed"), ("<b>", "failed")), **fields):
    ended = {"finished_at": clock.now()} if state in ("failed", "succeeded", "cancelled") else {}
    lease = {"lease_expires_at": clock.now() + timedelta(seconds=10)} if state == "running" else {}
    run = TestRun.objects.create(
        environment=dev(), layers=["L1"], state=state, started_at=clock.now(), **ended, **lease, **fields
    )
    layer = LayerResult(test_run=run, layer="L1", position=0, status="failed" if state == "failed" else "running")
    layer.passed = sum(status == "passed" for _, status in results)
    layer.failed = sum(status == "failed" for _, status in results)
    layer.save()
    CaseResult.objects.bulk_create(
        CaseResult(
            test_run=run,
            environment=run.environment,
            layer="L1",
            source="L1/a.sh",
            title=title,
            key=key_of("L1", "L1/a.sh", title),
            status=status,
            message="it is <i>broken</i>" if status == "failed" else "",
            output="said <script>",
            position=number,
        )
        for number, (title, status) in enumerate(results)
    )
    return run


def case_of(run, status="failed"):
    return run.case_results.get(status=status)


def test_an_empty_list_says_what_to_do_first(client, operator):
    page = client.get(reverse("testruns:list")).content.decode()
    assert "No tests were run yet" in page
    assert reverse("testruns:new") in page


def test_the_page_shows_each_layer_and_case_escaped(client, operator):
    run = make_run()
    page = client.get(reverse("testruns:detail", args=[run.pk])).content.decode()
    assert "1 failed" in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page.split('id="cases-L1"')[1].split("</tbody>")[0]
    assert page.count('class="dot is-') == 2


def test_the_fragment_brings_only_the_cases_that_came_since(client, operator):
    run = make_run("running")
    first, second = run.case_results.order_by("pk")
    address = reverse("testruns:live", args=[run.pk])
    part = client.get(f"{address}?after={first.pk}").content.decode()
    assert f'id="case-{second.pk}"' in part
    assert f'id="case-{first.pk}"' not in part
    assert f"?after={second.pk}" in part, "the next one asks from there"
    assert client.get(f"{address}?after=x'").status_code == 200


def test_a_lost_run_is_called_lost(client, operator):
    run = make_run("running")
    TestRun.objects.update(lease_expires_at=clock.now() - timedelta(seconds=5))
    page = client.get(reverse("testruns:detail", args=[run.pk])).content.decode()
    assert "state-lost" in page
    assert "has not been heard of" in page


@pytest.mark.parametrize(("form", "read"), [("junit", ET.fromstring), ("ctrf", json.loads), ("tap", str)])
def test_results_are_exported(client, operator, form, read):
    answer = client.get(reverse("testruns:export", args=[make_run().pk, form]))
    assert "attachment" in answer["Content-Disposition"]
    assert read(answer.content.decode())
    assert client.get(reverse("testruns:export", args=[1, "pdf"])).status_code == 404


def test_the_form_starts_a_run_and_leads_to_it(client, operator, monkeypatch):
    monkeypatch.setattr("apps.jobs.messages.send", lambda kind, pk, queue: True)
    answer = client.post(reverse("testruns:new"), {"environment": "dev", "layers": ["L2", "L0"]})
    run = TestRun.objects.get()
    assert answer.url == reverse("testruns:detail", args=[run.pk])
    assert run.layers == ["L0", "L2"]
    assert AuditEvent.objects.filter(kind="testrun.start", target=f"testrun:{run.pk}").exists()
    assert client.post(reverse("testruns:new"), {"environment": "dev", "layers": ["L9"]}).status_code == 422


class TestCase:
    def test_its_history_is_of_the_same_case_alone(self, client, operator):
        runs = [make_run() for _ in range(3)]
        page = client.get(reverse("testruns:case", args=[runs[1].pk, case_of(runs[1]).pk])).content.decode()
        assert "3 results, newest right" in page
        assert "said &lt;script&gt;" in page
        assert "it is &lt;i&gt;broken" in page

    def test_it_is_put_into_quarantine_with_a_reason_and_an_end_and_let_out(self, client, operator):
        run = make_run()
        case = case_of(run)
        address = reverse("testruns:quarantine", args=[run.pk, case.pk])
        until = (clock.now() + timedelta(days=7)).date().isoformat()
        assert client.post(address, {"until": until, "reason": "slow disk"}).status_code == 302
        assert Quarantine.objects.get().created_by == "operator"
        assert "Let it count again" in client.get(reverse("testruns:case", args=[run.pk, case.pk])).content.decode()
        client.post(reverse("testruns:release", args=[run.pk, case.pk]))
        assert not Quarantine.objects.exists()
        kinds = set(AuditEvent.objects.values_list("kind", flat=True))
        assert {"case.quarantine", "case.release"} <= kinds

    @pytest.mark.parametrize(("days", "reason"), [(0, "x"), (91, "x"), (7, " ")])
    def test_without_an_end_or_a_reason_it_is_refused_and_says_why(self, client, operator, days, reason):
        run = make_run()
        until = (clock.now() + timedelta(days=days)).date().isoformat()
        address = reverse("testruns:quarantine", args=[run.pk, case_of(run).pk])
        assert client.post(address, {"until": until, "reason": reason}).status_code == 422
        assert not Quarantine.objects.exists()


def test_a_thousand_cases_cost_as_many_queries_as_two(client, operator, django_assert_max_num_queries):
    run = make_run("running", [(f"case {number}", "passed") for number in range(1000)])
    client.get(reverse("testruns:detail", args=[run.pk]))
    with django_assert_max_num_queries(14):
        page = client.get(reverse("testruns:detail", args=[run.pk])).content.decode()
    assert page.count('class="dot is-passed"') == 1000


def test_a_role_in_another_environment_does_not_count(client):
    run = make_run()
    client.force_login(person("viewer", "staging"))
    for name in ("detail", "live"):
        assert client.get(reverse(f"testruns:{name}", args=[run.pk])).status_code == 403
    assert client.get(reverse("testruns:export", args=[run.pk, "tap"])).status_code == 403
    assert client.get(reverse("testruns:case", args=[run.pk, case_of(run).pk])).status_code == 403
    assert f"/tests/{run.pk}/" not in client.get(reverse("testruns:list")).content.decode()
