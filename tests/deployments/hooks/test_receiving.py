"""What becomes of a hook that came in."""

import json
import time
from datetime import timedelta
from urllib.parse import quote

import pytest

from apps.audit.actors import SYSTEM, Actor
from apps.audit.models import AuditEvent
from apps.deployments.hooks import actions, receiving, signing
from apps.deployments.hooks.models import Delivery, Fetch, HookSource
from apps.environments import variables
from tests.deployments import making
from tests.deployments.hooks.hooking import SECRET, github, push, source, take

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def keys(settings, tmp_path):
    settings.SECRETS_KEYS_PATH, settings.SECRETS_KEYS = tmp_path / "secrets_keys", ""


def send(body=None, **how):
    body = push() if body is None else body
    return take(body, github(body, **how))


def verdicts():
    return list(Delivery.objects.order_by("id").values_list("verdict", flat=True))


def test_a_push_puts_one_fetch_in_line():
    source()
    answer = send()
    fetch = Fetch.objects.get()
    assert (answer.status, answer.document["status"], answer.document["fetch"]) == (202, "accepted", fetch.pk)
    assert (fetch.state, fetch.queue, fetch.requested_by) == ("queued", "docker", "hook:shop-main")
    assert [row.name for row in fetch.stages.all()] == ["fetch", "build", "deploy"]
    row = Delivery.objects.get()
    assert (row.is_signed, row.event, row.address, row.fetch) == (True, "push", "203.0.113.9", fetch)
    event = AuditEvent.objects.get(kind="hook.accept")
    assert (event.actor, event.target, event.environment) == ("hook:shop-main", "hook:shop-main", "shop")


def test_pushes_that_come_while_one_waits_share_its_fetch():
    source()
    for _ in range(3):
        assert send().status == 202
    assert Fetch.objects.count() == 1
    Fetch.objects.update(attempt=1)
    send()
    assert Fetch.objects.count() == 2


def test_a_ping_is_answered_and_starts_nothing():
    source()
    answer = send(b'{"zen": "Keep it logically awesome."}', event="ping")
    assert (answer.status, answer.document["message"]) == (200, "Pong.")
    assert send(b'{"zen": "Keep it logically awesome."}', event="ping").status == 200, "asked as often as one likes"
    assert not Fetch.objects.exists()


@pytest.mark.parametrize(
    ("ref", "more", "event"),
    [
        ("refs/heads/other", {}, "push"),
        ("refs/heads/main2", {}, "push"),
        ("refs/heads/main", {"deleted": True}, "push"),
        ("refs/tags/main", {}, "push"),
        ("refs/heads/main", {}, "issues"),
        ("refs/heads/main", {}, ""),
    ],
)
def test_another_branch_or_event_is_told_that_all_is_well_and_starts_nothing(ref, more, event):
    source()
    body = json.dumps({"ref": ref, **more}).encode()
    answer = send(body, event=event)
    assert (answer.status, answer.document["status"]) == (200, "ignored")
    assert not Fetch.objects.exists()


def test_the_very_same_again_is_told_so_and_starts_nothing():
    source()
    body = push()
    first, again = send(body, delivery="d-1"), send(body, delivery="d-1")
    assert (first.status, again.status, again.document["status"]) == (202, 200, "repeated")
    Fetch.objects.update(state="succeeded", finished_at=Delivery.objects.first().received_at)
    assert send(body, delivery="d-1").status == 200
    assert Fetch.objects.count() == 1


def test_the_same_body_under_another_id_or_another_body_under_the_same_id_is_refused():
    source()
    body = push()
    send(body, delivery="d-1")
    for answer in (send(body, delivery="d-2"), send(push(), delivery="d-1")):
        assert (answer.status, answer.document["error"]) == (409, "hook_repeated")
    assert verdicts() == ["accepted", "repeated", "repeated"]


def test_a_wrong_signature_leaves_neither_body_nor_fetch():
    source()
    body = push(planted="in the body")
    answer = send(body, secret="another")
    assert (answer.status, answer.document["error"]) == (401, "hook_unsigned")
    row = Delivery.objects.get()
    assert (row.verdict, row.body, row.body_bytes, row.is_signed) == ("unsigned", "", len(body), False)
    assert not Fetch.objects.exists()
    assert send(body).status == 202, "what was not signed is not remembered as seen"


