"""Pages of runs: the truth about each state, the form that starts one, and files that never lead out."""

import os
from datetime import timedelta

import pytest
from django.urls import reverse

from apps.common import clock
from apps.environments.models import Environment
from apps.jobs import events
from apps.jobs.models import Worker
from apps.runs import record
from apps.runs.models import Run
from tests.portal.people import person, saved

# Downloads are sent by an async iterator, which the test client, not being async, reads at once.
pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume:Warning")]


@pytest.fixture(autouse=True)
def folders(settings, tmp_path):
    settings.WORKSPACES = tmp_path


@pytest.fixture
def operator(client):
    user = person("operator")
    client.force_login(user)
    return user


@pytest.fixture
def dev():
    return Environment.objects.get(slug="dev")


@pytest.fixture
def version(operator):
    return saved(operator)


@pytest.fixture
def make_run(version, dev):
    """A run at a state, as its worker would have left it."""

    def make(state="queued", **fields):
        now = clock.now()
        at = {"queued_at": now, "queue": "flows.dev", "requested_by": "operator"}
        if state != "queued":
            at |= {"started_at": now - timedelta(seconds=64), "worker": "worker@box", "attempt": 1}
        if state == "running":
            at |= {"lease_expires_at": now + timedelta(seconds=10)}
        if state in ("succeeded", "failed", "cancelled"):
            at |= {"finished_at": now}
        values = {"flow": version.flow, "version": version, "environment": dev, "logical_time": now, "state": state}
        return Run.objects.create(**{**values, **at, "params": {"least": "1"}, **fields})

    return make


def outcome(**more):
    steps = [
        {"name": "orders", "kind": "source", "status": "succeeded", "rows": 12043, "seconds": 1.2},
        {"name": "wanted", "kind": "step", "status": "succeeded", "rows": 9021, "seconds": 3.0},
        {"name": "wanted", "kind": "sink", "status": "succeeded", "rows": 9021, "seconds": 0.2},
    ]
    outputs = [{"name": "wanted", "path": "out/orders.csv", "rows": 2, "bytes": 20}]
    checks = [{"step": "wanted", "check": "amount >= 0", "severity": "warn", "ok": False, "failed_rows": 12}]
    return {"status": "succeeded", "steps": steps, "outputs": outputs, "checks": checks, "error": None, **more}


@pytest.fixture
def done(make_run, dev):
    """A run that succeeded and whose output stands in the workspace."""
    run = make_run("succeeded", progress=1.0)
    record.write(run, outcome())
    (dev.workspace / "out").mkdir()
    (dev.workspace / "out" / "orders.csv").write_text("id,note\n1,<script>alert(1)</script>\n2,\n")
    return run


def read(client, run, name="detail"):
    return client.get(reverse(f"runs:{name}", args=[run.pk])).content.decode()


