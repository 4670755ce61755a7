"""Variables and secrets of environments: what is shown of them, what changes them, and what compose is given.

A change is one transaction under the lock of SecretGeneration's row, with its audit event. The value of a secret comes
in by `set_secret` and goes out by `resolved` and `revealed`, and by nothing else.
"""

import difflib
import re
import secrets as randomness
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.views.decorators.debug import sensitive_variables

from apps.accounts import policy
from apps.audit.actions import record
from apps.audit.actors import actor_of
from apps.common import clock
from apps.common.errors import FlowControlError
from apps.common.masking import SHORTEST
from apps.environments import keys, live
from apps.environments.models import Environment, Secret, SecretGeneration, Variable
from apps.environments.sealing import fingerprint, seal, unseal

NAME = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
REFERENCE = "secret:"
MOST_CHARACTERS = 32_768  # Linux gives a process at most 128 KiB in one variable; a character may take four bytes
PLAIN_WORD = re.compile(r"[a-z]{,7}|[0-9]{,7}")
# What the portal's own events and pages say: were such a word a secret, masking it would break them.
HOUSE_WORDS = frozenset({"cancelled", "succeeded", "production", "development", "localhost"})
BATCH = 100  # secrets that one transaction of a rotation encrypts anew

# They would decide which program runs, or which engine and project it acts on, instead of what that project is given.
NOT_OURS = re.compile(
    r"PATH|HOME|SHELL|ENV|BASH_ENV|IFS|(LD|DYLD|PYTHON|DOCKER|SSH|BUILDX?|BUILDKIT|GODEBUG)(_.*)?|PYTHON.*|COMPOSE_(?!PROFILES$).*"
)


class VariableInvalid(FlowControlError):  # noqa: N818
    """A variable or secret cannot be as it was asked for."""

    code = "variable_invalid"


class VariableMissing(FlowControlError):  # noqa: N818
    """There is no such variable or secret."""

    code = "variable_missing"


class SecretInUse(FlowControlError):  # noqa: N818
    """A secret is given to a variable, so it cannot go."""

    code = "secret_in_use"


class ProcessEnvironment(dict[str, str]):
    """Names and values for the environment of a process. Shown, it tells the names alone."""

    def __repr__(self) -> str:
        return f"<ProcessEnvironment of {', '.join(self) or 'nothing'}>"

    __str__ = __repr__


# --- reading ---------------------------------------------------------------------------------------


def variables(environment: Environment) -> QuerySet[Variable]:
    return Variable.objects.filter(environment=environment).order_by("name")


def secrets(environment: Environment) -> QuerySet[Secret]:
    """By name, and without their ciphertext: whoever lists them has no use for it."""
    return Secret.objects.filter(environment=environment).defer("ciphertext").order_by("name")


def plain(environment: Environment) -> dict[str, str]:
    """The variables whose value is plain text."""
    return dict(variables(environment).filter(reference="").values_list("name", "value"))


@sensitive_variables()
def resolved(environment: Environment) -> Mapping[str, str]:
    """Every variable with its value, references resolved, and every secret: for the process environment of `docker
    compose`, never for its arguments.

    From here on this process masks the secrets among them. Raises VariableMissing for a reference to no secret,
    SecretUnreadable, KeysInvalid.
    """
    known = keys.all_keys()
    rows = Secret.objects.filter(environment=environment).select_related("environment")
    values = {row.name: unseal(row, known) for row in rows}
    live.learn(frozenset(values.values()))
    found = ProcessEnvironment(values)
    for each in variables(environment):
        if each.reference and each.reference not in values:
            raise _no_secret(environment, each.reference, values, said_by=f"The variable {each.name}")
        found[each.name] = values[each.reference] if each.reference else each.value
    return found


@sensitive_variables()
def revealed(environment: Environment, name: str) -> str:
    """The value of one secret, for what is done with it here: a signature, an access to a repository. Masked from here on.

    Raises VariableMissing, SecretUnreadable, KeysInvalid.
    """
    row = Secret.objects.filter(environment=environment, name=name).select_related("environment").first()
    if row is None:
        raise _no_secret(environment, name, list(secrets(environment).values_list("name", flat=True)))
    value = unseal(row)
    live.learn(frozenset({value}))
    return value


