"""Pages of flows: what they show, what the editor answers, and that nothing typed is lost."""

import json

import pytest
from django.urls import reverse

from apps.flows import actions
from apps.flows.models import Flow, FlowVersion
from tests.portal.people import person, saved, text

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folders(settings, tmp_path):
    settings.WORKSPACES = tmp_path


@pytest.fixture
def author(client):
    user = person("author")
    client.force_login(user)
    return user


def check(client, written, **more):
    return client.post(reverse("flows:check"), {"text": written, **more}).json()


def post(client, address, written, base="", **more):
    return client.post(address, {"text": written, "base": base, "action": "save", **more})


class TestList:
    def test_an_empty_list_says_what_to_do_first(self, client, author):
        page = client.get(reverse("flows:list")).content.decode()
        assert "Write the first flow" in page

    def test_a_viewer_is_not_offered_what_he_may_not_do(self, client):
        client.force_login(person("viewer"))
        page = client.get(reverse("flows:list")).content.decode()
        assert "Ask an author" in page
        assert reverse("flows:new") not in page

    def test_it_searches_names_and_descriptions(self, client, author):
        saved(author, "orders")
        saved(author, "visits", text("visits").replace("Counts orders", "Counts people"))
        page = client.get(reverse("flows:list"), {"q": "people"}).content.decode()
        assert "visits" in page
        assert "/flows/orders/" not in page

    def test_its_queries_do_not_grow_with_its_rows(self, client, author, django_assert_max_num_queries):
        saved(author, "orders")
        client.get(reverse("flows:list"))
        with django_assert_max_num_queries(30) as few:
            client.get(reverse("flows:list"))
        for number in range(12):
            saved(author, f"flow_{number}")
        with django_assert_max_num_queries(len(few)):
            page = client.get(reverse("flows:list"))
        assert page.content.decode().count('href="/flows/flow_') == 12

    def test_pages_lead_through_all_flows_by_name(self, client, author, monkeypatch):
        for number in range(55):
            Flow.objects.create(name=f"f{number:02}", current=None)
        version = saved(author).pk
        Flow.objects.update(current=version)
        first = client.get(reverse("flows:list")).context["page"]
        second = client.get(reverse("flows:list") + "?" + first.later).context["page"]
        assert [flow.name for flow in (*first.rows, *second.rows)] == sorted(
            Flow.objects.values_list("name", flat=True)
        )


class TestFlow:
    def test_it_shows_graph_parameters_and_versions(self, client, author):
        saved(author)
        page = client.get(reverse("flows:detail", args=["orders"])).content.decode()
        assert 'data-node="step:wanted"' in page
        assert "one of &quot;EU&quot;, &quot;US&quot;" in page
        assert "v1" in page

    def test_a_name_that_is_none_is_not_found_with_a_way_on(self, client, author):
        answer = client.get(reverse("flows:detail", args=["nothing"]))
        assert answer.status_code == 404
        assert "/search/" in answer.content.decode()

    def test_a_hostile_description_stays_text(self, client, author):
        saved(author, written=text().replace("Counts orders", "<script>alert(1)</script>"))
        for address in (reverse("flows:detail", args=["orders"]), reverse("flows:list"), "/search/?q=script"):
            assert "<script>alert" not in client.get(address).content.decode()

    def test_an_archived_flow_leaves_the_list_and_can_come_back(self, client, author):
        saved(author)
        assert client.get(reverse("flows:archive", args=["orders"])).status_code == 200
        client.post(reverse("flows:archive", args=["orders"]))
        assert "/flows/orders/" not in client.get(reverse("flows:list")).content.decode()
        assert "/flows/orders/" in client.get(reverse("flows:list") + "?archived=1").content.decode()
        client.post(reverse("flows:restore", args=["orders"]))
        assert "/flows/orders/" in client.get(reverse("flows:list")).content.decode()


class TestCheck:
    def test_a_good_text_has_no_problems_and_a_graph(self, client, author):
        answer = check(client, text())
        assert answer["ok"]
        assert answer["diagnostics"] == []
        assert 'data-node="source:orders"' in answer["graph"]

    def test_a_mistake_comes_with_its_place_and_a_hint(self, client, author):
        answer = check(client, text().replace("amount >= @least", "amont >= @least"))
        assert not answer["ok"]
        (found,) = answer["diagnostics"]
        assert (found["line"], found["severity"]) == (9, "error")
        assert "amount" in found["hint"] + found["message"]

    def test_a_text_that_cannot_be_read_leaves_the_picture_alone(self, client, author):
        answer = check(client, "}{")
        assert answer["graph"] is None
        assert answer["diagnostics"]

    @pytest.mark.parametrize("written", ["", "\0", "(" * 500, "flow x {", "🙂" * 1000, "flow a {\n" * 400])
    def test_no_text_breaks_it(self, client, author, written):
        assert check(client, written)["ok"] is False

    def test_ten_megabytes_are_refused_with_a_reason(self, client, author):
        answer = check(client, "flow big\n" + "# padding\n" * 1_000_000)
        assert [each["code"] for each in answer["diagnostics"]] == ["E002"]

    def test_it_formats_when_asked(self, client, author):
        answer = check(client, text().replace("step wanted = orders", "step   wanted=orders"), format="1")
        assert "step wanted = orders" in answer["formatted"]

    def test_a_text_with_mistakes_is_not_formatted_but_explained(self, client, author):
        answer = check(client, "flow x { ", format="1")
        assert answer["formatted"] is None
        assert answer["diagnostics"]

    def test_a_hostile_name_is_escaped_in_the_graph(self, client, author):
        answer = check(client, text().replace("in/orders.csv", "<img src=x onerror=alert(1)>"))
        assert "<img" not in answer["graph"]

    def test_a_viewer_may_not(self, client):
        client.force_login(person("viewer"))
        assert client.post(reverse("flows:check"), {"text": text()}).status_code == 403


