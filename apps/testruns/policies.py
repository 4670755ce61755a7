"""The actions of this room. Authors test dev; elsewhere operators do."""

from apps.accounts.models import Role
from apps.accounts.policy import OPERATORS, READERS, Rule, register

IN_DEV = frozenset({Role.AUTHOR})

register(
    {
        "testruns.view": Rule("see test runs", READERS),
        "testruns.start": Rule("run the layered tests", OPERATORS, in_dev=IN_DEV),
        "testruns.cancel": Rule("cancel test runs", OPERATORS, in_dev=IN_DEV),
        "testruns.quarantine": Rule("put cases into quarantine", OPERATORS, in_dev=IN_DEV),
    }
)
