"""Words of tests for templates."""

from django import template

from apps.testruns import showing
from apps.testruns.models import TestRun

register = template.Library()


@register.filter
def test_state(run: TestRun) -> str:
    """A run's state in the words of tests: `passed`, not `succeeded`."""
    return showing.state_word(run)
