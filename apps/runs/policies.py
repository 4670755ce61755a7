"""The actions of this room. Authors run flows in dev; elsewhere operators do."""

from apps.accounts.models import Role
from apps.accounts.policy import OPERATORS, READERS, Rule, register

IN_DEV = frozenset({Role.AUTHOR})

register(
    {
        "runs.view": Rule("see runs", READERS),
        "runs.download": Rule("download outputs", READERS),
        "runs.start": Rule("run flows", OPERATORS, in_dev=IN_DEV),
        "runs.cancel": Rule("cancel runs", OPERATORS, in_dev=IN_DEV),
    }
)
