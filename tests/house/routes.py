"""Every address of the house, and who may open it. A test fails when one is missing here or answers otherwise.

To add one is a line: its name, who may GET it, who may POST to it, and values for the variables in its address.
`None` for a method means that there is none: the view answers 405, unless it refuses before that. Values in braces come from `world.World`.

The addresses of models in the admin are not listed: `ADMIN` says which models are changed there, and all others that
are registered may only be looked at.
"""

from dataclasses import dataclass, field

VIEWER, AUTHOR, OPERATOR, ADMIN_ROLE, AUDITOR = ROLES = ("viewer", "author", "operator", "admin", "auditor")
NOBODY = "nobody"  # an account without any role
STRANGER = "stranger"  # not logged in

READERS = frozenset(ROLES)
WRITERS = frozenset({AUTHOR, OPERATOR, ADMIN_ROLE})
OPERATORS = frozenset({OPERATOR, ADMIN_ROLE})
INSPECTORS = frozenset({OPERATOR, ADMIN_ROLE, AUDITOR})
ADMINS = frozenset({ADMIN_ROLE})
CONTROLLERS = frozenset({ADMIN_ROLE, AUDITOR})
ACCOUNTS = READERS | {NOBODY}
EVERYBODY = ACCOUNTS | {STRANGER}

Who = frozenset[str] | None


@dataclass(frozen=True)
class Route:
    name: str
    get: Who
    post: Who = None
    args: dict[str, str] = field(default_factory=dict)
    query: str = ""
    missing: bool = False  # who may, is told that nothing is there


def route(address: str, get: Who, post: Who = None, /, *, query: str = "", missing: bool = False, **args: str) -> Route:
    return Route(address, get, post, args, query, missing)


