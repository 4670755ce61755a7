"""Stages of Flow Control's own stacks: the bridge's state, the folder of a built stack, its answers, hot reload."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.bridge.errors import BridgeRefusal
from apps.bridge.protocol import Bridge
from apps.common.files import write_atomic
from apps.environments.models import StackJob
from apps.environments.stages import containers, stack
from apps.environments.stages.model import Outcome, Stage, StageFailed
from apps.environments.stages.platform import is_local
from apps.environments.stages.stand import Stand
from apps.jobs.states import FINAL

SECRETS = ("postgres_password", "secret_key", "audit_key", "admin_password", "metrics_token")
FOLDERS = ("data", "logs", "proxy", "secrets")
ANSWER_SECONDS = 90.0
RELOAD_SECONDS = 30.0
LOOK_SECONDS = 0.2
OPENER = "stack"  # a session of the bridge that a stack job has opened is known by `stack:<its number>`


# --- the bridge ------------------------------------------------------------------------------------------


def init_bridge(stand: Stand) -> Outcome:
    """The state database of the bridge is there, whole and of this version, and a session can be opened.

    In development the session stays open for the tests that follow; a built stack's tests open their own.
    """
    data = _data(stand)
    if stand.switches.get("BRIDGE_PROTOCOL") == "inactive":
        return Outcome("Switched off by BRIDGE_PROTOCOL=inactive.", skipped=True)
    token = f"{OPENER}:{stand.job.pk}"
    bridge = Bridge(data, stand.environment.slug, actor=f"{OPENER} {stand.job.pk}")
    try:
        _end_left_behind(bridge)
        session = bridge.init(reason=f"the stack of {stand.environment.slug} goes up", token=token)
        if not tests_follow(stand):
            bridge.abort("the way is clear; tests open a session of their own")
    except BridgeRefusal as refusal:
        raise StageFailed(refusal.message, hint=refusal.cure) from refusal
    finally:
        _give_to_containers(stand, data)
    return Outcome(f"Session {session.id[:8]} in {data / 'test_state.db'}.")


def tests_follow(stand: Stand) -> bool:
    return stand.environment.slug == "dev" and stand.switches.get("TEST_FRAMEWORK") == "enabled"


def _end_left_behind(bridge: Bridge) -> None:
    """End the session of a stack job that has ended without it."""
    try:
        active = bridge.status().session
    except BridgeRefusal:
        return  # there is none, or `init` says what is wrong
    name, _, number = active.token.partition(":")
    if name != OPENER or not number.isdigit() or active.state in ("completed", "failed", "aborted"):
        return
    owner = StackJob.objects.filter(pk=int(number)).first()
    if owner is None or owner.state in FINAL:
        bridge.abort("its stack job has ended without it")


# --- the folder of a built stack -------------------------------------------------------------------------


def _data(stand: Stand) -> Path:
    """Where the stack keeps its state on this machine, with what a first start needs."""
    if stand.environment.slug == "dev":
        return Path(settings.DATA)
    if not is_local(stand):
        raise StageFailed(
            "Flow Control's own stack is brought up on the machine where it is to run.",
            hint="Log in there and run it there; other compose projects can be deployed from here.",
        )
    folder = state_folder(stand.switches)
    try:
        prepare_state(folder)
    except PermissionError as error:
        raise StageFailed(
            f"{error.filename or folder} cannot be written by you.",
            hint=f"`sudo install -d -o $USER {folder}`, or choose a folder of yours: {stack.STATE}=$HOME/flow-control.",
        ) from error
    except OSError as error:
        raise StageFailed(
            f"{folder} cannot be prepared: {error.strerror}.", hint="Make room, or choose another folder."
        ) from error
    return folder / "data"


def state_folder(switches: Mapping[str, str]) -> Path:
    return Path(switches.get(stack.STATE) or stack.DEFAULT_STATE).expanduser()


def password_file(slug: str, switches: Mapping[str, str]) -> Path:
    """Where the first password of the account `admin` is."""
    if slug == "dev":
        return Path(settings.DATA) / "run" / "admin_password"
    return state_folder(switches) / "secrets" / "admin_password"


def prepare_state(folder: Path) -> None:
    """Make the folders, and each secret that is not there yet. Done again it changes nothing.

    Secrets are files that any user of a container may read, in a folder that nobody else on this machine may enter.
    """
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "secrets").chmod(0o700)
    for name in SECRETS:
        path = folder / "secrets" / name
        if not path.exists():
            write_atomic(path, secrets.token_urlsafe(16 if name == "admin_password" else 48), mode=0o444)


def _give_to_containers(stand: Stand, data: Path) -> None:
    """What root has made belongs to the account that the containers run as."""
    if os.getuid() or stand.environment.slug == "dev":
        return
    uid, gid = int(stand.switches["FLOWCONTROL_UID"]), int(stand.switches["FLOWCONTROL_GID"])
    for top in (data, data.parent / "logs", data.parent / "proxy"):
        for path in (top, *top.rglob("*")) if top.exists() else ():
            with contextlib.suppress(FileNotFoundError):
                if path.lstat().st_uid == 0:
                    # Never through a link: the folders are theirs, and may hold other things by now.
                    os.chown(path, uid, gid, follow_symlinks=False)


# --- its answers -----------------------------------------------------------------------------------------


def check_health(stand: Stand) -> Outcome:
    """Every service is healthy, and in our own stacks the ports that people use answer."""
    healthy = containers.await_health(stand)
    if not stand.environment.runs_ourselves or not is_local(stand):
        return healthy
    answers = [("the portal", f"http://127.0.0.1:{stand.switches['APP_PORT']}/readyz")]
    if stand.environment.slug != "dev":
        answers.append(("the webhook service", f"http://127.0.0.1:{stand.switches['WEBHOOK_PORT']}/healthz"))
    for name, address in answers:
        _await_answer(stand, name, address)
    places = " and ".join(f"{name} on {address.split('/')[2].rpartition(':')[2]}" for name, address in answers)
    return Outcome(f"{healthy.message} {places[0].upper()}{places[1:]} answer{'s'[: len(answers) == 1]}.")


def _await_answer(stand: Stand, name: str, address: str) -> dict[str, Any]:
    """What it answers, in JSON, as soon as it does so well."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        found = answer(address)
        if isinstance(found, dict):
            return found
        if time.monotonic() > deadline:
            raise StageFailed(
                f"{name[0].upper()}{name[1:]} does not answer well at {address}: {found}",
                hint=f"See its log: `manage.py environment logs {stand.environment.slug}`.",
            )
        stand.progress(0.9, f"waiting for {name}")
        stand.wait(LOOK_SECONDS)


