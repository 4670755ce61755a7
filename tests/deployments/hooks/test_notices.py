"""What goes out when a deployment has ended, to a real receiver."""

import json
import socket
import ssl
import threading
import time

import pytest
from django.db import transaction

from apps.audit.actors import SYSTEM
from apps.audit.models import AuditEvent
from apps.deployments import record
from apps.deployments.hooks import actions, notices, sending, signing
from apps.deployments.hooks.models import Notice
from apps.deployments.hooks.signing import Trust
from apps.environments import variables
from tests.deployments import making
from tests.deployments.hooks import hooking
from tests.stack.portal import wait_for

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def keys(settings, tmp_path):
    settings.SECRETS_KEYS_PATH, settings.SECRETS_KEYS = tmp_path / "secrets_keys", ""


@pytest.fixture
def receiver():
    with hooking.receiver() as made:
        yield made


def end(state="succeeded", **fields):
    """A deployment that has just ended."""
    where = making.environment()
    release, _ = making.keep()
    job = making.deployment(where, release, state, **fields)
    with transaction.atomic():
        record.close(job)
    return job


def due(notice):
    Notice.objects.filter(pk=notice.pk).update(available_at=None)
    return notices.execute(notice.pk)


def test_a_deployment_that_ended_is_told_of_signed(receiver):
    _, secret = hooking.target(receiver.url)
    job = end(message="r1 serves.")
    notice = notices.execute(Notice.objects.get().pk)
    assert (notice.state, notice.message) == ("succeeded", f"It answered 204 in {notice.tries[0]['seconds']:g} s.")
    [(path, headers, body)] = receiver.got
    assert path == "/take?x=1"
    assert signing.check("generic", [secret], headers, body, time.time()) is Trust.RIGHT
    told = json.loads(body)
    assert told["type"] == "on_deploy_success"
    assert told["data"] == {
        "version": 1,
        "environment": "shop",
        "deployment": job.pk,
        "release": "r1",
        "previous": None,
        "kind": "deploy",
        "status": "succeeded",
        "message": "r1 serves.",
        "requested_by": "ann",
        "source": None,
        "revision": "",
    }


@pytest.mark.parametrize(
    ("state", "outcome", "status"),
    [("failed", "", "failed"), ("failed", "reverted", "reverted"), ("cancelled", "", "cancelled")],
)
def test_one_that_went_wrong_is_another_event(receiver, state, outcome, status):
    hooking.target(receiver.url)
    hooking.target(receiver.url, "glad", events=["on_deploy_success"])
    hooking.target(receiver.url, "elsewhere", environment=making.environment("other"))
    end(state, outcome=outcome)
    notice = Notice.objects.get()
    assert (notice.event, json.loads(notice.body)["data"]["status"]) == ("on_deploy_failure", status)


def test_it_is_tried_again_later_each_time_under_the_same_id_until_it_is_given_up(receiver):
    hooking.target(receiver.url)
    end()
    receiver.status = 500
    receiver.said = b"x" * 10_000
    notice = Notice.objects.get()
    for number, seconds in enumerate(notices.AFTER_SECONDS):
        done = due(notice)
        assert (done.state, len(done.tries)) == ("queued", number + 1)
        waits = (done.available_at - done.queued_at).total_seconds()
        assert waits == pytest.approx(seconds, abs=1)
    assert notices.execute(notice.pk) is None, "not before it is due"
    done = due(notice)
    assert (done.state, len(done.tries)) == ("failed", len(notices.AFTER_SECONDS) + 1)
    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == 1
    assert len(done.tries[0]["response"]) == sending.KEPT_ANSWER


def test_one_that_recovers_is_told(receiver):
    hooking.target(receiver.url)
    end()
    receiver.status = 503
    notice = Notice.objects.get()
    due(notice)
    receiver.status = 200
    assert due(notice).state == "succeeded"


def test_410_switches_the_target_off(receiver):
    target, _ = hooking.target(receiver.url)
    end()
    end()
    receiver.status = 410
    first, second = Notice.objects.order_by("id")
    assert notices.execute(first.pk).state == "failed"
    target.refresh_from_db()
    assert (target.enabled, "410" in target.disabled_because) == (False, True)
    assert AuditEvent.objects.filter(kind="hook.disable", target="hook-target:chat").count() == 1
    assert notices.execute(second.pk).state == "failed"
    assert len(receiver.got) == 1
    end()
    assert Notice.objects.count() == 2


