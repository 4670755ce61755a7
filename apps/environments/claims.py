"""Who else is changing an environment. Rooms above have changes of their own: at any time one change has the stack."""

from __future__ import annotations

from collections.abc import Callable

from apps.environments.models import Environment

# Answers in words what it is doing with the environment now ("deployment 12 of r4, by ann"), "" for nothing.
Claim = Callable[[Environment], str]

_claims: dict[str, Claim] = {}


def register(name: str, claim: Claim) -> None:
    """Make a kind of change known. Registering the same name again replaces it."""
    _claims[name] = claim


def lock(environment: Environment) -> None:
    """Let no other change of the environment begin until this transaction ends."""
    Environment.objects.select_for_update().get(pk=environment.pk)


def held_by(environment: Environment, *, but: str = "") -> str:
    """What changes the environment now, in words; "" for nothing. Asked under `lock`, it stays so. `but` is the kind that
    asks, which knows about its own."""
    answers = (claim(environment) for name, claim in _claims.items() if name != but)
    return next((each for each in answers if each), "")