def answer(address: str) -> dict[str, Any] | str:
    """The JSON document that an address answers, or in words why not."""
    try:
        with urllib.request.urlopen(address, timeout=5) as response:  # noqa: S310  ours, and http
            document = json.loads(response.read() or b"{}")
            return document if isinstance(document, dict) else {}
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read(300).decode('utf-8', 'replace')}"
    except (OSError, ValueError) as error:
        return str(error)


# --- hot reload ------------------------------------------------------------------------------------------


def check_reload(stand: Stand) -> Outcome:
    """A file that appears beside the portal's code makes it serve from a new process: how long that takes."""
    if stand.switches.get("HOT_RELOAD") != "true":
        return Outcome("Switched off by HOT_RELOAD=false.", skipped=True)
    address = f"http://127.0.0.1:{stand.switches['APP_PORT']}/readyz"
    before = _await_answer(stand, "the portal", address)["since"]
    for left in (stand.folder / "flowcontrol").glob(".reload-*.py"):  # by an attempt that was killed
        left.unlink(missing_ok=True)
    probe = stand.folder / "flowcontrol" / f".reload-{os.getpid()}-{time.monotonic_ns()}.py"
    began = time.monotonic()
    try:
        probe.write_text("")
        now = _await_restart(stand, address, before)
        seconds = time.monotonic() - began
    finally:
        probe.unlink(missing_ok=True)
    _await_restart(stand, address, now)  # for its going away, too: then nobody's first page meets it
    return Outcome(f"On: a changed file is live after {seconds:.1f} s.")


def _await_restart(stand: Stand, address: str, before: str) -> str:
    """When the portal that answers now began to serve, as soon as that is not `before`."""
    deadline = time.monotonic() + RELOAD_SECONDS
    while not isinstance(now := answer(address), dict) or now["since"] == before:
        if time.monotonic() > deadline:
            raise StageFailed(
                f"A changed file is not live after {RELOAD_SECONDS:.0f} s.",
                hint="See the log of the service dev. On some file systems changes are not told: is the project on a network drive?",
            )
        stand.wait(LOOK_SECONDS)
    return str(now["since"])


# --- monitoring ------------------------------------------------------------------------------------------


def check_monitoring(stand: Stand) -> Outcome:
    """What minds the stack is at work: Prometheus reaches all it asks, the controller makes its passes."""
    address = f"http://127.0.0.1:{stand.switches['APP_PORT']}/readyz"
    ready = _await_answer(stand, "the portal", address)
    said = [f"The controller's last pass ended {ready['supervisor_tick_seconds']:.0f} s ago"]
    if stand.switches.get("MONITORING") == "enabled":
        said.append(f"Prometheus reaches {_await_targets(stand)} targets")
    else:
        said.append("MONITORING is disabled")
    said.append("recovery is armed" if stand.switches.get("RECOVERY") == "active" else "RECOVERY is inactive")
    return Outcome("; ".join(said) + ".")


def _await_targets(stand: Stand) -> int:
    ask = ("wget", "-q", "-O", "-", "http://127.0.0.1:9090/api/v1/targets?state=active")
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        said = containers.docker(stand, containers.compose(stand).execute("prometheus", *ask))
        targets = json.loads(said)["data"]["activeTargets"]
        bad = [each for each in targets if each["health"] != "up"]
        if targets and not bad:
            return len(targets)
        if time.monotonic() > deadline:
            what = "; ".join(f"{each['labels'].get('job')}: {each['lastError'] or each['health']}" for each in bad)
            raise StageFailed(
                f"Prometheus does not reach {what or 'anything'}.", hint="See monitoring/prometheus/prometheus.yml."
            )
        stand.progress(0.5, f"waiting for Prometheus to reach {len(bad)} of {len(targets)} targets")
        stand.wait(LOOK_SECONDS * 5)


BRIDGE = Stage("bridge", "Bridge protocol", init_bridge)
HEALTH = Stage("health", "Health check", check_health, again=True)
RELOAD = Stage("reload", "Hot reload", check_reload)
MONITOR = Stage("monitor", "Monitor state", check_monitoring)
