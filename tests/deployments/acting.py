"""A worker that does what it is told: it claims a new deployment, and performs each stage by the lines that it reads.

    python -m tests.deployments.acting shop-staging r4

It prints the number of the deployment. Then: `say WORDS` writes to the log, `seen SECONDS REQUESTS ERRORS` are figures of
the watch window, `ok WORDS` ends a stage well, `bad WORDS` badly.
"""

import sys

import django

django.setup()

from apps.audit.actors import Actor  # noqa: E402
from apps.common import clock  # noqa: E402
from apps.deployments import plans, queries  # noqa: E402
from apps.deployments.models import Deployment, Release  # noqa: E402
from apps.deployments.record import open_stages  # noqa: E402
from apps.deployments.stages import forward  # noqa: E402
from apps.environments.models import Environment  # noqa: E402
from apps.environments.stages.attempt import Attempt  # noqa: E402
from apps.environments.stages.model import Outcome, Stage, StageFailed  # noqa: E402
from apps.environments.stages.stand import Stand  # noqa: E402
from apps.jobs import leases  # noqa: E402
from apps.jobs.states import State  # noqa: E402

BY = Actor("ann", "system")


class Told(Stand):
    def describe(self):
        return (), None


def act(stand: Told) -> Outcome:
    for line in sys.stdin:
        verb, _, words = line.strip().partition(" ")
        if verb == "say":
            stand.say(words)
        elif verb == "seen":
            seconds, requests, errors = words.split()
            stand.lease.write(watched={"seconds": float(seconds), "requests": int(requests), "errors": int(errors)})
            stand.tell(float(seconds) / stand.environment.watch_seconds, f"{requests} answers")
        elif verb == "bad":
            raise StageFailed(words, hint="Mend it.", tail=["GET / 500"])
        else:
            return Outcome(words)
    raise SystemExit("nobody says what to do")


class Acting(Attempt):
    def stand(self) -> Told:
        return Told(self.job, self.lease)

    def stage(self, name: str) -> Stage:
        return Stage(name, name, act)

    def failed(self, row, message: str) -> None:
        why = f"{row.title}: {message} {self.job.previous} serves again."
        self.lease.finish(State.FAILED, why, outcome=Deployment.Outcome.REVERTED)


def main(slug: str, name: str) -> None:
    environment, release = Environment.objects.get(slug=slug), Release.objects.get(name=name)
    plan = plans.make(release, environment)
    row = Deployment.objects.create(
        environment=environment,
        release=release,
        previous=queries.in_force(environment),
        plan=plan,
        plan_digest=plan["digest"],
        queue="docker",
        queued_at=clock.now(),
        requested_by=BY.name,
    )
    open_stages(row, forward.STAGES)
    lease = leases.claim(Deployment, row.pk, worker="acting@test")
    assert lease is not None
    print(row.pk, flush=True)
    job = Deployment.objects.select_related("environment", "release", "previous").get(pk=row.pk)
    with lease:
        Acting(lease, job, lambda: f"{release} serves in {environment.name}.").perform()


if __name__ == "__main__":
    main(*sys.argv[1:])
