"""What a release is: the same content the same one, and never changed."""

import json

import jsonschema
import pytest
from django.db import Error, connection, transaction

from apps.audit.actors import SYSTEM
from apps.audit.models import AuditEvent
from apps.deployments import releases
from apps.deployments.models import NeverChangedError, Release
from tests.deployments import making
from tests.stack.portal import ROOT

pytestmark = pytest.mark.django_db


def test_the_same_content_is_the_same_release():
    first, is_new = making.keep(word="one")
    again, is_new_again = making.keep(word="one")
    other, _ = making.keep(word="two")
    assert (is_new, is_new_again) == (True, False)
    assert again == first
    assert (first.name, other.name) == ("r1", "r2")
    assert AuditEvent.objects.filter(kind="release.create").count() == 2


def test_neither_the_program_nor_the_database_changes_one():
    release, _ = making.keep()
    for change in (
        release.save,
        release.delete,
        Release.objects.all().delete,
        lambda: Release.objects.update(note="x"),
    ):
        with pytest.raises(NeverChangedError):
            change()
    for statement in ("UPDATE deployments_release SET note = 'x'", "DELETE FROM deployments_release"):
        with pytest.raises(Error, match="never changed"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


def test_the_digest_is_of_what_the_manifest_says_and_of_nothing_else():
    one = releases.manifest_of({"services": {}}, [{"name": "b"}, {"name": "a"}], [], ["B", "A"])
    two = releases.manifest_of({"services": {}}, [{"name": "a"}, {"name": "b"}], [], ["A", "B"])
    assert releases.canonical(one) == releases.canonical(two)
    first, _ = releases.keep(
        by=SYSTEM, origin=making.environment(), manifest=one, description={"services": {}}, note="x"
    )
    again, _ = releases.keep(
        by=SYSTEM, origin=making.environment(), manifest=two, description={"services": {}}, note="y"
    )
    assert first == again


def test_a_manifest_is_as_its_schema_says():
    schema = json.loads((ROOT / "docs/reference/release.schema.json").read_text())
    flows = [{"name": "shop", "version": 1, "sha256": "a" * 64}]
    release, _ = making.keep(flows=flows)
    jsonschema.validate(release.manifest, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**release.manifest, "more": 1}, schema)
