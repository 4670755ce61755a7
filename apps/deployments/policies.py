"""The actions of this room. Who operates an environment deploys into it; who approves is another person with that right."""

from apps.accounts.policy import OPERATORS, READERS, WRITERS, Rule, register

register(
    {
        "deployments.view": Rule("see releases and deployments", READERS),
        "deployments.release": Rule("make releases", WRITERS),
        "deployments.start": Rule("deploy releases, cancel and take them back", OPERATORS),
        "deployments.approve": Rule("approve somebody else's deployment", OPERATORS),
    }
)
