"""Which key a lookup found more than once. DuckDB refuses the statement but does not say."""

from apps.engine import duck
from apps.engine.errors import LookupAmbiguous
from apps.engine.stages import LookupProbe, Stage

_SIGN = "More than one row returned by a subquery"


def explain(error: duck.Error, stage: Stage, connection: duck.DuckDBPyConnection) -> LookupAmbiguous | None:
    """The error in words, or None if it is another one. Reads the stage's inputs again, on the way of a failure only."""
    if _SIGN not in str(error):
        return None
    for probe in stage.probes:
        found = connection.execute(probe.sql).fetchall()
        if found:
            return _ambiguous(probe, found)
    return None


def _ambiguous(probe: LookupProbe, found: list[tuple[str, int]]) -> LookupAmbiguous:
    keys = "; ".join(f"{key} ({count} matches)" for key, count in found)
    return LookupAmbiguous(
        f"In step '{probe.step}' the lookup in '{probe.right}' found more than one match for {probe.label} = {keys}.",
        hint=f"Make the key unique in '{probe.right}' (dedupe by …), or write a left join if several are meant.",
        line=probe.span.line,
        column=probe.span.column,
    )