class TestRunPage:
    def test_it_shows_steps_with_rows_and_seconds_beside_the_graph(self, client, done):
        page = read(client, done)
        assert "12,043 rows" in page
        assert "3.0s" in page
        assert 'data-node="step:wanted" data-state="succeeded"' in page
        assert "12 rows break it" in page

    def test_the_sentence_of_what_went_wrong_comes_first_and_leads_to_its_line(self, client, make_run):
        error = {"code": "E510", "message": "amount is not a number", "hint": "Clean the file.", "line": 6, "column": 1}
        page = read(client, make_run("failed", message="amount is not a number Clean the file.", error=error))
        top = page[page.index('id="run-top"') :]
        assert top.index("amount is not a number") < top.index("<h2><a")
        assert "Clean the file." in page
        assert reverse("flows:edit", args=["orders"]) + "?line=6" in page

    def test_a_failure_without_a_place_is_told_too(self, client, make_run):
        assert "The worker ran out of memory." in read(
            client, make_run("failed", message="The worker ran out of memory.")
        )

    def test_a_run_whose_lease_ran_out_is_lost_before_anyone_has_noticed(self, client, make_run):
        run = make_run("running", lease_expires_at=clock.now() - timedelta(seconds=1))
        page = read(client, run)
        assert 'class="state state-lost"' in page
        assert "has not been heard of" in page
        assert 'class="state state-lost"' in read(client, run, "live")

    def test_a_queued_run_says_when_no_worker_is_alive(self, client, make_run):
        run = make_run()
        assert "No worker is alive for queue flows.dev" in read(client, run)
        Worker.objects.create(
            name="w", host="h", pid=1, queues=["flows.dev"], started_at=clock.now(), seen_at=clock.now()
        )
        assert "No worker is alive" not in read(client, run)

    def test_a_cancelled_run_says_by_whom(self, client, make_run):
        page = read(client, make_run("cancelled", message="Cancelled by jonas before it began."))
        assert "Cancelled by jonas" in page

    def test_a_step_that_was_never_reached_is_skipped_not_queued(self, client, make_run):
        assert 'data-node="sink:wanted" data-state="skipped"' in read(client, make_run("failed", message="x"))

    def test_the_live_page_begins_after_the_last_event_that_was_drawn(self, client, make_run):
        run = make_run("running")
        last = events.append_many(
            run, [("log", {"level": "info", "step": "orders", "message": f"line {n}"}) for n in range(3)]
        )
        page = read(client, run)
        assert f'data-last-event="{last}"' in page
        assert page.count('class="log-line is-info"') == 3

    def test_of_a_long_log_the_newest_lines_are_shown_and_all_can_be_had(self, client, make_run):
        run = make_run("running")
        events.append_many(run, [("log", {"level": "info", "message": f"line {n}"}) for n in range(1200)])
        page = read(client, run)
        assert "line 1199<" in page
        assert "line 699<" not in page
        answer = client.get(reverse("runs:log", args=[run.pk]))
        text = b"".join(answer).decode()
        assert "attachment" in answer["Content-Disposition"]
        assert len(text.splitlines()) == 1200
        assert "line 0" in text.splitlines()[0]

    def test_a_hostile_log_line_and_message_stay_text(self, client, make_run):
        run = make_run("failed", message="<script>alert(1)</script>")
        events.append(run, "log", {"level": "<script>", "step": '"><script>', "message": "<script>alert(2)</script>"})
        run.refresh_from_db()
        assert "<script>alert" not in read(client, run)

    def test_a_fragment_holds_what_changes_and_not_the_frame(self, client, make_run):
        fragment = read(client, make_run("running"), "live")
        assert 'id="run-top"' in fragment
        assert 'id="run-side" class="side" hx-swap-oob="true"' in fragment
        assert 'id="run-actions" class="bar" hx-swap-oob="true"' in fragment
        assert "<html" not in fragment

    def test_a_number_that_is_none_is_not_found(self, client, operator):
        assert client.get(reverse("runs:detail", args=[999])).status_code == 404

    def test_its_queries_do_not_grow_with_its_steps(self, client, make_run, django_assert_max_num_queries):
        run = make_run("running")
        read(client, run)
        with django_assert_max_num_queries(30) as few:
            read(client, run)
        record.write(run, outcome())
        with django_assert_max_num_queries(len(few)):
            read(client, run)


