"""The schema of `data/test_state.db`. Its triggers keep the arrows, so that a plain sqlite3 shell cannot break them either.

A transition is added at the end and moves its session; nothing else moves one, and nothing of it is changed or removed.
INSERT OR REPLACE removes rows without asking the triggers that guard against removal, so each trigger on adding asks for
what is there already.
"""

from apps.bridge.states import ARROWS, FINAL, LAYERS, RUNNING, State

APPLICATION_ID = 0x464C4252  # "FLBR"
VERSION = 1


def _listed(words: object) -> str:
    return ", ".join(f"'{each}'" for each in sorted(words))  # type: ignore[call-overload]


_FINAL, _RUNNING = _listed(FINAL), _listed(RUNNING)
_NAMED = ", ".join(f"'{each}'" for each in LAYERS)
_PAIRS = ", ".join(f"('{each.source}', '{each.target}')" for each in ARROWS if each.source)
_NOW = "(strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now'))"

TABLES = (
    f"""CREATE TABLE sessions (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE CHECK (length(id) = 32 AND id NOT GLOB '*[^0-9a-f]*'),
  environment TEXT NOT NULL CHECK (environment <> ''),
  state TEXT NOT NULL DEFAULT 'initialised' CHECK (state IN ({_listed(State)})),
  created_at TEXT NOT NULL DEFAULT {_NOW},
  token TEXT NOT NULL DEFAULT ''
)""",
    f"""CREATE UNIQUE INDEX one_active_session ON sessions ((state NOT IN ({_FINAL}))) WHERE state NOT IN ({_FINAL})""",
    f"""CREATE TABLE transitions (
  session TEXT NOT NULL REFERENCES sessions (id),
  seq INTEGER NOT NULL,
  from_state TEXT,
  to_state TEXT NOT NULL,
  actor TEXT NOT NULL,
  at TEXT NOT NULL DEFAULT {_NOW},
  reason TEXT NOT NULL DEFAULT '',
  digest TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (session, seq)
)""",
    f"""CREATE TABLE layers (
  session TEXT NOT NULL REFERENCES sessions (id),
  name TEXT NOT NULL CHECK (name IN ({_NAMED})),
  status TEXT NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'passed', 'failed')),
  started_at TEXT NOT NULL DEFAULT {_NOW},
  ended_at TEXT NOT NULL DEFAULT '',
  message TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (session, name)
)""",
    f"""CREATE TABLE cases (
  number INTEGER PRIMARY KEY,
  session TEXT NOT NULL,
  layer TEXT NOT NULL,
  key TEXT NOT NULL,
  source TEXT NOT NULL DEFAULT '',
  title TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('passed', 'failed', 'skipped')),
  seconds REAL NOT NULL DEFAULT 0 CHECK (seconds >= 0),
  attempts INTEGER NOT NULL DEFAULT 1 CHECK (attempts >= 1),
  flaky INTEGER NOT NULL DEFAULT 0 CHECK (flaky IN (0, 1) AND (flaky = 0 OR status = 'passed')),
  message TEXT NOT NULL DEFAULT '',
  at TEXT NOT NULL DEFAULT {_NOW},
  UNIQUE (session, layer, key),
  FOREIGN KEY (session, layer) REFERENCES layers (session, name)
)""",
    """CREATE TABLE handoffs (
  number INTEGER PRIMARY KEY,
  nonce TEXT NOT NULL UNIQUE,
  session TEXT NOT NULL REFERENCES sessions (id),
  document TEXT NOT NULL,
  expires_at TEXT NOT NULL,
  accepted_at TEXT NOT NULL DEFAULT '',
  token TEXT NOT NULL DEFAULT ''
)""",
    """CREATE TABLE spools (
  file TEXT PRIMARY KEY,
  session TEXT NOT NULL,
  bytes INTEGER NOT NULL
)""",
)


def _trigger(name: str, event: str, condition: str, message: str) -> tuple[str, str]:
    when = f"\nWHEN {condition}" if condition else ""
    return name, f"CREATE TRIGGER {name} {event}{when}\nBEGIN SELECT RAISE(ABORT, '{message}'); END"


def _never(table: str, verb: str, word: str) -> tuple[str, str]:
    return _trigger(f"{table}_never_{word}", f"BEFORE {verb} ON {table}", "", f"{table} are never {word}")


_SEQ = "(SELECT COALESCE(MAX(seq), 0) + 1 FROM transitions WHERE session = NEW.session)"
_STATE = "(SELECT state FROM sessions WHERE id = NEW.session)"
_ENDED = f"COALESCE({_STATE}, 'completed') IN ({_FINAL})"