def require(environment: Environment, names: Iterable[str], given: Mapping[str, str]) -> None:
    """Raise VariableMissing, with the names that were perhaps meant, unless `given` has all `names`."""
    missing = [name for name in names if name not in given]
    if missing:
        raise VariableMissing(
            f"{environment.slug} has no variable or secret {' and no '.join(missing)}.",
            hint=" ".join(
                _meant(
                    name,
                    given,
                    f"set it: `manage.py environment variable set {environment.slug} {name} VALUE`, or as a secret.",
                )
                for name in missing
            ),
        )


# --- variables -------------------------------------------------------------------------------------


@transaction.atomic
def set_variable(*, by: Any, environment: Environment, name: str, value: str) -> Variable:
    """Set a variable to `value`, or by `secret:NAME` to whatever that secret of the same environment is.

    The same again changes nothing and leaves no event. Raises Denied, VariableInvalid, VariableMissing.
    """
    policy.check(by, "environments.secrets", environment.slug)
    _check_name(name)
    _check_value(value, f"The variable {name}")
    reference = value.removeprefix(REFERENCE) if value.startswith(REFERENCE) else ""
    _lock()
    _check_free(Secret, environment, name)
    if value.startswith(REFERENCE):
        value, names = "", list(secrets(environment).values_list("name", flat=True))
        if reference not in names:
            raise _no_secret(environment, reference, names, said_by=f"The variable {name}")
    row = Variable.objects.filter(environment=environment, name=name).first() or Variable(
        environment=environment, name=name
    )
    before = _written(row) if row.pk else None
    if row.pk and (row.value, row.reference) == (value, reference):
        return row
    row.value, row.reference = value, reference
    row.changed_at, row.changed_by = clock.now(), actor_of(by).name
    row.save()
    # Under its own name, so that the audit masks what sounds like a secret but was set as plain text.
    _told("variable.set", by, "variable", environment, name, {name: [before, _written(row)]})
    return row


@transaction.atomic
def unset_variable(*, by: Any, environment: Environment, name: str) -> None:
    """Take a variable away. Raises Denied, VariableMissing."""
    policy.check(by, "environments.secrets", environment.slug)
    _lock()
    row = Variable.objects.filter(environment=environment, name=name).first()
    if row is None:
        names = list(variables(environment).values_list("name", flat=True))
        raise VariableMissing(
            f"{environment.slug} has no variable {name}.",
            hint=_meant(name, names, f"see `manage.py environment variable list {environment.slug}`."),
        )
    row.delete()
    _told("variable.unset", by, "variable", environment, name, {name: [_written(row), None]})


# --- secrets ---------------------------------------------------------------------------------------


@sensitive_variables("value")
@transaction.atomic
def set_secret(*, by: Any, environment: Environment, name: str, value: str) -> Secret:
    """Set a secret, or replace its value. From here on it is masked wherever texts leave the portal.

    The same value again is a change, too: that it was set is in the audit, and its version goes up. Raises Denied,
    VariableInvalid (a value that is too short to be masked, say), KeysInvalid.
    """
    policy.check(by, "environments.secrets", environment.slug)
    _check_name(name)
    _check_value(value, f"The secret {name}")
    _check_maskable(name, value)
    _lock()
    _check_free(Variable, environment, name)
    row = Secret.objects.filter(environment=environment, name=name).first()
    if row is None:
        row = Secret(environment=environment, name=name, version=0)
    row.environment = environment
    row.version += 1
    row.length, row.fingerprint = len(value), fingerprint(row, value)
    row.changed_at, row.changed_by = clock.now(), actor_of(by).name
    seal(row, value)
    row.save()
    _told("secret.set", by, "secret", environment, name, {"version": row.version})
    _changed()
    return row


