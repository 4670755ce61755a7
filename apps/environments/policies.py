"""The actions of this room. An environment's stack is brought up and down by its operators; who may make environments
says where releases go, so that is an admin's of the whole house."""

from apps.accounts.models import Role
from apps.accounts.policy import ADMINS, OPERATORS, READERS, Rule, register

register(
    {
        "environments.view": Rule("see the environments", READERS),
        "environments.manage": Rule("add and change environments", ADMINS, everywhere=True),
        "environments.change": Rule("bring the stack of an environment up and down", OPERATORS),
        "environments.logs": Rule("read the logs of an environment's containers", OPERATORS),
        "environments.snapshot": Rule("save, check and prune snapshots of an environment's state", OPERATORS),
        "environments.restore": Rule("restore an environment's state from a snapshot", OPERATORS),
        # Values of variables are plain text, and names of secrets tell what there is to steal: not for everybody.
        "environments.variables": Rule("see variables, and which secrets are set", OPERATORS | {Role.AUDITOR}),
        "environments.secrets": Rule("set variables and secrets", OPERATORS),
        "environments.rotate": Rule("change the keys of the secrets", ADMINS, everywhere=True),
    }
)
