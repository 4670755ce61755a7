"""The actions of this room. Who operates an environment deploys into it; who approves is another person with that right."""

from apps.accounts.models import Role
from apps.accounts.policy import OPERATORS, READERS, WRITERS, Rule, register

register(
    {
        "deployments.view": Rule("see releases and deployments", READERS),
        "deployments.release": Rule("make releases", WRITERS),
        "deployments.start": Rule("deploy releases, cancel and take them back", OPERATORS),
        "deployments.approve": Rule("approve somebody else's deployment", OPERATORS),
        # What a repository tells of itself is not for everybody; a hook decides what is built and deployed.
        "hooks.view": Rule("see webhooks, their deliveries and notices", OPERATORS | {Role.AUDITOR}),
        "hooks.manage": Rule("add webhooks, switch them, send and redeliver", OPERATORS),
    }
)