def test_no_signature_of_any_kind_is_kept():
    source("lab", provider="gitlab")
    body = push()
    given = [
        ("X-Gitlab-Token", SECRET),
        ("X-Gitlab-Event", "Push Hook"),
        ("Cookie", "c=1"),
        ("Authorization", "Bearer t"),
    ]
    take(body, [*given, ("Idempotency-Key", "k-1"), ("User-Agent", f"GitLab {SECRET}")], "lab")
    row = Delivery.objects.get()
    assert row.verdict == "accepted"
    assert set(row.headers) == {"x-gitlab-event", "idempotency-key", "user-agent"}
    assert SECRET not in json.dumps(row.headers)


def test_a_secret_in_a_body_is_masked():
    source()
    send(push(note=SECRET))
    assert SECRET not in Delivery.objects.get().body


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        ({"X-Gitlab-Event": "Push Hook"}, "accepted"),
        ({"X-Gitlab-Event": "Tag Push Hook"}, "ignored"),
        ({"X-Gitlab-Event": "System Hook"}, "ignored"),
    ],
)
def test_gitlab(headers, verdict):
    source("lab", provider="gitlab")
    take(push(), [("X-Gitlab-Token", SECRET), ("Idempotency-Key", "k-1"), *headers.items()], "lab")
    assert verdicts() == [verdict]


def test_gitlab_tells_of_a_branch_that_is_gone():
    source("lab", provider="gitlab")
    take(push(after="0" * 40), [("X-Gitlab-Token", SECRET), ("X-Gitlab-Event", "Push Hook")], "lab")
    assert verdicts() == ["ignored"]


@pytest.mark.parametrize(
    ("payload", "verdict"),
    [
        ({}, "accepted"),
        ({"type": "push", "data": {"branch": "main"}}, "accepted"),
        ({"ref": "refs/heads/main"}, "accepted"),
        ({"type": "push", "data": {"branch": "other"}}, "ignored"),
        ({"type": "invoice.paid"}, "ignored"),
        ({"type": "ping"}, "ping"),
    ],
)
def test_standard_webhooks(payload, verdict):
    source("any", provider="generic")
    body = json.dumps(payload).encode()
    take(body, list(signing.standard_headers([SECRET], "msg_1", int(time.time()), body).items()), "any")
    assert verdicts() == [verdict]


@pytest.mark.parametrize("seconds", [-400, 400])
def test_a_wrong_timestamp_is_refused(seconds):
    source("any", provider="generic")
    headers = signing.standard_headers([SECRET], "msg_1", int(time.time()) + seconds, b"{}")
    answer = take(b"{}", list(headers.items()), "any")
    assert (answer.status, answer.document["error"]) == (401, "hook_stale")


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"not json", b"[]", b"null", b'"text"', b"{", b"[" * 50_000, b'{"ref": "\xed\xa0\x80"}']
)
def test_what_is_no_json_is_refused_once_it_is_signed(body):
    source()
    assert (send(body).status, verdicts()) == (400, ["malformed"])


@pytest.mark.parametrize("ref", [None, 7, ["refs/heads/main"], {"a": 1}, "", "refs/heads/", "\0", "refs/heads/main\0"])
def test_a_ref_of_any_kind_does_no_harm(ref):
    source()
    assert send(json.dumps({"ref": ref, "after": []}).encode()).status in (200, 202)


@pytest.mark.parametrize("text", ["\\u0000", "\\ud800", "a\\u0000b" * 5000])
def test_what_no_database_takes_does_no_harm(text):
    source("any", provider="generic")
    for number, body in enumerate(
        (f'{{"type": "{text}"}}', f'{{"ref": "{text}"}}', f'{{"data": {{"branch": "{text}"}}}}')
    ):
        headers = signing.standard_headers([SECRET], f"msg_{number}", int(time.time()), body.encode())
        assert take(body.encode(), list(headers.items()), "any").document["status"] == "ignored"