@transaction.atomic
def delete_secret(*, by: Any, environment: Environment, name: str) -> None:
    """Take a secret away, for good. Raises Denied, VariableMissing, SecretInUse where a variable refers to it."""
    policy.check(by, "environments.secrets", environment.slug)
    _lock()
    row = secrets(environment).filter(name=name).first()
    if row is None:
        raise _no_secret(environment, name, list(secrets(environment).values_list("name", flat=True)))
    used_by = users_of(environment, name)
    if used_by:
        raise SecretInUse(
            f"The secret {name} of {environment.slug} is given to {', '.join(used_by)}.",
            hint=f"Set or unset {'it' if len(used_by) == 1 else 'them'} first: `manage.py environment variable unset {environment.slug} {used_by[0]}`.",
        )
    Secret.objects.filter(pk=row.pk).delete()
    _told("secret.delete", by, "secret", environment, name, {"version": row.version})
    _changed()


def users_of(environment: Environment, name: str) -> list[str]:
    """The variables that refer to a secret."""
    return list(variables(environment).filter(reference=name).values_list("name", flat=True))


# --- rotation --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did."""

    key: str  # the id of the key under which all secrets are now
    made: bool  # whether this one made it; otherwise it was given, or another rotation had begun with it
    encrypted: int  # secrets that were encrypted anew
    retired: tuple[str, ...] = ()  # ids of keys that were thrown away
    unneeded: tuple[str, ...] = ()  # ids of keys that are kept and that no secret needs


def rotate_secrets(*, by: Any, retire: bool = False, batch: int = BATCH) -> Rotation:
    """Make a new key and encrypt every secret under it, `batch` rows a transaction.

    Killed anywhere, each secret is under a key that is kept, and the next rotation goes on under the key of the one that
    was killed. Two at once take turns by the batch, and end under the same key. Old keys stay, since backups of the
    database need them; `retire` throws away those that no secret of the database needs. Where keys are given
    (SECRETS_KEYS) none is made: secrets are encrypted under the first of them.

    Raises Denied, KeysInvalid, and SecretUnreadable for a secret that cannot be opened: those before it are done.
    """
    policy.check(by, "environments.rotate")
    done = _begin_rotation(by)
    while count := _rotate_batch(by, done.key, batch):
        done = replace(done, encrypted=done.encrypted + count)
    return _end_rotation(by, done, retire=retire)


@transaction.atomic
def _begin_rotation(by: Any) -> Rotation:
    _lock()
    newest = keys.newest()
    unfinished = Secret.objects.exclude(key_id=newest.id).exists()
    if keys.are_given() or unfinished:
        return Rotation(newest.id, made=False, encrypted=0)
    made = keys.make()
    record("secrets.rotate", by=by, target=f"key:{made.id}", detail={"made": made.id, "before": newest.id})
    return Rotation(made.id, made=True, encrypted=0)


@sensitive_variables()
@transaction.atomic
def _rotate_batch(by: Any, key_id: str, batch: int) -> int:
    """Returns how many rows it encrypted anew: 0 when none is left. Stops, too, when another rotation made a newer key:
    that one does the rest."""
    _lock()
    known = keys.all_keys()
    if known[0].id != key_id:
        return 0
    rows = list(Secret.objects.select_related("environment").exclude(key_id=key_id).order_by("pk")[:batch])
    for row in rows:
        seal(row, unseal(row, known), known[0])
        row.save(update_fields=["ciphertext", "key_id"])
    if rows:
        record("secrets.encrypt", by=by, target=f"key:{key_id}", detail={"rows": len(rows), "left": _left(key_id)})
    return len(rows)


@transaction.atomic
def _end_rotation(by: Any, done: Rotation, *, retire: bool) -> Rotation:
    _lock()
    needed = set(Secret.objects.values_list("key_id", flat=True))
    known = [key.id for key in keys.all_keys()]
    unneeded = tuple(key for key in known[1:] if key not in needed)
    if not retire or not unneeded or keys.are_given():
        return replace(done, key=known[0], unneeded=unneeded)
    # The event first: a key that is gone without one would be worse than an event whose key is still there.
    record("secrets.retire", by=by, target=f"key:{known[0]}", detail={"keys": list(unneeded)})
    return replace(done, key=known[0], retired=tuple(keys.retire(needed)))


