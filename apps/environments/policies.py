"""The actions of this room. An environment's stack is brought up and down by its operators; who may make environments
says where releases go, so that is an admin's of the whole house."""

from apps.accounts.policy import ADMINS, OPERATORS, READERS, Rule, register

register(
    {
        "environments.view": Rule("see the environments", READERS),
        "environments.manage": Rule("add and change environments", ADMINS, everywhere=True),
        "environments.change": Rule("bring the stack of an environment up and down", OPERATORS),
        "environments.logs": Rule("read the logs of an environment's containers", OPERATORS),
    }
)
