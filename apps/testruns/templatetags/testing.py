"""Words of tests for templates."""

from django import template

from apps.testruns import showing
from apps.testruns.models import CaseResult, TestRun

register = template.Library()


@register.filter
def test_state(run: TestRun) -> str:
    """A run's state in the words of tests: `passed`, not `succeeded`."""
    return showing.state_word(run)


@register.filter
def case_state(case: CaseResult) -> str:
    """A case's status with what is to be known of it: `flaky` passed at last, `quarantined` failed and did not count."""
    if case.is_flaky:
        return "flaky"
    return "quarantined" if case.is_quarantined else case.status
