"""`manage.py accounts …`: the first admin, accounts and their roles."""

import secrets
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandParser

from apps.accounts import actions, actors, policy, reference
from apps.accounts.console import WELL, add_account, add_json, print_json, print_rows, run, say
from apps.accounts.models import Role, RoleGrant, User

PAGE = Path("docs/reference/roles.md")


class Command(BaseCommand):
    help = "Make accounts and say what they may do. Every change is in the audit, with the account that made it."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
        first = verbs.add_parser(
            "first-admin", help="make the account `admin` where there is none, and print its password"
        )
        create = verbs.add_parser("create", help="make an account; prints a random password unless one is given")
        create.add_argument("name")
        create.add_argument("--role", choices=Role.values, default="", help="a role to begin with")
        create.add_argument("--env", default="", metavar="SLUG", help="the role holds in this environment alone")
        for verb, text in (("grant", "give a role to an account or a group"), ("revoke", "take a role back")):
            change = verbs.add_parser(verb, help=text)
            change.add_argument("name")
            change.add_argument("role", choices=Role.values)
            change.add_argument("--env", default="", metavar="SLUG", help="in this environment alone; default: in all")
            change.add_argument("--group", action="store_true", help="NAME is a group")
        password = verbs.add_parser("set-password", help="set a password; prints a random one unless one is given")
        password.add_argument("name")
        for each in (create, password):
            each.add_argument(
                "--password-stdin", action="store_true", help="read the password from the first line of stdin"
            )
        for verb, text in (
            ("deactivate", "shut an account out, and end its sessions"),
            ("activate", "let it in again"),
            ("unlock", "forget its failed logins"),
        ):
            verbs.add_parser(verb, help=text).add_argument("name")
        verbs.add_parser("list", help="accounts and their roles")
        for verb, each in verbs.choices.items():
            add_json(each)
            if each is not first:
                add_account(each)
            each.set_defaults(act=ACTS[verb])
        page = verbs.add_parser("roles", help="print the page about roles")
        page.add_argument("--write", action="store_true", help=f"write it to {PAGE} instead")
        page.set_defaults(act=show_roles)

    def handle(self, *args: Any, **options: Any) -> None:
        run(options["act"], options)


def first_admin(options: dict[str, Any]) -> int:
    name, password = actions.ensure_first_admin(settings.ADMIN_PASSWORD or None)
    if password or options["json"]:
        _tell(options, {"username": name, "password": password}, f"{name} {password}")
    else:
        say("There are accounts already, or the password was given by FLOWCONTROL_ADMIN_PASSWORD: nothing to tell.")
    return WELL


def create(options: dict[str, Any]) -> int:
    by, password = actors.for_command(options["account"]), _password(options)
    user = actions.create_user(
        by=by, username=options["name"], password=password, role=options["role"], environment=options["env"]
    )
    shown = None if options["password_stdin"] else password
    _tell(options, {"username": user.username, "password": shown}, f"{user.username} {shown}" if shown else "")
    return WELL


def set_password(options: dict[str, Any]) -> int:
    by, password = actors.for_command(options["account"]), _password(options)
    user = _user(options["name"])
    actions.set_password(by=by, user=user, password=password)
    shown = None if options["password_stdin"] else password
    _tell(options, {"username": user.username, "password": shown}, f"{user.username} {shown}" if shown else "")
    return WELL


def grant(options: dict[str, Any]) -> int:
    by, holder = actors.for_command(options["account"]), _holder(options)
    before = RoleGrant.objects.count()
    actions.grant_role(by=by, role=options["role"], environment=options["env"], **holder)
    return _granted(options, changed=RoleGrant.objects.count() > before, present=True)


def revoke(options: dict[str, Any]) -> int:
    by, holder = actors.for_command(options["account"]), _holder(options)
    policy.check(by, "accounts.manage")
    found = RoleGrant.objects.filter(role=options["role"], environment=options["env"], **holder).first()
    if found:
        actions.revoke_role(by=by, grant=found)
    return _granted(options, changed=bool(found), present=False)


