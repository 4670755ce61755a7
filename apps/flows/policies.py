"""The actions of this room."""

from apps.accounts.policy import READERS, WRITERS, Rule, register

register(
    {
        "flows.view": Rule("see flows", READERS),
        "flows.edit": Rule("write flows", WRITERS),
        "flows.delete": Rule("archive flows", WRITERS),
    }
)
