# ruff: noqa: N818 (the names are what happened, read in `except`)
"""What the bridge refuses, each with a code of its own and a cure. A refusal has changed nothing.

Codes and cures stand in docs/reference/bridge.md; a test holds the two equal, and carries each cure out.
"""

from collections.abc import Iterator

from apps.common.errors import FlowControlError


class BridgeRefusal(FlowControlError):
    """The bridge refused."""

    code = ""
    cure = ""  # `{env}` becomes the environment

    def __init__(self, message: str = "", *, environment: str = "dev") -> None:
        self.cure = type(self).cure.replace("{env}", environment)
        super().__init__(message, hint=self.cure)


# --- sessions -----------------------------------------------------------------------------------


class NoSession(BridgeRefusal):
    """There is no session for this."""

    code = "no_session"
    cure = "Open one: manage.py bridge init --env {env}"


class SessionActive(BridgeRefusal):
    """A session is active in this data folder already."""

    code = "session_active"
    cure = "Go on with it, or stop it: manage.py bridge abort --env {env}"


class OtherEnvironment(BridgeRefusal):
    """The active session is of another environment."""

    code = "other_environment"
    cure = "Name its environment, or stop it: manage.py bridge abort --env {env}"


class WrongState(BridgeRefusal):
    """No arrow leads from the session's state to what was asked for."""

    code = "wrong_state"
    cure = "See where it stands: manage.py bridge status --env {env}"


class NeedsRepair(BridgeRefusal):
    """A repair of this session was begun and has not ended."""

    code = "needs_repair"
    cure = "End it: manage.py bridge repair --env {env}"


class LayerOrder(BridgeRefusal):
    """Layers run upwards, each once."""

    code = "layer_order"
    cure = "Go on with a higher layer; to start over: manage.py bridge abort --env {env}"


class NoLayer(BridgeRefusal):
    """No layer is running that could take a result."""

    code = "no_layer"
    cure = "Begin one: manage.py bridge layer L0 --env {env}"


class AlreadyAccepted(BridgeRefusal):
    """The handoff has been accepted by somebody else."""

    code = "already_accepted"
    cure = "Leave it to them; if they died: manage.py bridge repair --finish --env {env}"


# --- the handoff ----------------------------------------------------------------------------------


class HandoffMissing(BridgeRefusal):
    """There is no handoff.json."""

    code = "handoff_missing"
    cure = "Write it again: manage.py bridge offer --env {env}"


class HandoffUnreadable(BridgeRefusal):
    """handoff.json is cut off, or no JSON."""

    code = "handoff_unreadable"
    cure = "Write it again: manage.py bridge offer --env {env}"


class HandoffNewer(BridgeRefusal):
    """handoff.json is of a newer version than this one reads."""

    code = "handoff_newer"
    cure = "Update this side, or write it as this side does: manage.py bridge offer --env {env}"


class HandoffEdited(BridgeRefusal):
    """handoff.json is not as it was issued."""

    code = "handoff_edited"
    cure = "Write it again: manage.py bridge offer --env {env}"


class HandoffOtherEnvironment(BridgeRefusal):
    """handoff.json is of another environment."""

    code = "handoff_other_environment"
    cure = "Write the right one: manage.py bridge offer --env {env}"


class HandoffOtherSession(BridgeRefusal):
    """handoff.json is of another session."""

    code = "handoff_other_session"
    cure = "Write the right one: manage.py bridge offer --env {env}"


class HandoffReplayed(BridgeRefusal):
    """handoff.json has been used, or a newer one has taken its place."""

    code = "handoff_replayed"
    cure = "Put away what was used: manage.py bridge repair --env {env}"


class HandoffExpired(BridgeRefusal):
    """handoff.json has expired."""

    code = "handoff_expired"
    cure = "Issue a new one: manage.py bridge offer --env {env}"


class HandoffStale(BridgeRefusal):
    """Results or state have changed since handoff.json was issued."""

    code = "handoff_stale"
    cure = "Issue a new one: manage.py bridge offer --env {env}"


# --- the database and the folder --------------------------------------------------------------------


class DatabaseMissing(BridgeRefusal):
    """test_state.db is gone, but records of its sessions are there."""

    code = "database_missing"
    cure = "Build it from the records: manage.py bridge repair --env {env}"


class DatabaseLocked(BridgeRefusal):
    """Another process has held the bridge for too long."""

    code = "database_locked"
    cure = "Let the other one end, a sqlite3 shell in a transaction perhaps; then: manage.py bridge repair --env {env}"


class DatabaseCorrupt(BridgeRefusal):
    """test_state.db is damaged, or is no database of the bridge."""

    code = "database_corrupt"
    cure = "Build it anew from what can be read and the records: manage.py bridge repair --env {env}"


class DatabaseNewer(BridgeRefusal):
    """test_state.db was written by a newer version."""

    code = "database_newer"
    cure = (
        "Update this side, or name another data folder in FLOWCONTROL_DATA; then: manage.py bridge verify --env {env}"
    )


class FolderUnwritable(BridgeRefusal):
    """The data folder cannot be read or written."""

    code = "folder_unwritable"
    cure = "Give the account that runs this the right to write there; then: manage.py bridge repair --env {env}"


class DiskFull(BridgeRefusal):
    """The disk is full."""

    code = "disk_full"
    cure = "Make room; then: manage.py bridge repair --env {env}"


class WrongUse(FlowControlError):
    """The command was used wrongly."""

    code = "wrong_use"


def refusals() -> Iterator[type[BridgeRefusal]]:
    """Every kind of refusal, in the order of this file."""
    yield from BridgeRefusal.__subclasses__()


def render_table() -> str:
    """The codes as `docs/reference/bridge.md` holds them."""
    rows = [
        f"| `{each.code}` | {(each.__doc__ or '').strip()} | {each.cure.replace('{env}', 'ENV')} |"
        for each in refusals()
    ]
    return "\n".join(["| code | what happened | cure |", "|---|---|---|", *rows]) + "\n"
