"""The webhook service as it runs: uvicorn in a process of its own, hooks over real HTTP."""

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from tests.deployments.hooks import hooking
from tests.deployments.hooks.hooking import github, push
from tests.stack.portal import ROOT, Portal, free_port, wait_for

SECONDS = 1.0  # within which a hook is answered


class Service:
    def __init__(self, folder):
        self.portal = Portal(folder, settings={"PORTAL_URL": "http://127.0.0.1:9", "METRICS_TOKEN": "a-token"})
        self.port = free_port()
        self.process = None

    def start(self):
        command = [sys.executable, "-m", "uvicorn", "flowcontrol.webhook:application", "--port", str(self.port)]
        flags = ["--no-access-log", "--no-proxy-headers", "--log-level", "warning", "--timeout-graceful-shutdown", "1"]
        self.process = subprocess.Popen([*command, *flags], cwd=ROOT, env=self.portal.environment)
        wait_for(self.is_alive, 60, "the service")

    def is_alive(self):
        try:
            return self.get("/healthz") == 200
        except OSError:
            return False

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return answer.status

    def stop(self):
        self.process.terminate()
        self.process.wait(20)

    def send(self, body, headers, name="shop-main"):
        """(status, document, headers, seconds)."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/hooks/{name}", body, dict(headers))
        began = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                found = answer.status, json.loads(answer.read()), dict(answer.headers)
        except urllib.error.HTTPError as error:
            found = error.code, json.loads(error.read()), dict(error.headers)
        return (*found, time.monotonic() - began)

    def deliveries(self):
        return self.portal.json("webhook", "deliveries", "in")["deliveries"]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    made = Service(tmp_path_factory.mktemp("service"))
    repository = hooking.Repository(made.portal.folder / "repository")
    made.portal.manage("migrate", "--verbosity", "0")
    compose = made.portal.folder / "compose.yaml"
    compose.write_text('{"services": {"web": {"image": "busybox:1"}}}')
    made.portal.manage("environment", "add", "shop", "--compose", str(compose))
    words = ("--environment", "shop", "--repository", str(repository.folder), "--compose", "missing.yaml")
    made.secret = made.portal.json("webhook", "add", "in", "shop-main", *words)["secret"]
    made.start()
    yield made
    made.stop()


def test_a_hook_is_answered_within_a_second_and_written_down(service):
    body = push()
    status, said, _, seconds = service.send(body, github(body, delivery="first", secret=service.secret))
    assert (status, said["status"]) == (202, "accepted")
    print(f"answered in {seconds * 1000:.0f} ms")
    assert seconds < SECONDS
    found = next(each for each in service.deliveries() if each["delivery"] == said["delivery"])
    assert (found["id"], found["verdict"], found["fetch"]) == ("first", "accepted", said["fetch"])
    assert service.send(body, github(body, delivery="first", secret=service.secret))[1]["status"] == "repeated"
    assert service.send(body, github(body, secret=service.secret))[0] == 409
    assert service.send(body, github(body, secret="another"))[0] == 401


def test_it_remembers_across_a_restart(service):
    body = push()
    headers = github(body, secret=service.secret)
    assert service.send(body, headers)[0] == 202
    service.stop()
    service.start()
    assert service.send(body, headers)[1]["status"] == "repeated"


def test_a_huge_body_is_refused_before_it_has_come(service):
    peer = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    peer.putrequest("POST", "/hooks/shop-main")
    peer.putheader("content-length", str(10**12))
    peer.endheaders()
    answer = peer.getresponse()
    assert (answer.status, json.loads(answer.read())["error"]) == (413, "hook_too_large")
    peer.close()


def test_a_huge_body_that_does_not_say_so_is_refused(service):
    peer = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)

    def chunks():
        for _ in range(8):
            yield b"x" * 1024**2

    try:
        peer.request(
            "POST", "/hooks/shop-main", chunks(), encode_chunked=True, headers={"transfer-encoding": "chunked"}
        )
    except (BrokenPipeError, ConnectionResetError):
        pass  # it hung up on us, which is as good
    else:
        assert peer.getresponse().status == 413
    finally:
        peer.close()
    assert service.is_alive()


def test_one_that_breaks_off_leaves_nothing(service):
    before = len(service.deliveries())
    body = push()
    with socket.create_connection(("127.0.0.1", service.port)) as peer:
        lines = [f"{name}: {value}" for name, value in github(body, secret=service.secret)]
        head = ["POST /hooks/shop-main HTTP/1.1", "host: x", f"content-length: {len(body)}", *lines]
        peer.sendall(("\r\n".join(head) + "\r\n\r\n").encode() + body[:-5])
    assert service.send(body, github(body, secret=service.secret))[0] == 202, "it was not seen"
    assert len(service.deliveries()) == before + 1


def test_slow_senders_do_not_keep_others_waiting(service):
    slow = []
    try:
        for _ in range(20):
            peer = socket.create_connection(("127.0.0.1", service.port))
            peer.sendall(b"POST /hooks/shop-main HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
            slow.append(peer)
        body = push()
        status, _, _, seconds = service.send(body, github(body, secret=service.secret))
        assert (status, seconds < SECONDS) == (202, True), seconds
    finally:
        for peer in slow:
            peer.close()


@pytest.mark.parametrize(
    "path", ["/hooks/", "/hooks/shop-main/../x", "/hooks/" + "a" * 3000, "/hooks/%00", "/hooks/%ff%fe"]
)
def test_strange_addresses_are_refused(service, path):
    peer = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    peer.request("POST", path, b"{}", {"content-type": "application/json"})
    answer = peer.getresponse()
    assert answer.status == 404, answer.read()
    peer.close()


def test_bad_encodings_in_headers_do_no_harm(service):
    body = push()
    with socket.create_connection(("127.0.0.1", service.port)) as peer:
        head = [b"POST /hooks/shop-main HTTP/1.1", b"host: x", b"connection: close", b"x-github-event: \xff\xfe"]
        head += [b"x-github-delivery: \xc3\x28", b"content-length: %d" % len(body)]
        signature = dict(github(body, secret=service.secret))["X-Hub-Signature-256"]
        head.append(f"x-hub-signature-256: {signature}".encode())
        peer.sendall(b"\r\n".join(head) + b"\r\n\r\n" + body)
        said = b"".join(iter(lambda: peer.recv(65536), b""))
    assert b" 200 " in said.splitlines()[0], said
    assert b'"ignored"' in said


def test_the_same_at_once_counts_once(service):
    body = push()
    headers, answers = github(body, secret=service.secret), []
    threads = [threading.Thread(target=lambda: answers.append(service.send(body, headers)[1])) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(each["status"] for each in answers) == ["accepted"] + ["repeated"] * 7


def test_a_thousand_at_once_are_held_back_and_the_service_lives(service):
    """The last of this file: the source is then full for a minute."""
    answers, lock = [], threading.Lock()

    def knock():
        for _ in range(125):
            body = push()
            found = service.send(body, github(body, secret=service.secret))
            with lock:
                answers.append(found)

    threads = [threading.Thread(target=knock) for _ in range(8)]
    began = time.monotonic()
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    seconds = time.monotonic() - began
    slowest = sorted(each[3] for each in answers)
    print(f"1000 hooks in {seconds:.1f} s, slowest {slowest[-1]:.2f} s, 99 of 100 within {slowest[989]:.2f} s")
    statuses = [each[0] for each in answers]
    assert set(statuses) <= {202, 429}
    assert statuses.count(202) <= 60 * (1 + seconds // 60)
    refused = next(each for each in answers if each[0] == 429)
    assert (refused[1]["error"], refused[2]["retry-after"]) == ("hook_limited", "60")
    limited = [each for each in service.deliveries() if each["verdict"] == "limited"]
    assert sum(each["count"] for each in limited) == statuses.count(429)
    assert service.is_alive()


def test_the_commands_say_what_there_is(service):
    listed = service.portal.json("webhook", "list")
    assert [each["name"] for each in listed["sources"]] == ["shop-main"]
    number = next(each["delivery"] for each in service.deliveries() if each["verdict"] == "accepted")
    done = service.portal.manage("webhook", "redeliver", "in", str(number), "--wait", "--json", check=False)
    said = json.loads(done.stdout)
    stages = {each["name"]: each["status"] for each in said["started"]["stages"]}
    assert (done.returncode, stages) == (1, {"fetch": "succeeded", "build": "failed", "deploy": "skipped"})
    assert "missing.yaml is not in the branch" in said["started"]["message"]
    refused = service.portal.manage("webhook", "redeliver", "in", "999999", "--json", check=False)
    assert (refused.returncode, json.loads(refused.stdout)["error"]["code"]) == (2, "unknown")


def test_a_target_is_tried_by_command(service):
    with hooking.receiver() as receiver:
        words = ("--environment", "shop", "--url", receiver.url, "--internal")
        assert service.portal.json("webhook", "add", "out", "chat", *words)["secret"].startswith("whsec_")
        said = service.portal.json("webhook", "test", "chat")
        assert (said["status"], len(receiver.got)) == ("succeeded", 1)
        again = service.portal.json("webhook", "redeliver", "out", str(said["notice"]), "--wait")
        assert (again["status"], again["id"], again["redelivery_of"]) == ("succeeded", said["id"], said["notice"])
        service.portal.manage("webhook", "change", "out", "chat", "--off")
        assert service.portal.json("webhook", "list")["targets"][0]["enabled"] is False
