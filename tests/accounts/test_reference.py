"""docs/reference/roles.md is what the policy layer says."""

import subprocess
import sys
from pathlib import Path

from django.conf import settings

from apps.accounts import policy, reference
from apps.accounts.models import Role

PAGE = Path(settings.BASE_DIR) / "docs/reference/roles.md"


def test_the_page_is_current():
    """Asked in a process of its own: tests of other rooms register actions that the house does not have."""
    made = subprocess.run(
        [sys.executable, "manage.py", "accounts", "roles"],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert PAGE.read_text() == made.stdout, "run: manage.py accounts roles --write"


def test_every_action_and_every_role_is_on_it():
    page = reference.render_page()
    for action, rule in policy.ACTIONS.items():
        assert f"| `{action}` | {rule.label} |" in page
    for role in Role:
        assert f"| {role.label} | {reference.WHO[role]} |" in page


def test_a_cell_says_where_a_role_may():
    rule = policy.Rule("try", frozenset({Role.OPERATOR}), in_dev=frozenset({Role.AUTHOR}))
    assert [reference._cell(rule, role) for role in (Role.VIEWER, Role.AUTHOR, Role.OPERATOR)] == ["", "dev", "●"]
    assert reference._cell(policy.ACTIONS["accounts.manage"], Role.ADMIN) == "◉"