def _granted(options: dict[str, Any], *, changed: bool, present: bool) -> int:
    where = options["env"] or "every environment"
    text = f"{options['name']} {'has' if present else 'does not have'} the role {options['role']} in {where}."
    if options["json"]:
        print_json(
            {"name": options["name"], "role": options["role"], "environment": options["env"], "changed": changed}
        )
    else:
        say(text, "" if changed else "It was so before.")
    return WELL


def deactivate(options: dict[str, Any]) -> int:
    return _switch(options, actions.deactivate_user)


def activate(options: dict[str, Any]) -> int:
    return _switch(options, actions.activate_user)


def unlock(options: dict[str, Any]) -> int:
    return _switch(options, actions.unlock_user)


def _switch(options: dict[str, Any], act: Any) -> int:
    user = _user(options["name"])
    act(by=actors.for_command(options["account"]), user=user)
    if options["json"]:
        print_json({"username": user.username, "active": user.is_active})
    else:
        say(f"{user.username} is {'active' if user.is_active else 'shut out'}.")
    return WELL


def list_accounts(options: dict[str, Any]) -> int:
    policy.check(actors.for_command(options["account"]), "admin.view")
    users = User.objects.order_by("username").prefetch_related("grants", "groups__grants")
    found = [{"username": each.username, "active": each.is_active, "roles": _roles(each)} for each in users]
    if options["json"]:
        print_json({"accounts": found})
        return WELL
    rows = [
        (each.username, "yes" if each.is_active else "no", ", ".join(_words(role) for role in _roles(each)) or "none")
        for each in users
    ]
    print_rows(("ACCOUNT", "ACTIVE", "ROLES"), rows)
    return WELL


def show_roles(options: dict[str, Any]) -> int:
    if options["write"]:
        (settings.BASE_DIR / PAGE).write_text(reference.render_page(), encoding="utf-8")
    else:
        sys.stdout.write(reference.render_page())
    return WELL


def _roles(user: User) -> list[dict[str, str]]:
    own = [("", each) for each in user.grants.all()]
    by_group = [(group.name, each) for group in user.groups.all() for each in group.grants.all()]
    found = sorted((each.role, each.environment, group) for group, each in own + by_group)
    return [{"role": role, "environment": environment, "group": group} for role, environment, group in found]


def _words(role: dict[str, str]) -> str:
    where = f" in {role['environment']}" if role["environment"] else ""
    return role["role"] + where + (f" (by {role['group']})" if role["group"] else "")


def _tell(options: dict[str, Any], document: dict[str, Any], text: str) -> None:
    """A password goes to stdout once, and nowhere else."""
    if options["json"]:
        print_json(document)
    elif text:
        sys.stdout.write(text + "\n")


def _password(options: dict[str, Any]) -> str:
    return sys.stdin.readline().rstrip("\r\n") if options["password_stdin"] else secrets.token_urlsafe(15)


def _user(name: str) -> User:
    user = User.objects.filter(username=name).first()
    if user is None:
        raise actors.UnknownAccount(f"There is no account '{name}'.", hint="See `manage.py accounts list`.")
    return user


def _holder(options: dict[str, Any]) -> dict[str, Any]:
    if not options["group"]:
        return {"user": _user(options["name"])}
    group = Group.objects.filter(name=options["name"]).first()
    if group is None:
        raise actors.UnknownAccount(f"There is no group '{options['name']}'.", hint="Groups are made in the admin.")
    return {"group": group}


ACTS = {
    "first-admin": first_admin,
    "create": create,
    "grant": grant,
    "revoke": revoke,
    "set-password": set_password,
    "deactivate": deactivate,
    "activate": activate,
    "unlock": unlock,
    "list": list_accounts,
}