def _left(key_id: str) -> int:
    return Secret.objects.exclude(key_id=key_id).count()


# --- what they share -------------------------------------------------------------------------------


def _lock() -> SecretGeneration:
    """From here to the end of the transaction nobody else changes a variable, a secret or the keys."""
    SecretGeneration.objects.get_or_create(pk=1)
    return SecretGeneration.objects.select_for_update().get(pk=1)


def _changed() -> None:
    SecretGeneration.objects.filter(pk=1).update(number=randomness.randbits(62) + 1)
    live.reload()


def _told(kind: str, by: Any, what: str, environment: Environment, name: str, detail: dict[str, Any]) -> None:
    record(kind, by=by, target=f"{what}:{environment.slug}/{name}", environment=environment.slug, detail=detail)


def _written(row: Variable) -> str:
    return f"{REFERENCE}{row.reference}" if row.reference else row.value


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise VariableInvalid(
            f"'{name[:100]}' is no name of a variable.",
            hint="Capital letters, digits and underscores, a letter first, at most 100: DATABASE_URL.",
        )
    if NOT_OURS.fullmatch(name):
        raise VariableInvalid(
            f"{name} is not for an environment to set: it decides how Docker itself is run.",
            hint="Name the engine and the compose file of the environment instead; for a container, set it in the compose file.",
        )


@sensitive_variables("value")
def _check_value(value: str, what: str) -> None:
    reason = ""
    if "\0" in value:
        reason = "has a NUL in it"
    elif len(value) > MOST_CHARACTERS:
        reason = f"has {len(value):,} characters, more than {MOST_CHARACTERS:,}"
    elif any("\ud800" <= character <= "\udfff" for character in value):
        reason = "is not valid text"
    if reason:
        raise VariableInvalid(f"{what} {reason}.", hint="A process cannot be given such a value; use a file.")


@sensitive_variables("value")
def _check_maskable(name: str, value: str) -> None:
    reason = ""
    if len(value.strip()) < SHORTEST:
        reason = f"is shorter than {SHORTEST} characters"
    elif PLAIN_WORD.fullmatch(value):
        reason = "is a short word or number as any log has them"
    elif value in HOUSE_WORDS or value in set(Environment.objects.values_list("slug", flat=True)):
        reason = "is a word that the portal itself uses"
    if reason:
        raise VariableInvalid(
            f"The secret {name} {reason}: it could not be masked without tearing holes in every text.",
            hint="Choose a longer one, such as `openssl rand -base64 24` prints; what is no secret can be a variable.",
        )


def _check_free(other: type[Variable] | type[Secret], environment: Environment, name: str) -> None:
    if other._default_manager.filter(environment=environment, name=name).exists():
        kind = other.__name__.lower()
        verb = "unset" if other is Variable else "delete"
        raise VariableInvalid(
            f"{environment.slug} has a {kind} {name} already.",
            hint=f"Choose another name, or take that one away: `manage.py environment {kind} {verb} {environment.slug} {name}`.",
        )


def _no_secret(environment: Environment, name: str, known: Collection[str], said_by: str = "") -> VariableMissing:
    subject = f"{said_by} refers to the secret {name[:100]}, which" if said_by else ""
    message = f"{subject} {environment.slug} does not have." if said_by else f"{environment.slug} has no secret {name}."
    return VariableMissing(
        message,
        hint=_meant(name, known, f"set it: `manage.py environment secret set {environment.slug} {name[:100]}`."),
    )


def _meant(name: str, known: Iterable[str], otherwise: str) -> str:
    """A hint: the name that was perhaps meant, and what to do if it was not."""
    close = difflib.get_close_matches(name.upper(), list(known), n=1, cutoff=0.6)
    return f"Did you mean {close[0]}? If not, {otherwise}" if close else otherwise[0].upper() + otherwise[1:]
