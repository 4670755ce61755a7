"""The example in the how-to about long work does what the page says."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction

from apps.audit.actors import SYSTEM
from apps.jobs import actions, leases, registry
from apps.jobs.models import JobEvent
from apps.jobs.registry import Verdict
from tests.jobs.errands import Errand, Step


@pytest.fixture
def example(rows: None, sent: list[int]) -> dict[str, Any]:
    """The names that the page's code defines, executed in the order in which it could stand in files."""
    page = (settings.BASE_DIR / "docs/how-to/long-work.md").read_text()
    registration, reconcile, enqueue, task = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {
        "Errand": Errand, "Step": Step, "Verdict": Verdict, "actions": actions, "claim": leases.claim,
        "registry": registry, "transaction": transaction,
    }  # fmt: skip
    for code in (reconcile, registration, task, enqueue):
        exec(code, names)
    return names


def test_the_work_is_done_step_by_step(example: dict[str, Any], sent: list[int]) -> None:
    errand = example["errand"]
    assert sent == [errand.pk]
    example["do_errand"](errand.pk)
    assert Errand.objects.get().state == "succeeded"
    assert list(Step.objects.order_by("pk").values_list("name", flat=True)) == ["fetch", "carry", "deliver"]
    assert JobEvent.objects.filter(kind="log").count() == 3
    example["do_errand"](errand.pk)
    assert Step.objects.count() == 3


def test_what_was_done_is_skipped(example: dict[str, Any]) -> None:
    errand = example["errand"]
    Step.objects.create(errand_id=errand.pk, name="carry", done_by_fence=0)
    example["do_errand"](errand.pk)
    assert Step.objects.filter(done_by_fence=1).count() == 2


def test_a_cancelled_one_is_not_begun(example: dict[str, Any]) -> None:
    errand = example["errand"]
    actions.cancel(errand, by=SYSTEM)
    example["do_errand"](errand.pk)
    assert not Step.objects.exists()
    assert Errand.objects.get().state == "cancelled"