ROUTES = [
    route("portal:overview", READERS),
    route("portal:search", READERS, query="?q=orders"),
    route("portal:environments", READERS),
    route("portal:audit", CONTROLLERS),
    route("portal:healthz", EVERYBODY),
    route("portal:readyz", EVERYBODY),
    route("portal:metrics", INSPECTORS),
    route("flows:list", READERS),
    route("flows:new", WRITERS, WRITERS),
    route("flows:check", None, WRITERS),
    route("flows:detail", READERS, name="{flow}"),
    route("flows:edit", WRITERS, WRITERS, name="{flow}"),
    route("flows:archive", WRITERS, WRITERS, name="{flow}"),
    route("flows:restore", None, WRITERS, name="{flow}"),
    route("flows:test", None, WRITERS, name="{flow}"),
    route("flows:versions", READERS, name="{flow}"),
    route("flows:version", READERS, name="{flow}", number="1"),
    route("flows:diff", READERS, name="{flow}", old="1", new="2"),
    route("runs:new", WRITERS, WRITERS, name="{flow}"),
    route("runs:list", READERS),
    route("runs:detail", READERS, pk="{run}"),
    route("runs:live", READERS, pk="{run}"),
    route("runs:cancel", WRITERS, WRITERS, pk="{run}"),
    route("runs:rerun", None, WRITERS, pk="{run}"),
    route("runs:log", READERS, pk="{run}"),
    route("runs:step", READERS, pk="{run}", name="{step}"),
    route("runs:output", READERS, pk="{run}", output="{output}"),
    route("runs:download", READERS, pk="{run}", output="{output}"),
    route("testruns:list", READERS),
    route("testruns:new", WRITERS, WRITERS),
    route("testruns:detail", READERS, pk="{testrun}"),
    route("testruns:live", READERS, pk="{testrun}"),
    route("testruns:cancel", WRITERS, WRITERS, pk="{testrun}"),
    route("testruns:export", READERS, pk="{testrun}", form="junit"),
    route("testruns:case", READERS, pk="{testrun}", case="{case}"),
    route("testruns:quarantine", None, WRITERS, pk="{testrun}", case="{case}"),
    route("testruns:release", None, WRITERS, pk="{testrun}", case="{case}"),
    route("environments:variables", INSPECTORS, slug="{variables_of}"),
    route("environments:variable-set", None, OPERATORS, slug="{variables_of}"),
    route("environments:variable-unset", OPERATORS, OPERATORS, slug="{variables_of}", name="{variable}"),
    route("environments:secret-set", None, OPERATORS, slug="{variables_of}"),
    route("environments:secret-delete", OPERATORS, OPERATORS, slug="{variables_of}", name="{secret}"),
    route("environments:detail", READERS, slug="dev"),
    route("environments:live", READERS, slug="dev"),
    route("environments:up", None, OPERATORS, slug="dev"),
    route("environments:down", OPERATORS, OPERATORS, slug="dev"),
    route("environments:logs", OPERATORS, slug="dev", service="web"),
    route("environments:stack", READERS, pk="{stack}"),
    route("environments:stack_live", READERS, pk="{stack}"),
    route("environments:stack_cancel", OPERATORS, OPERATORS, pk="{stack}"),
    route("environments:stack_log", READERS, pk="{stack}"),
    route("deployments:lanes", READERS),
    route("deployments:lanes_live", READERS),
    route("deployments:detail", READERS, pk="{deployment}"),
    route("deployments:live", READERS, pk="{deployment}"),
    route("deployments:cancel", OPERATORS, OPERATORS, pk="{deployment}"),
    route("deployments:approve", OPERATORS, OPERATORS, pk="{deployment}"),
    route("deployments:log", READERS, pk="{deployment}"),
    route("deployments:plan", READERS, OPERATORS, slug="dev", release="{release}"),
    route("deployments:rollback", OPERATORS, OPERATORS, slug="dev"),
    route("deployments:unpin", None, OPERATORS, slug="dev"),
    route("deployments:releases", READERS),
    route("deployments:release_new", WRITERS, WRITERS),
    route("deployments:release", READERS, name="{release}"),
    route("deployments:release_diff", READERS, name="{release}", query="?against={older_release}"),
    route("deployments:build", READERS, pk="{build}"),
    route("deployments:build_live", READERS, pk="{build}"),
    route("deployments:build_cancel", WRITERS, WRITERS, pk="{build}"),
    route("deployments:build_log", READERS, pk="{build}"),
    route("hooks:list", INSPECTORS),
    route("hooks:source-new", OPERATORS, OPERATORS),
    route("hooks:target-new", OPERATORS, OPERATORS),
    route("hooks:source", INSPECTORS, name="{hook}"),
    route("hooks:source-switch", None, OPERATORS, name="{hook}"),
    route("hooks:delivery", INSPECTORS, pk="{delivery}"),
    route("hooks:redeliver", None, OPERATORS, pk="{delivery}"),
    route("hooks:target", INSPECTORS, name="{hook_target}"),
    route("hooks:target-switch", None, OPERATORS, name="{hook_target}"),
    route("hooks:target-test", None, OPERATORS, name="{hook_target}"),
    route("hooks:notice", INSPECTORS, pk="{notice}"),
    route("hooks:resend", None, OPERATORS, pk="{notice}"),
    route("jobs:events", READERS, kind="run", pk="{run}", query="?lastEventId=0"),
    route("admin:login", EVERYBODY, EVERYBODY),
    route("admin:logout", None, ACCOUNTS),
    route("admin:password_change", ACCOUNTS, ACCOUNTS),
    route("admin:password_change_done", ACCOUNTS),
    route("admin:jsi18n", ACCOUNTS),
    route("admin:index", INSPECTORS, INSPECTORS),
    route("admin:app_list", INSPECTORS, INSPECTORS, app_label="runs"),
    route("admin:search", INSPECTORS, INSPECTORS),
    route("admin:autocomplete", frozenset()),  # no field of the admin completes anything
    route("admin:view_on_site", INSPECTORS, INSPECTORS, missing=True, content_type_id="0", object_id="0"),
    route("admin:auth_user_password_change", ADMINS, ADMINS, id="{user}"),
]

# Rights that end where the environment does: the author may these in dev, and nowhere else.
IN_STAGING = [
    route("environments:up", None, OPERATORS, slug="staging"),
    route("environments:down", OPERATORS, OPERATORS, slug="staging"),
    route("environments:logs", OPERATORS, slug="staging", service="web"),
    route("environments:stack_cancel", OPERATORS, OPERATORS, pk="{staging_stack}"),
    route("runs:cancel", OPERATORS, OPERATORS, pk="{staging_run}"),
    route("runs:rerun", None, OPERATORS, pk="{staging_run}"),
    route("testruns:cancel", OPERATORS, OPERATORS, pk="{staging_testrun}"),
    route("testruns:quarantine", None, OPERATORS, pk="{staging_testrun}", case="{staging_case}"),
    route("testruns:release", None, OPERATORS, pk="{staging_testrun}", case="{staging_case}"),
]

# What people change in the admin, and who. Every other registered model is kept by machines, and only looked at.
ADMIN: dict[str, dict[str, frozenset[str]]] = {
    "accounts.user": {"add": ADMINS, "change": ADMINS},
    "accounts.rolegrant": {"add": ADMINS, "delete": ADMINS},
    "auth.group": {"add": ADMINS, "change": ADMINS, "delete": ADMINS},
}
SHOWN_TO: dict[str, frozenset[str]] = {"audit.auditevent": CONTROLLERS}