class TestSave:
    def test_a_new_flow_is_saved_and_shown(self, client, author):
        answer = post(client, reverse("flows:new"), text().replace("\n", "\r\n"), note="the first")
        assert answer.url == reverse("flows:detail", args=["orders"])
        version = FlowVersion.objects.get()
        assert (version.text, version.note) == (text(), "the first")

    def test_the_text_that_a_new_flow_begins_with_is_a_good_one(self, client, author):
        page = client.get(reverse("flows:new"))
        assert check(client, page.context["text"])["diagnostics"] == []

    def test_a_text_with_errors_is_not_saved_and_comes_back_whole(self, client, author):
        version = saved(author)
        broken = text().replace("amount >=", "amont >=") + "# my precious comment\n"
        answer = post(client, reverse("flows:edit", args=["orders"]), broken, version.sha256, note="my note")
        page = answer.content.decode()
        assert answer.status_code == 422
        assert "my precious comment" in page
        assert "my note" in page
        assert 'class="problem problem-error"' in page
        assert FlowVersion.objects.count() == 1

    def test_two_who_save_the_same_flow_see_both_texts(self, client, author):
        base = saved(author)
        other = person("operator", name="jonas")
        saved(other, written=text() + "# theirs\n", base=base.sha256)
        answer = post(client, reverse("flows:edit", args=["orders"]), text() + "# mine\n", base.sha256)
        page = answer.content.decode()
        assert answer.status_code == 409
        assert "# theirs" in page
        assert "# mine" in page
        assert FlowVersion.objects.count() == 2
        base = answer.context["theirs"].sha256
        post(client, reverse("flows:edit", args=["orders"]), text() + "# mine\n", base)
        assert Flow.objects.get().current.text.endswith("# mine\n")

    def test_a_text_with_another_name_is_refused_with_the_way_out(self, client, author):
        version = saved(author)
        answer = post(client, reverse("flows:edit", args=["orders"]), text("other"), version.sha256)
        assert answer.status_code == 422
        assert "New flow" in answer.content.decode()

    def test_without_javascript_check_and_format_are_buttons(self, client, author):
        version = saved(author)
        address = reverse("flows:edit", args=["orders"])
        odd = text().replace("step wanted = orders", "step   wanted=orders")
        formatted = client.post(address, {"text": odd, "base": version.sha256, "action": "format"})
        assert "step wanted = orders" in formatted.content.decode()
        checked = client.post(address, {"text": odd.replace("amount >=", "amont >="), "action": "check"})
        assert "amont" in checked.content.decode()
        assert FlowVersion.objects.count() == 1

    def test_an_empty_text_is_told_and_not_saved(self, client, author):
        assert post(client, reverse("flows:new"), "").status_code == 422
        assert not Flow.objects.exists()


class TestVersions:
    def test_each_version_can_be_read_and_compared(self, client, author):
        first = saved(author)
        saved(author, written=text().replace("amount >=", "amount >"), base=first.sha256, note="stricter")
        page = client.get(reverse("flows:versions", args=["orders"])).content.decode()
        assert "stricter" in page
        assert "@least" in client.get(reverse("flows:version", args=["orders", 1])).content.decode()
        difference = client.get(reverse("flows:diff", args=["orders", 1, 2])).content.decode()
        assert 'class="removed"' in difference
        assert 'class="added"' in difference

    def test_a_version_that_is_none_is_not_found(self, client, author):
        saved(author)
        assert client.get(reverse("flows:version", args=["orders", 9])).status_code == 404
        assert client.get(reverse("flows:diff", args=["orders", 1, 9])).status_code == 404

    def test_its_queries_do_not_grow_with_its_rows(self, client, author, django_assert_max_num_queries):
        version = saved(author)
        client.get(reverse("flows:versions", args=["orders"]))
        with django_assert_max_num_queries(30) as few:
            client.get(reverse("flows:versions", args=["orders"]))
        for number in range(8):
            version = saved(author, written=f"{text()}# {number}\n", base=version.sha256)
        with django_assert_max_num_queries(len(few)):
            client.get(reverse("flows:versions", args=["orders"]))


def test_the_tests_of_a_version_can_be_run_again(client, author, monkeypatch):
    saved(author)
    asked = []
    monkeypatch.setattr(actions, "test_again", lambda **given: asked.append(given["version"].number))
    client.post(reverse("flows:test", args=["orders"]))
    assert asked == [1]


def test_json_of_a_check_is_json(client, author):
    answer = client.post(reverse("flows:check"), {"text": text()})
    assert json.loads(answer.content)["version"] == 1