class TestButtons:
    def test_cancel_asks_first_and_then_cancels(self, client, make_run):
        run = make_run()
        assert "Cancel run" in read(client, run, "cancel")
        client.post(reverse("runs:cancel", args=[run.pk]))
        run.refresh_from_db()
        assert run.state == "cancelled"

    def test_a_rerun_is_a_run_of_its_own(self, client, done):
        answer = client.post(reverse("runs:rerun", args=[done.pk]))
        again = Run.objects.latest("pk")
        assert answer.url == reverse("runs:detail", args=[again.pk])
        assert (again.rerun_of, again.params) == (done, done.params)

    def test_a_viewer_sees_no_buttons_and_may_not_press_them(self, client, make_run, done):
        client.force_login(person("viewer"))
        run = make_run()
        assert reverse("runs:cancel", args=[run.pk]) not in read(client, run)
        assert client.post(reverse("runs:cancel", args=[run.pk])).status_code == 403
        assert client.post(reverse("runs:rerun", args=[done.pk])).status_code == 403

    def test_an_author_may_run_in_dev_and_nowhere_else(self, client, make_run, version):
        staging = Environment.objects.create(slug="staging", name="Staging", position=1)
        elsewhere = make_run("succeeded", environment=staging)
        client.force_login(person("author"))
        assert client.post(reverse("runs:rerun", args=[elsewhere.pk])).status_code == 403
        form = client.get(reverse("runs:new", args=["orders"])).content.decode()
        assert 'value="dev"' in form
        assert 'value="staging"' not in form

    def test_a_role_in_another_environment_does_not_count(self, client, make_run, done):
        staging = Environment.objects.create(slug="staging", name="Staging", position=1)
        there = make_run("succeeded", environment=staging)
        client.force_login(person("viewer", "staging"))
        output = done.outputs.get()
        for address in ("detail", "live", "log"):
            assert client.get(reverse(f"runs:{address}", args=[done.pk])).status_code == 403, address
            assert client.get(reverse(f"runs:{address}", args=[there.pk])).status_code == 200, address
        assert client.get(reverse("runs:step", args=[done.pk, "wanted"])).status_code == 403
        assert client.get(reverse("runs:output", args=[done.pk, output.pk])).status_code == 403
        for address in (reverse("runs:list"), reverse("portal:search") + "?q=orders", "/flows/orders/"):
            page = client.get(address).content.decode()
            assert reverse("runs:detail", args=[there.pk]) in page, address
            assert reverse("runs:detail", args=[done.pk]) + '"' not in page, address

    def test_a_run_of_an_archived_flow_is_not_done_again(self, client, done):
        done.flow.archived_at = clock.now()
        done.flow.save()
        assert reverse("runs:rerun", args=[done.pk]) not in read(client, done)
        answer = client.post(reverse("runs:rerun", args=[done.pk]), follow=True)
        assert "is archived, so no run of it starts" in answer.content.decode()
        assert Run.objects.count() == 1

    def test_no_change_is_made_by_a_mere_link(self, client, make_run):
        run = make_run()
        assert client.get(reverse("runs:rerun", args=[run.pk])).status_code == 405
        client.get(reverse("runs:cancel", args=[run.pk]))
        run.refresh_from_db()
        assert run.state == "queued"


class TestForm:
    def start(self, client, **values):
        return client.post(reverse("runs:new", args=["orders"]), {"environment": "dev", **values})

    def test_parameters_are_fields_with_types_choices_and_defaults(self, client, version):
        page = client.get(reverse("runs:new", args=["orders"])).content.decode()
        assert '<select name="param-region"' in page
        assert "&quot;EU&quot; (default)" in page
        assert ">int</span>" in page

    def test_it_starts_a_run_and_leads_to_it(self, client, version):
        answer = self.start(client, **{"param-least": "5", "param-region": ""})
        run = Run.objects.get()
        assert answer.url == reverse("runs:detail", args=[run.pk])
        assert run.params == {"least": "5"}

    @pytest.mark.parametrize("value", ["", "soon", "1.5"])
    def test_what_is_wrong_is_told_beside_its_field_and_kept(self, client, version, value):
        answer = self.start(client, **{"param-least": value})
        page = answer.content.decode()
        assert answer.status_code == 422
        assert f'value="{value}"' in page or not value
        field = page[page.index('for="id_param-least"') :]
        assert 'class="error"' in field
        assert not Run.objects.exists()

    def test_a_choice_that_is_not_offered_is_refused(self, client, version):
        assert self.start(client, **{"param-least": "1", "param-region": "MARS"}).status_code == 422

    def test_an_archived_flow_does_not_run(self, client, version):
        version.flow.archived_at = clock.now()
        version.flow.save()
        answer = self.start(client, **{"param-least": "1"})
        assert "archived" in answer.content.decode()
        assert not Run.objects.exists()