def test_a_redirect_is_not_followed(receiver):
    hooking.target(receiver.url)
    end()
    receiver.status, receiver.more = 302, {"location": receiver.url}
    done = due(Notice.objects.get())
    assert (done.state, done.tries[0]["status"], len(receiver.got)) == ("queued", 302, 1)


def test_a_private_address_is_refused_unless_the_target_is_internal(receiver):
    hooking.target(receiver.url, internal=False)
    end()
    done = due(Notice.objects.get())
    assert (done.state, receiver.got) == ("failed", [])
    assert "127.0.0.1, which is not on the public internet" in done.message


@pytest.mark.parametrize(
    "ip",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "ff02::1",
        "fe80::1%eth0",
    ],
)
def test_private(ip):
    assert sending.is_private(ip)


@pytest.mark.parametrize("ip", ["8.8.8.8", "140.82.112.3", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public(ip):
    assert not sending.is_private(ip)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://a.org/",
        "file:///etc/passwd",
        "gopher://a/",
        "//a.org",
        "http://",
        "http://a:b@c.org/",
        "http://a.org/#x",
        "http://a.org:99999/",
        "http://a.org/\r\nX: y",
        "http://a .org/",
        "http://[::1/",
        "javascript:1",
    ],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(sending.AddressRefused):
        sending.parse(url)


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "localhost", "0", "[::ffff:127.0.0.1]"])
def test_other_spellings_of_this_machine_are_refused_too(host):
    with pytest.raises((sending.AddressRefused, sending.NotSent)):
        sending.look_up(sending.parse(f"http://{host}/"), internal=False)


def test_nobody_there_is_tried_again():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        hooking.target(f"http://127.0.0.1:{taken.getsockname()[1]}/")
        end()
        done = due(Notice.objects.get())
    assert (done.state, done.tries[0]["status"]) == ("queued", 0)
    assert "did not answer" in done.tries[0]["error"]


def test_one_that_answers_a_byte_at_a_time_does_not_hold_us(monkeypatch):
    monkeypatch.setattr(sending, "ALL_SECONDS", 1.0)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip():
            peer, _ = server.accept()
            with peer:
                while not over.wait(0.05):
                    try:
                        peer.sendall(b"H")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        began = time.monotonic()
        with pytest.raises(sending.NotSent, match="in time"):
            sending.post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"{}", {}, internal=True)
        assert time.monotonic() - began < 4
        over.set()
        thread.join()


def test_a_certificate_that_nobody_vouches_for_is_not_believed():
    made = sending._PinnedTLS("example.org", "127.0.0.1", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        made.port = server.getsockname()[1]
        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        with pytest.raises((ssl.SSLError, OSError)):
            made.connect()
        thread.join()
    assert ssl.create_default_context().verify_mode is ssl.CERT_REQUIRED


def test_two_keys_sign_while_one_is_being_changed(receiver):
    target, old = hooking.target(receiver.url)
    variables.set_secret(by=SYSTEM, environment=target.environment, name="HOOK_NEXT", value=signing.new_secret())
    actions.change_secret(by=SYSTEM, hook=target, secret="HOOK_NEXT", old_secret=target.secret)
    end()
    notices.execute(Notice.objects.get().pk)
    [(_, headers, body)] = receiver.got
    new = variables.revealed(target.environment, "HOOK_NEXT")
    for known in (old, new):
        assert signing.check("generic", [known], headers, body, time.time()) is Trust.RIGHT


def test_a_secret_that_the_receiver_repeats_is_masked(receiver):
    _, secret = hooking.target(receiver.url)
    receiver.said = secret.encode()
    end()
    assert secret not in json.dumps(due(Notice.objects.get()).tries)


def test_a_test_and_sending_once_more(receiver):
    target, _ = hooking.target(receiver.url)
    first = actions.test(by=SYSTEM, target=target)
    with pytest.raises(actions.NotRedelivered):
        actions.resend(by=SYSTEM, notice=first)
    notices.execute(first.pk)
    first.refresh_from_db()
    again = actions.resend(by=SYSTEM, notice=first)
    notices.execute(again.pk)
    assert [json.loads(body)["type"] for _, _, body in receiver.got] == ["test", "test"]
    assert receiver.got[0][1]["webhook-id"] == receiver.got[1][1]["webhook-id"]


def test_the_log_of_a_target_stays_bounded(receiver, monkeypatch):
    monkeypatch.setattr(notices, "KEPT_NOTICES", 2)
    hooking.target(receiver.url)
    for _ in range(6):
        end()
        notices.execute(Notice.objects.order_by("-id").first().pk)
    wait_for(lambda: len(receiver.got) == 6, 5, "all of them")
    assert Notice.objects.count() == 3
