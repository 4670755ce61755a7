"""Hooks as commands and programs read them."""

from __future__ import annotations

from typing import Any

from apps.deployments.hooks.models import Delivery, Fetch, HookSource, HookTarget, Notice


def source(row: HookSource) -> dict[str, Any]:
    last = row.deliveries.order_by("-id").first()
    return {
        "name": row.name,
        "path": row.path,
        "environment": row.environment.slug,
        "provider": row.provider,
        "repository": row.repository,
        "branch": row.branch,
        "compose_path": row.compose_path,
        "events": row.events,
        "enabled": row.enabled,
        "last": delivery(last) if last else None,
    }


def target(row: HookTarget) -> dict[str, Any]:
    last = row.notices.order_by("-id").first()
    return {
        "name": row.name,
        "environment": row.environment.slug,
        "url": row.url,
        "events": row.events,
        "internal": row.is_internal,
        "enabled": row.enabled,
        "disabled_because": row.disabled_because,
        "last": notice(last) if last else None,
    }


def delivery(row: Delivery) -> dict[str, Any]:
    return {
        "delivery": row.pk,
        "source": row.source.name if row.source else None,
        "received_at": row.received_at.isoformat(),
        "address": row.address,
        "event": row.event,
        "id": row.delivery_id,
        "signed": row.is_signed,
        "verdict": str(row.verdict),
        "status": row.status,
        "message": row.message,
        "count": row.count,
        "bytes": row.body_bytes,
        "sha256": row.body_sha256,
        "fetch": row.fetch_id,
        "redelivery_of": row.redelivery_of_id,
        "by": row.by,
    }


def fetch(row: Fetch) -> dict[str, Any]:
    return {
        "fetch": row.pk,
        "source": row.source.name,
        "status": row.display_state,
        "message": row.message,
        "commit": row.commit,
        "release": row.build.release.name if row.build and row.build.release else None,
        "deployment": row.deployment_id,
        "stages": [
            {"name": each.name, "status": each.status, "message": each.message, "hint": each.hint}
            for each in row.stages.all()
        ],
    }


def notice(row: Notice) -> dict[str, Any]:
    return {
        "notice": row.pk,
        "target": row.target.name,
        "event": row.event,
        "id": row.message_id,
        "status": row.display_state,
        "message": row.message,
        "tries": row.tries,
        "redelivery_of": row.redelivery_of_id,
    }
