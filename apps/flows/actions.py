"""What people do with flows. Each change is one transaction with its audit event."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from apps.accounts import policy
from apps.audit.actions import record
from apps.audit.actors import actor_of
from apps.common import clock, files
from apps.common.errors import FlowControlError
from apps.flows.checked import Checked, FlowInvalid, check_text, settings_of, workspace
from apps.flows.models import Flow, FlowTestResult, FlowVersion
from apps.jobs import actions as jobs
from apps.language.diagnostics import Diagnostic
from apps.language.parser import parse

__all__ = [
    "FlowInvalid",
    "SaveConflict",
    "archive_flow",
    "load_examples",
    "restore_flow",
    "save_version",
    "test_again",
]

LONGEST_NAME = 100
LONGEST_NOTE = 200

logger = logging.getLogger(__name__)


class SaveConflict(FlowControlError):  # noqa: N818  it is what the person reads
    """Somebody saved the flow since the text was begun. `theirs` is the version that stands, `ours` the text that was
    not saved."""

    code = "save_conflict"

    def __init__(self, theirs: FlowVersion, ours: str) -> None:
        self.theirs, self.ours = theirs, ours
        super().__init__(
            f"'{theirs.flow.name}' is at version {theirs.number} by {theirs.created_by} since your text was begun.",
            hint="Nothing is lost: bring the two together, then save on top of that version.",
        )


def save_version(
    *, by: Any, text: str | bytes, name: str | None = None, base_sha256: str | None = None, note: str = ""
) -> FlowVersion:
    """Save `text` as the current version of the flow that it names, made if there is none.

    name:         the flow that is being edited; a text that names another one is refused, not renamed.
    base_sha256:  of the version that the text was made from; None for a new flow. Where another is current now,
                  SaveConflict is raised, unless that one has this very text.

    A text that the flow had before gives that version back and makes it current again. Saving brings an archived flow
    back. The tests of a new version are put in line. Raises Denied, FlowInvalid (nothing is saved), SaveConflict.
    Twice the same: the second changes nothing.
    """
    policy.check(by, "flows.edit")
    checked = check_text(text)
    _check_name(checked, name)
    with transaction.atomic():
        return _save(by, checked, base_sha256 or "", note.replace("\0", "")[:LONGEST_NOTE])


def _check_name(checked: Checked, name: str | None) -> None:
    found = checked.plan.name
    if name is not None and found != name:
        message, hint = (
            f"this is the flow '{name}', and its text names '{found}'",
            f"A flow keeps its name: write 'flow {name}' again. For another flow with this text press New flow, or push it.",
        )
    elif len(found) > LONGEST_NAME:
        message, hint = f"the name has {len(found)} letters", f"A flow's name has at most {LONGEST_NAME}."
    else:
        return
    raise FlowInvalid([Diagnostic("E004", message, hint=hint)])


def _save(by: Any, checked: Checked, base: str, note: str) -> FlowVersion:
    # Locked, or made and so locked: of two that save at once the second sees the version of the first.
    flow, _ = Flow.objects.select_for_update().get_or_create(name=checked.plan.name)
    head, digest = flow.current, files.sha256(checked.text)
    if head and head.sha256 == digest and not flow.is_archived:
        return head
    if head and base != head.sha256 and head.sha256 != digest:
        raise SaveConflict(head, checked.text)
    version = FlowVersion.objects.filter(flow=flow, sha256=digest).first()
    is_new = version is None
    if version is None:
        last = FlowVersion.objects.filter(flow=flow).aggregate(last=Max("number"))["last"] or 0
        version = FlowVersion.objects.create(
            flow=flow,
            number=last + 1,
            sha256=digest,
            text=checked.text,
            settings=settings_of(checked.plan),
            parent=head,
            note=note,
            created_by=actor_of(by).name,
        )
    flow.current, flow.description = version, checked.plan.settings.description
    flow.updated_at, flow.archived_at, flow.archived_by = clock.now(), None, ""
    flow.save()
    detail = {"version": version.number, "sha256": digest, "note": note, "new": is_new}
    record("flow.save", by=by, target=f"flow:{flow.name}", detail=detail)
    if is_new:
        _ask_for_tests(version, by)
    return version


def test_again(*, by: Any, version: FlowVersion) -> FlowTestResult:
    """Put a version's tests in line once more. Where they wait or run already, that result is given back."""
    policy.check(by, "flows.edit")
    with transaction.atomic():
        Flow.objects.select_for_update().get(pk=version.flow_id)
        waiting: FlowTestResult | None = FlowTestResult.objects.filter(
            version=version, state__in=["queued", "running"]
        ).first()
        if waiting:
            return waiting
        record("flow.test", by=by, target=f"flow:{version.flow.name}", detail={"version": version.number})
        return _ask_for_tests(version, by)


def _ask_for_tests(version: FlowVersion, by: Any) -> FlowTestResult:
    result: FlowTestResult = FlowTestResult.objects.create(version=version, requested_by=actor_of(by).name)
    jobs.enqueue(result)
    return result


@transaction.atomic
def archive_flow(*, by: Any, flow: Flow) -> None:
    """Put a flow aside: no longer listed, and no new run of it starts. Runs that have begun go on to their end; versions,
    runs and outputs stay. Archived already: nothing changes."""
    policy.check(by, "flows.delete")
    rows = Flow.objects.filter(pk=flow.pk, archived_at__isnull=True)
    if rows.update(archived_at=clock.now(), archived_by=actor_of(by).name):
        record("flow.archive", by=by, target=f"flow:{flow.name}")
    flow.refresh_from_db()


@transaction.atomic
def restore_flow(*, by: Any, flow: Flow) -> None:
    """Bring an archived flow back as it was. Not archived: nothing changes."""
    policy.check(by, "flows.delete")
    if Flow.objects.filter(pk=flow.pk, archived_at__isnull=False).update(archived_at=None, archived_by=""):
        record("flow.restore", by=by, target=f"flow:{flow.name}")
    flow.refresh_from_db()


def load_examples(*, by: Any, folder: Path | None = None) -> list[str]:
    """Save each `<example>/*.flow` and copy the contents of `<example>/data/` into the workspace of dev.

    An example is brought in once: where its flow was ever saved, also when it was changed, archived or its data thrown
    away since, nothing is done. A file that is there is never overwritten. Returns the names that are new. One that
    cannot be brought in is logged and left out. Killed halfway, the next call does the rest.
    """
    loaded = []
    for path in sorted((folder or settings.EXAMPLES).glob("*/*.flow")):
        try:
            if name := _load(path, by):
                loaded.append(name)
        except (FlowControlError, OSError) as error:
            logger.warning("The example %s was not brought in: %s", path.name, error)
    return loaded


def _load(path: Path, by: Any) -> str:
    text = path.read_bytes()
    tree = parse(text.decode("utf-8", "replace")).tree
    if tree is None or Flow.objects.filter(name=tree.header.name).exists():
        return ""
    _copy(path.parent / "data")
    return save_version(by=by, text=text, note="The example as it comes").flow.name


def _copy(data: Path) -> None:
    home = workspace()
    for source in sorted(data.rglob("*")):
        target = home / source.relative_to(data)
        if source.is_file() and not target.exists():
            files.write_atomic(target, source.read_bytes())
