"""docs/reference/bridge.md says what the code says: arrows, refusals, steps, and the words around them."""

import json
import re

import jsonschema
import pytest

from apps.bridge import cli_text, errors, states, steps
from tests.bridge.driving import REFERENCE

PAGE = (REFERENCE / "bridge.md").read_text()


@pytest.mark.parametrize("table", [states.render_table(), errors.render_table(), steps.render_table()])
def test_a_table_is_the_codes_own(table: str):
    assert table in PAGE, "write it into the page:\n" + table


def test_each_state_is_explained():
    found = re.findall(r"^\| (\w+) \| [^|]* \|$", PAGE.split("## States")[1].split("Nothing leads")[0], re.MULTILINE)
    assert found[1:] == list(states.State)


def test_each_command_is_explained():
    assert [*dict.fromkeys(re.findall(r"^\| `bridge (\w+)", PAGE, re.MULTILINE))] == list(cli_text.VERBS)


@pytest.mark.parametrize("name", ["handoff", "results"])
def test_a_schema_is_one_and_its_fields_are_explained(name: str):
    schema = json.loads((REFERENCE / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    part = PAGE.split(f"### {name}.json")[1].split("\n### ")[0]
    assert [field for field in schema["required"] if f"`{field}`" not in part] == []


def test_the_schema_knows_every_state_and_layer():
    definitions = json.loads((REFERENCE / "results.schema.json").read_text())["$defs"]
    assert set(definitions["state"]["enum"]) == set(states.State)
    assert tuple(definitions["layer"]["enum"]) == states.LAYERS


def test_the_statement_for_a_hand_works(bridge, data):
    from tests.bridge.driving import bring_to, raw

    bring_to(bridge, states.State.SHELL_RUNNING)
    (statement,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    raw(data, statement)
    assert bridge.status().session.state == states.State.ABORTED
