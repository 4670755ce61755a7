"""The actions of this room."""

from apps.accounts.policy import READERS, Rule, register

register({"environments.view": Rule("see the environments", READERS)})
