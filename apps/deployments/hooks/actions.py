"""What people do with hooks: add one, switch it on or off, send something once more. One transaction with its audit each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.views.decorators.debug import sensitive_variables

from apps.accounts import policy
from apps.audit.actions import record
from apps.audit.actors import actor_of
from apps.common.errors import FlowControlError
from apps.deployments.hooks import notices, receiving, repositories, sending, signing
from apps.deployments.hooks.models import Delivery, HookSource, HookTarget, Notice
from apps.deployments.hooks.repositories import SourceInvalid
from apps.environments import variables
from apps.environments.models import Environment, Secret

MANAGE = "hooks.manage"


class HookExists(FlowControlError):  # noqa: N818  it is what the person reads
    """There is a hook of that name already."""

    code = "hook_exists"


class NotRedelivered(FlowControlError):  # noqa: N818
    """This is not sent or taken once more."""

    code = "not_redelivered"


@sensitive_variables()
@transaction.atomic
def add_source(
    *,
    by: Any,
    name: str,
    environment: Environment,
    provider: str,
    repository: str,
    branch: str = "main",
    compose_path: str = "compose.yaml",
    secret: str = "",
    credential: str = "",
    events: Sequence[str] = ("push",),
) -> tuple[HookSource, str]:
    """Take hooks for a repository. Where the environment has no secret of that name, one is made; its value is in the
    answer, once, else "". Raises Denied, SourceInvalid, HookExists, VariableInvalid."""
    policy.check(by, MANAGE, environment.slug)
    _check_name(name, HookSource)
    if provider not in HookSource.Provider.values:
        raise SourceInvalid(f"There is no provider '{provider[:50]}'.", hint="github, gitlab or generic.")
    if not events or not all(each.isprintable() and 0 < len(each) <= 100 for each in events):
        raise SourceInvalid("A hook is about one event at least.", hint="Such as push.")
    secret, value = _secret(by, environment, secret or default_secret(name))
    row = HookSource.objects.create(
        name=name,
        environment=environment,
        provider=provider,
        repository=repositories.check_repository(repository),
        branch=repositories.check_branch(branch),
        compose_path=repositories.check_compose_path(compose_path),
        secret=secret,
        credential=_known_secret(environment, credential) if credential else "",
        events=list(events),
        created_by=actor_of(by).name,
    )
    detail = {"repository": repository, "branch": branch, "provider": provider, "events": list(events)}
    record("hook.add", by=by, target=f"hook:{name}", environment=environment.slug, detail=detail)
    return row, value


@sensitive_variables()
@transaction.atomic
def add_target(
    *,
    by: Any,
    name: str,
    environment: Environment,
    url: str,
    secret: str = "",
    events: Sequence[str] = (HookTarget.SUCCESS, HookTarget.FAILURE),
    internal: bool = False,
) -> tuple[HookTarget, str]:
    """Tell an address of the environment's deployments. The secret is as that of `add_source`. Raises Denied,
    SourceInvalid, AddressRefused, HookExists."""
    policy.check(by, MANAGE, environment.slug)
    _check_name(name, HookTarget)
    sending.parse(url)
    if not events or not set(events) <= {HookTarget.SUCCESS, HookTarget.FAILURE}:
        raise SourceInvalid("It tells of on_deploy_success, on_deploy_failure or both.")
    secret, value = _secret(by, environment, secret or default_secret(name))
    row = HookTarget.objects.create(
        name=name,
        environment=environment,
        url=url,
        secret=secret,
        events=list(events),
        is_internal=internal,
        created_by=actor_of(by).name,
    )
    detail = {"url": url, "events": list(events), "internal": internal}
    record("hook.add", by=by, target=f"hook-target:{name}", environment=environment.slug, detail=detail)
    return row, value


def default_secret(name: str) -> str:
    """The name of the secret of a hook that names none."""
    return "HOOK_" + name.upper().replace("-", "_")


@transaction.atomic
def switch(*, by: Any, hook: HookSource | HookTarget, on: bool) -> bool:
    """Switch a hook on or off. Returns whether it was otherwise before. Raises Denied."""
    policy.check(by, MANAGE, hook.environment.slug)
    model: Any = type(hook)
    more = {"disabled_because": ""} if isinstance(hook, HookTarget) else {}
    if not model.objects.filter(pk=hook.pk, enabled=not on).update(enabled=on, **more):
        return False
    kind = "hook" if isinstance(hook, HookSource) else "hook-target"
    verb = "hook.enable" if on else "hook.disable"
    record(verb, by=by, target=f"{kind}:{hook.name}", environment=hook.environment.slug, detail={})
    return True


@transaction.atomic
def change_secret(*, by: Any, hook: HookSource | HookTarget, secret: str, old_secret: str = "") -> None:
    """Sign with another secret of the environment. With `old_secret`, that one counts too until it is changed again. Raises
    Denied, SourceInvalid."""
    policy.check(by, MANAGE, hook.environment.slug)
    hook.secret = _known_secret(hook.environment, secret)
    hook.old_secret = _known_secret(hook.environment, old_secret) if old_secret else ""
    hook.save(update_fields=["secret", "old_secret"])
    kind = "hook" if isinstance(hook, HookSource) else "hook-target"
    detail = {"now": secret, "also": old_secret}
    record("hook.rotate", by=by, target=f"{kind}:{hook.name}", environment=hook.environment.slug, detail=detail)


@transaction.atomic
def redeliver(*, by: Any, delivery: Delivery) -> Delivery:
    """Do what a hook asked for once more: the branch is fetched as it is now. Raises Denied, NotRedelivered for one that
    nobody has signed."""
    source = delivery.source
    if source is None:
        raise NotRedelivered("It was sent to no hook that there is.")
    policy.check(by, MANAGE, source.environment.slug)
    if not delivery.is_signed or delivery.verdict == Delivery.Verdict.PING:
        raise NotRedelivered(
            f"Delivery {delivery.pk} is {delivery.verdict}: it asked for nothing that could be done.",
            hint="Let its sender send another.",
        )
    if not source.enabled:
        raise NotRedelivered(f"{source} is switched off.", hint="Switch it on first.")
    HookSource.objects.select_for_update().get(pk=source.pk)
    actor = actor_of(by).name
    row = Delivery.objects.create(
        source=source,
        event=delivery.event,
        delivery_id=delivery.delivery_id,
        body_bytes=delivery.body_bytes,
        body_sha256=delivery.body_sha256,
        is_signed=True,
        verdict=Delivery.Verdict.ACCEPTED,
        status=202,
        message=f"{source.branch} is fetched.",
        redelivery_of=delivery,
        by=actor,
        fetch=receiving.waiting_fetch(source),
    )
    receiving.audit(row, by)
    return row


@transaction.atomic
def resend(*, by: Any, notice: Notice) -> Notice:
    """Send a notice once more, under the same id. Raises Denied, NotRedelivered where it is still being sent."""
    policy.check(by, MANAGE, notice.target.environment.slug)
    if not notice.is_final:
        raise NotRedelivered(f"Notice {notice.pk} is still being sent.", hint="Wait for its next try.")
    row = Notice(
        target=notice.target,
        event=notice.event,
        message_id=notice.message_id,
        body=notice.body,
        redelivery_of=notice,
        requested_by=actor_of(by).name,
    )
    return _told(notices.put(row), by, "hook.resend", {"of": notice.pk})


@transaction.atomic
def test(*, by: Any, target: HookTarget) -> Notice:
    """Send a message of the type `test`. Raises Denied."""
    policy.check(by, MANAGE, target.environment.slug)
    data = {
        "environment": target.environment.slug,
        "message": f"A test of {target.name}, asked for by {actor_of(by).name}.",
    }
    return _told(notices.make(target, HookTarget.TEST, data), by, "hook.test", {})


def _told(notice: Notice, by: Any, kind: str, detail: dict[str, Any]) -> Notice:
    target = notice.target
    record(
        kind,
        by=by,
        target=f"hook-target:{target.name}",
        environment=target.environment.slug,
        detail={"notice": notice.pk, **detail},
    )
    return notice


def _check_name(name: str, model: Any) -> None:
    if not (0 < len(name) <= 50 and name.replace("-", "").isalnum() and name.isascii() and name == name.lower()):
        raise SourceInvalid(f"'{name[:60]}' is no name of a hook.", hint="Small letters, digits and dashes: shop-main.")
    if model.objects.filter(name=name).exists():
        raise HookExists(f"There is a hook {name} already.", hint="Choose another name.")


def _known_secret(environment: Environment, name: str) -> str:
    if not Secret.objects.filter(environment=environment, name=name).exists():
        raise SourceInvalid(
            f"{environment.slug} has no secret {name[:100]}.",
            hint=f"Set it first: `manage.py environment secret set {environment.slug} {name[:100]}`.",
        )
    return name


@sensitive_variables()
def _secret(by: Any, environment: Environment, name: str) -> tuple[str, str]:
    """(its name, its value where it was made just now)."""
    if Secret.objects.filter(environment=environment, name=name).exists():
        return name, ""
    value = signing.new_secret()
    variables.set_secret(by=by, environment=environment, name=name, value=value)
    return name, value
