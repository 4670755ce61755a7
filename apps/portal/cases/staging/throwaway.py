"""Containers of a case's own: to ask from where the proxy stands, and to be restarted without harm to what runs."""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

import docker.errors
import requests
from docker.models.containers import Container

from apps.environments.containers.found import PROJECT_LABEL, SERVICE_LABEL
from apps.portal.cases.staging.stack import Stack

LABEL = "flowcontrol.case"
# These are no services of the stack. An image that compose built has compose's labels, which its containers would
# inherit: without this they would be taken for services.
NO_SERVICE = {PROJECT_LABEL: "", SERVICE_LABEL: ""}
OLD = timedelta(minutes=10)  # whoever made one so long ago was killed
SAFE: dict[str, Any] = {
    "mem_limit": "256m",
    "nano_cpus": 1_000_000_000,
    "pids_limit": 100,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "init": True,
}


def ask(stack: Stack, *arguments: str, seconds: float) -> Any:
    """What probe.py answers from a container beside the proxy, with the image of `app`, as a document."""
    app, proxy = stack.one("app"), stack.one("proxy")
    script = (resources.files(__package__) / "probe.py").read_text(encoding="utf-8")
    networks = list(proxy.networks)
    assert networks, "the proxy is on no network"
    with container(
        stack,
        app.image_id,
        ["-S", "-c", script, *arguments],
        entrypoint=["python"],
        network=networks[0],
        user="65534:65534",
        read_only=True,
        healthcheck={"test": ["NONE"]},
    ) as asking:
        try:
            status = asking.wait(timeout=seconds)["StatusCode"]
        except requests.exceptions.RequestException as error:
            raise AssertionError(f"{' '.join(arguments[:2])} did not end within {seconds:g} s") from error
        said = asking.logs(stdout=True, stderr=False).decode("utf-8", "replace")
        assert status == 0, f"asking ended with {status}: {asking.logs().decode('utf-8', 'replace')[-400:]}"
        return json.loads(said)


@contextmanager
def container(stack: Stack, image: str, command: list[str], **options: Any) -> Iterator[Container]:
    """One that is started, and removed with its volumes however the case ends. Those that a killed case left are removed
    first."""
    _remove_left(stack)
    made = stack.client.containers.create(
        image,
        command,
        name=f"flowcontrol-case-{uuid.uuid4().hex[:12]}",
        labels={LABEL: stack.project, **NO_SERVICE},
        **SAFE | options,
    )
    try:
        made.start()
        yield made
    finally:
        _remove(made)


def _remove_left(stack: Stack) -> None:
    for each in stack.client.containers.list(
        all=True, filters={"label": f"{LABEL}={stack.project}"}, ignore_removed=True
    ):
        made_at = datetime.fromisoformat(each.attrs["Created"][:19]).replace(tzinfo=UTC)
        if datetime.now(UTC) - made_at > OLD:
            _remove(each)


def _remove(made: Container) -> None:
    try:
        made.remove(force=True, v=True)
    except docker.errors.NotFound:
        pass
    except docker.errors.APIError as error:
        if error.status_code != 409:  # it is being removed already
            raise


def until(what: str, answer: Any, wanted: Any, seconds: float) -> None:
    """Ask again and again until it is as wanted. Raises AssertionError with the last answer."""
    deadline = time.monotonic() + seconds
    said = answer()
    while said != wanted:
        assert time.monotonic() < deadline, f"{what}: {said!r} after {seconds:g} s"
        time.sleep(0.1)
        said = answer()
