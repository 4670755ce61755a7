"""Actions of this room. `portal.view` and `audit.view` are the policy layer's own."""

from apps.accounts.models import Role
from apps.accounts.policy import OPERATORS, Rule, register

register({"metrics.view": Rule("read the figures for Prometheus", OPERATORS | {Role.AUDITOR})})
