"""What machines keep can be looked at, not touched."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Role, RoleGrant, User
from apps.common import clock
from apps.jobs.models import JobEvent, Leader, Worker

MODELS = [Worker, Leader, JobEvent]


@pytest.fixture
def operator(db: None, client: Client) -> Client:
    user = User.objects.create_user("operator", is_staff=True)
    RoleGrant.objects.create(user=user, role=Role.ADMIN)
    client.force_login(user)
    Worker.objects.create(name="w", host="h", pid=1, queues=["q"], started_at=clock.now(), seen_at=clock.now())
    Leader.objects.create(role="controller", expires_at=clock.now())
    JobEvent.objects.create(pk=1, job_kind="errand", job_id=1, seq=1, kind="log", data={"message": "hello"})
    return client


def address(model: type, page: str, *arguments: object) -> str:
    return reverse(f"admin:jobs_{model._meta.model_name}_{page}", args=arguments)  # type: ignore[attr-defined]


@pytest.mark.parametrize("model", MODELS)
def test_rows_are_listed_and_shown(operator: Client, model: type) -> None:
    assert operator.get(address(model, "changelist")).status_code == 200
    pk = model.objects.get().pk  # type: ignore[attr-defined]
    assert operator.get(address(model, "change", pk)).status_code == 200


@pytest.mark.parametrize("model", MODELS)
def test_nobody_adds_changes_or_removes_one(operator: Client, model: type) -> None:
    row = model.objects.values().get()  # type: ignore[attr-defined]
    pk = model.objects.get().pk  # type: ignore[attr-defined]
    assert operator.get(address(model, "add")).status_code == 403
    assert operator.post(address(model, "change", pk), {"pid": 7}).status_code == 403
    assert operator.post(address(model, "delete", pk), {"post": "yes"}).status_code == 403
    assert model.objects.values().get() == row  # type: ignore[attr-defined]