TRIGGERS: dict[str, str] = dict(
    [
        _trigger(
            "sessions_begin", "BEFORE INSERT ON sessions",
            "NEW.state IS NOT 'initialised'"
            " OR EXISTS (SELECT 1 FROM sessions WHERE id = NEW.id OR number = NEW.number)",
            "a session begins as initialised, once",
        ),
        _trigger(
            "sessions_one_active", "BEFORE INSERT ON sessions",
            f"EXISTS (SELECT 1 FROM sessions WHERE state NOT IN ({_FINAL}))",
            "a session is active already",
        ),
        _trigger(
            "sessions_move_by_transition", "BEFORE UPDATE ON sessions",
            "NEW.number IS NOT OLD.number OR NEW.id IS NOT OLD.id OR NEW.environment IS NOT OLD.environment"
            " OR NEW.created_at IS NOT OLD.created_at OR NEW.token IS NOT OLD.token"
            " OR (NEW.state IS NOT OLD.state AND NOT EXISTS (SELECT 1 FROM transitions WHERE session = OLD.id"
            " AND seq = (SELECT MAX(seq) FROM transitions WHERE session = OLD.id)"
            " AND from_state IS OLD.state AND to_state IS NEW.state))",
            "a session is moved by a transition alone",
        ),
        _never("sessions", "DELETE", "removed"),
        _trigger(
            "transitions_follow", "BEFORE INSERT ON transitions", f"NEW.seq IS NOT {_SEQ}",
            "transitions are only added at the end",
        ),
        _trigger(
            "transitions_have_arrows", "BEFORE INSERT ON transitions",
            f"CASE WHEN NEW.seq = 1 THEN NEW.from_state IS NOT NULL OR NEW.to_state IS NOT 'initialised'"
            f" OR {_STATE} IS NULL"
            f" ELSE NEW.from_state IS NOT {_STATE}"
            f" OR NOT COALESCE((NEW.from_state, NEW.to_state) IN (VALUES {_PAIRS}), 0) END",
            "no arrow leads there",
        ),
        _never("transitions", "UPDATE", "changed"),
        _never("transitions", "DELETE", "removed"),
        (
            "transitions_move_the_session",
            """CREATE TRIGGER transitions_move_the_session AFTER INSERT ON transitions
BEGIN UPDATE sessions SET state = NEW.to_state WHERE id = NEW.session AND state IS NOT NEW.to_state; END""",
        ),
        _trigger(
            "layers_begin", "BEFORE INSERT ON layers",
            f"NEW.status IS NOT 'running' OR COALESCE({_STATE}, '') NOT IN ({_RUNNING})"
            " OR EXISTS (SELECT 1 FROM layers WHERE session = NEW.session AND name = NEW.name)",
            "a layer begins as running, once, while its side runs",
        ),
        _trigger(
            "layers_end", "BEFORE UPDATE ON layers",
            f"NEW.session IS NOT OLD.session OR NEW.name IS NOT OLD.name OR {_ENDED}"
            " OR (NEW.status IS NOT OLD.status AND NOT COALESCE((OLD.status, NEW.status)"
            " IN (VALUES ('running', 'passed'), ('running', 'failed'), ('passed', 'failed')), 0))",
            "a layer ends once, and what failed stays so",
        ),
        _never("layers", "DELETE", "removed"),
        _trigger(
            "cases_come_before_the_end", "BEFORE INSERT ON cases",
            f"{_ENDED} OR NOT EXISTS (SELECT 1 FROM layers WHERE session = NEW.session AND name = NEW.layer)"
            " OR EXISTS (SELECT 1 FROM cases WHERE number = NEW.number)",
            "a result belongs to a layer of a session that has not ended",
        ),
        _trigger(
            "cases_keep_their_place", "BEFORE UPDATE ON cases",
            f"{_ENDED} OR NEW.number IS NOT OLD.number OR NEW.session IS NOT OLD.session OR NEW.layer IS NOT OLD.layer OR NEW.key IS NOT OLD.key",
            "a result keeps its place, and stays as it is when its session has ended",
        ),
        _never("cases", "DELETE", "removed"),
        _trigger(
            "handoffs_are_offered", "BEFORE INSERT ON handoffs",
            f"COALESCE({_STATE}, '') IS NOT 'handoff_offered' OR NEW.accepted_at IS NOT ''"
            " OR EXISTS (SELECT 1 FROM handoffs WHERE nonce = NEW.nonce OR number = NEW.number)",
            "a handoff is issued unused, while it is offered",
        ),
        _trigger(
            "handoffs_are_used_once", "BEFORE UPDATE ON handoffs",
            "NEW.number IS NOT OLD.number OR NEW.nonce IS NOT OLD.nonce OR NEW.session IS NOT OLD.session"
            " OR NEW.document IS NOT OLD.document OR NEW.expires_at IS NOT OLD.expires_at OR OLD.accepted_at IS NOT ''",
            "a handoff is used once, and never changed",
        ),
        _never("handoffs", "DELETE", "removed"),
    ]
)  # fmt: skip


def render() -> str:
    """All of it, as `sqlite3 data/test_state.db .schema` shows it."""
    return ";\n".join((*TABLES, *TRIGGERS.values())) + ";\n"