class TestOutputs:
    def address(self, run, name="output"):
        return reverse(f"runs:{name}", args=[run.pk, run.outputs.get().pk])

    def test_the_first_rows_are_shown_as_text(self, client, done):
        page = client.get(self.address(done)).content.decode()
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert" not in page
        assert 'class="null">null' in page

    def test_a_download_is_an_attachment_that_no_browser_shows(self, client, done):
        answer = client.get(self.address(done, "download"))
        assert answer["Content-Disposition"] == 'attachment; filename="orders.csv"'
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert b"".join(answer).startswith(b"id,note\n")

    def test_a_link_put_in_its_place_is_not_followed(self, client, done, dev, tmp_path):
        (tmp_path / "secret").write_text("secret")
        (dev.workspace / "out" / "orders.csv").unlink()
        os.symlink(tmp_path / "secret", dev.workspace / "out" / "orders.csv")
        answer = client.get(self.address(done, "download"), follow=True)
        assert b"secret" not in answer.content
        assert "no longer in the workspace" in answer.content.decode()

    def test_an_output_of_another_run_is_not_found(self, client, done, make_run):
        other = make_run()
        assert client.get(reverse("runs:download", args=[other.pk, done.outputs.get().pk])).status_code == 404

    def test_a_file_that_is_gone_is_told(self, client, done, dev):
        (dev.workspace / "out" / "orders.csv").unlink()
        assert "no longer in the workspace" in client.get(self.address(done)).content.decode()

    def test_a_file_that_a_later_run_has_written_says_so(self, client, done, make_run):
        later = make_run("succeeded")
        record.write(later, outcome())
        page = client.get(self.address(done)).content.decode()
        assert "A later run has written this file since" in page
        assert reverse("runs:detail", args=[later.pk]) in page

    def test_a_step_without_kept_rows_says_so(self, client, done):
        page = client.get(reverse("runs:step", args=[done.pk, "wanted"])).content.decode()
        assert "No rows of wanted are kept." in page


class TestList:
    def test_an_empty_list_says_what_to_do_first(self, client, operator):
        assert "Open a flow and press Run" in client.get(reverse("runs:list")).content.decode()

    def test_it_filters_by_flow_state_and_environment(self, client, make_run):
        failed, queued = make_run("failed", message="x"), make_run()
        lost = make_run("running", lease_expires_at=clock.now() - timedelta(seconds=1))

        def numbers(**query):
            return [run.pk for run in client.get(reverse("runs:list"), query).context["runs"]]

        assert numbers(state="failed") == [failed.pk]
        assert numbers(state="lost") == [lost.pk]
        assert numbers(state="queued", environment="dev", flow="orders") == [queued.pk]
        assert numbers(flow="nothing") == []

    def test_its_queries_do_not_grow_with_its_rows(self, client, make_run, django_assert_max_num_queries):
        make_run()
        client.get(reverse("runs:list"))
        with django_assert_max_num_queries(30) as few:
            client.get(reverse("runs:list"))
        for _ in range(20):
            make_run("failed", message="x")
        with django_assert_max_num_queries(len(few)):
            client.get(reverse("runs:list"))

    def test_pages_by_key_lead_through_all_runs_with_their_filter(self, client, make_run):
        for _ in range(60):
            make_run("failed", message="x")
        make_run()
        first = client.get(reverse("runs:list"), {"state": "failed"}).context["page"]
        second = client.get(reverse("runs:list") + "?" + first.later).context["page"]
        assert len({run.pk for run in (*first.rows, *second.rows)}) == 60
