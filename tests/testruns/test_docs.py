"""The catalogue of cases is what the registry holds."""

from pathlib import Path

from django.conf import settings

from apps.testruns import reference
from apps.testruns.cases.checks import registry


def test_the_catalogue_is_current() -> None:
    page = (Path(settings.BASE_DIR) / "docs/reference/layers.md").read_text(encoding="utf-8")
    assert page == reference.render_page(), "run: manage.py testrun catalogue --write"


def test_each_development_layer_has_cases() -> None:
    assert {case.layer for case in registry.cases("dev")} == {"L0", "L1", "L2", "L3", "L5"}
