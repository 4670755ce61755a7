"""The watch window: a release that serves is watched for a while, and taken back when it turns out bad."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from apps.common import clock
from apps.deployments.stages import moving, smoke
from apps.deployments.stages.stand import DeploymentStand
from apps.environments.containers import proxy as haproxy
from apps.environments.containers import routing
from apps.environments.containers.proxy import Counted
from apps.environments.stages.containers import HEALTHY_SECONDS, last_lines
from apps.environments.stages.model import Outcome, Stage, StageFailed

LOOK_SECONDS = 1.0
# A stray error takes nothing back: it has to be this many, and this share of the answers since the switch.
LEAST_ERRORS = 5
WORST_SHARE = 0.05
HINT = "Mend it, make another release, and deploy that."


@dataclass(frozen=True)
class Figures:
    """What was seen of a release since the switch."""

    seconds: float
    requests: int
    errors: int

    @property
    def is_bad(self) -> bool:
        return self.errors >= LEAST_ERRORS and self.errors > WORST_SHARE * max(1, self.requests)

    def __str__(self) -> str:
        return f"{self.requests} answers, {self.errors} of them errors, in {self.seconds:.0f} s"


def count(stand: DeploymentStand) -> dict[str, int]:
    """Answers and errors of all routes, as the proxy counts them since it started."""
    if not stand.routes:
        return {"requests": 0, "errors": 0}
    said = stand.run(haproxy.ask_command(moving.proxy(stand)), timeout=30.0, stdin=haproxy.COUNT, quiet=True)
    counted = haproxy.counts(said)
    ours = [counted.get(outer, Counted(0, 0)) for outer, _ in stand.routes.values()]
    return {"requests": sum(each.requests for each in ours), "errors": sum(each.errors for each in ours)}


def figures(seconds: float, base: Mapping[str, int], now: Mapping[str, int]) -> Figures:
    """The difference. A proxy that was started anew counts from nothing."""
    if now["requests"] < base["requests"]:
        base = {"requests": 0, "errors": 0}
    return Figures(seconds, now["requests"] - base["requests"], now["errors"] - base["errors"])


def watch(stand: DeploymentStand) -> Outcome:
    """Watch until the environment's window has passed since the switch. Raises StageFailed when the release is bad: its
    share of errors, a container that is not well, a case of the environment's own that fails.
    An attempt that goes on watches what is left of the window."""
    job = stand.deployment
    # From here on by a clock that nobody sets.
    passed = (clock.now() - job.switched_at).total_seconds() if job.switched_at else 0.0
    began_at = time.monotonic() - max(0.0, passed)
    window, base = float(job.environment.watch_seconds), job.watched.get("base") or count(stand)
    job.watched = {**job.watched, "base": dict(base)}
    began = {each.name: each.restarts for each in stand.there()}
    run, words = smoke.begin(stand)
    while True:
        seconds = time.monotonic() - began_at
        seen = figures(seconds, base, count(stand))
        stand.lease.write(watched={**job.watched, **asdict(seen)})
        if seen.is_bad:
            raise StageFailed(f"The new release answers with errors: {seen}.", hint=HINT, tail=_tail(stand))
        check_containers(stand, began)
        if run is not None:
            smoke.check(run)
        starting = _starting(stand, seconds - window)
        if seconds >= window and not starting:
            if run is None:
                return Outcome(f"{seen}; every service is well.{words}")
            # Once more round: what serves is looked at after the last case, too.
            words = smoke.await_end(stand, run)
            run = None
            continue
        waits = f"; waiting for the health of {', '.join(starting)}" if starting else ""
        stand.progress(min(1.0, seconds / max(1.0, window)), f"{seen}{waits}")
        stand.wait(min(LOOK_SECONDS, max(0.1, window - seconds)))


def _starting(stand: DeploymentStand, over: float) -> list[str]:
    """The services whose health is not known yet. Raises StageFailed when that is so for too long over the window."""
    found = sorted({each.service for each in stand.there() if each.is_current and each.health == "starting"})
    if found and over > HEALTHY_SECONDS:
        raise StageFailed(f"{', '.join(found)} does not get healthy.", hint=HINT)
    return found


def check_containers(stand: DeploymentStand, began: Mapping[str, int]) -> None:
    """Raise StageFailed for a container of the release that is not well, is gone, or was started again since."""
    there = [each for each in stand.there() if each.is_current]
    wanted = {name for name, service in stand.config["services"].items() if routing.replicas(service)}
    if gone := sorted(wanted - {each.service for each in there}):
        raise StageFailed(f"{', '.join(gone)} is not there any more.", hint=HINT)
    for each in there:
        if each.state in ("exited", "dead") and (each.exit_code or each.service in stand.routes):
            how = f"has ended with status {each.exit_code}"
        elif each.health == "unhealthy":
            how = "is unhealthy"
        elif each.state == "restarting" or (each.name in began and each.restarts > began[each.name]):
            how = "ended and was started again"
        else:
            continue
        raise StageFailed(f"{each.service} {how}.", hint=HINT, tail=last_lines(stand, each.name))


def _tail(stand: DeploymentStand) -> list[str]:
    return [line for name in moving.targets(stand).values() for line in last_lines(stand, name)]


WATCH = Stage("watch", "Watch it serve", watch)
