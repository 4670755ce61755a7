"""The page about roles, made from the policy layer itself."""

from apps.accounts.models import Role
from apps.accounts.policy import ACTIONS, DEV, Rule

BEGINNING = """# Roles

<!-- Made by `manage.py accounts roles --write`; a test says when it is out of date. -->

An account has any number of roles, its own and those of its groups; each is granted in one environment or in all of
them. What no role of an account allows is refused: by the page, by the command, and by the action behind both.

| role | who it is for |
|---|---|
"""

MIDDLE = """
## Who may do what

● yes, where the role is granted · dev: in the environment `dev` alone · ◉ only where the role is granted in every
environment, since it touches the whole house

"""

END = """
An action about something in an environment, such as a run, is asked for in that environment. A role in another one does
not count there. A superuser (nobody is one unless somebody wrote it into the database) may what an admin may.

In the Django admin, state that machines keep is read-only for everybody, admins too; only accounts, groups and roles are
changed there. Whatever is changed, there or by command, is in the [audit](../explanation/audit.md).

## Accounts

- The first start makes the account `admin` with a random password and prints it once, or takes
  `FLOWCONTROL_ADMIN_PASSWORD`. Lost it? `manage.py accounts set-password admin` prints another.
- Accounts, groups and roles are managed under Administration, or by `manage.py accounts create`, `grant`, `revoke`,
  `set-password`, `deactivate`, `activate`, `unlock`, `list`.
- Accounts are not deleted but deactivated: the account is out at once, all its sessions end and do not come back. A new
  password ends the sessions made with the old one. A role that is revoked is gone with the next request.
- A layered test that looks at the portal as a person does makes a *temporary* account, `layered-tests-…`, with the least
  role that suffices and never that of an admin. It is removed when the test is over; where the test was killed it is shut
  out when its time is up, an hour at most, and removed by the next such test. Both is in the audit.
- There is always an active account with the role admin in every environment: taking the last one away is refused.
- Ten wrong passwords for a name from one address lock that name out from there for 15 minutes. An admin unlocks it.

## Commands

A command acts as the account that `--as USER` names; else as the one named like the user of the operating system; else
as `cli:<user>`, which may do everything in development (`FLOWCONTROL_ENV=dev`) and nothing elsewhere, unless
`FLOWCONTROL_CLI_RIGHTS` says otherwise. Naming is not proving: whoever may start commands on the machine is trusted to
say who he is, and the audit has what he said.
"""

WHO = {
    Role.VIEWER: "sees flows, runs, outputs, environments",
    Role.AUTHOR: "writes flows, and runs them in dev",
    Role.OPERATOR: "writes flows, runs and cancels them everywhere, inspects the state",
    Role.ADMIN: "all that, and manages accounts",
    Role.AUDITOR: "reads everything, the audit too, and changes nothing",
}


def render_page() -> str:
    """docs/reference/roles.md, from the actions that all rooms have registered."""
    roles = "".join(f"| {role.label} | {WHO[role]} |\n" for role in Role)
    return BEGINNING + roles + MIDDLE + _table() + END


def _table() -> str:
    head = f"| action | what it is | {' | '.join(role.label for role in Role)} |\n"
    line = f"|---|---|{':-:|' * len(Role)}\n"
    rows = (
        f"| `{action}` | {rule.label} | {' | '.join(_cell(rule, role) for role in Role)} |\n"
        for action, rule in sorted(ACTIONS.items())
    )
    return head + line + "".join(rows)


def _cell(rule: Rule, role: Role) -> str:
    if role in rule.roles:
        return "◉" if rule.everywhere else "●"
    return DEV if role in rule.in_dev else ""