def test_github_may_send_a_form():
    source()
    body = b"payload=" + quote(push().decode()).encode()
    headers = [each for each in github(body) if each[0] != "Content-Type"]
    answer = take(body, [*headers, ("Content-Type", "application/x-www-form-urlencoded")])
    assert answer.status == 202


def test_what_is_switched_off_or_unknown():
    hook = source()
    actions.switch(by=SYSTEM, hook=hook, on=False)
    assert send().status == 403
    assert send(push(), event="ping").status == 200
    body = push()
    assert take(body, github(body), "nobody").document["error"] == "no_such_hook"
    assert verdicts() == ["disabled", "ping", "unknown"]


def test_a_secret_that_is_gone_is_ours_to_mend():
    source()
    variables.delete_secret(by=SYSTEM, environment=making.environment(), name="HOOK")
    answer = send()
    assert (answer.status, answer.document["error"]) == (503, "hook_unreadable")


def test_the_secret_before_counts_while_it_is_being_changed():
    hook = source()
    variables.set_secret(by=SYSTEM, environment=hook.environment, name="HOOK_NEW", value="another-secret-of-hooks")
    actions.change_secret(by=SYSTEM, hook=hook, secret="HOOK_NEW", old_secret="HOOK")
    assert send().status == 202
    assert send(secret="another-secret-of-hooks").status == 202
    actions.change_secret(by=SYSTEM, hook=hook, secret="HOOK_NEW")
    assert send().status == 401


def test_a_thousand_are_not_taken_within_a_minute():
    source()
    answers = [send() for _ in range(1000)]
    assert [each.status for each in answers].count(202) == receiving.MOST_OF_A_SOURCE
    assert answers[-1].status == 429
    assert answers[-1].headers == [("retry-after", "60")]
    row = Delivery.objects.get(verdict="limited")
    assert (Delivery.objects.count(), row.count) == (receiving.MOST_OF_A_SOURCE + 1, 1000 - receiving.MOST_OF_A_SOURCE)
    Delivery.objects.update(received_at=row.received_at - timedelta(seconds=61))
    assert send().status == 202, "a minute later"


def test_strangers_do_not_keep_those_out_who_sign():
    source()
    answers = [send(secret="guess") for _ in range(100)]
    assert [each.status for each in answers].count(401) == receiving.MOST_OF_AN_ADDRESS
    assert answers[-1].status == 429
    assert send().status == 202
    body = push()
    assert take(body, github(body, secret="guess"), address="203.0.113.10").status == 401, "others count for themselves"


def test_the_log_stays_bounded(monkeypatch):
    for name, most in (("KEPT_SIGNED", 5), ("KEPT_OTHERS", 3), ("KEPT_BODIES", 2)):
        monkeypatch.setattr(receiving, name, most)
    source()
    for _ in range(10):
        send()
        send(secret="guess")
    rows = Delivery.objects.all()
    assert (rows.filter(is_signed=True).count(), rows.filter(is_signed=False).count()) == (5, 3)
    assert rows.exclude(body="").count() == 2


def test_redeliver_starts_it_once_more_and_is_in_the_audit():
    source()
    send(push("other"))
    row = actions.redeliver(by=Actor("ann", "system"), delivery=Delivery.objects.get())
    assert (row.verdict, row.by, row.redelivery_of.verdict) == ("accepted", "ann", "ignored")
    assert Fetch.objects.get() == row.fetch
    event = AuditEvent.objects.get(kind="hook.redeliver")
    assert (event.actor, event.detail["fetch"]) == ("ann", row.fetch_id)


def test_what_nobody_signed_is_not_redelivered():
    source()
    send(secret="guess")
    with pytest.raises(actions.NotRedelivered):
        actions.redeliver(by=SYSTEM, delivery=Delivery.objects.get())


def test_a_source_is_made_once_and_its_secret_shown_once():
    made, value = actions.add_source(
        by=SYSTEM, name="new", environment=making.environment(), provider="github", repository="/srv/new.git"
    )
    assert (made.secret, variables.revealed(made.environment, "HOOK_NEW")) == ("HOOK_NEW", value)
    with pytest.raises(actions.HookExists):
        source("new")
    assert HookSource.objects.count() == 1
