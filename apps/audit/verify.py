"""Checking that nobody changed the record since it was written, and saying where and how when somebody did."""

from collections.abc import Iterator
from dataclasses import dataclass

from apps.audit.chain import GENESIS, seal
from apps.audit.models import AuditEvent, AuditHead

CHUNK = 2000
SEARCH = 1000  # how many numbers away an event's first place is looked for


@dataclass(frozen=True, slots=True)
class Verdict:
    """`events` is how many were read; `first_bad` the number where the record first is not as it was written, or None."""

    ok: bool
    events: int
    first_bad: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Known:
    """An event that was known before, kept outside the database: its number and digest."""

    seq: int
    digest: str


def verify(known: Known | None = None) -> Verdict:
    """Walk the whole chain up to the head as it stands now, and name the first event that is wrong.

    Reads CHUNK events at a time and locks nothing: events are only added, so those up to the head do not change under
    an honest portal, which may go on writing. Whoever can write the database could cut the end off and set the head
    back; that shows only against an event `known` from elsewhere.
    """
    head = AuditHead.objects.filter(pk=1).first()
    if head is None:
        return Verdict(False, 0, 1, "The head row was deleted, so nobody can say how many events there were.")
    count, previous = 0, GENESIS
    for event in _rows(head.seq):
        fault = _fault(event, count + 1, previous)
        if fault:
            return Verdict(False, count, count + 1, fault)
        assert isinstance(event, AuditEvent)
        count, previous = count + 1, event.digest
    bad = _end_fault(head, count, previous) or _known_fault(known, head)
    if bad:
        return Verdict(False, count, *bad)
    return Verdict(True, count, None, f"All {count:,} events are as they were written.")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row in which stands what the portal never writes there."""

    seq: int


def _rows(until: int) -> Iterator[AuditEvent | Unreadable]:
    """All events up to number `until`, the strange ones below 1 too."""
    found, last = AuditEvent.objects.filter(seq__lte=until).order_by("seq"), None
    while True:
        chunk = found if last is None else found.filter(seq__gt=last)
        try:
            rows: list[AuditEvent | Unreadable] = list(chunk[:CHUNK])
        except (ValueError, TypeError):
            rows = [_one(seq) for seq in chunk.values_list("seq", flat=True)[:CHUNK]]
        if not rows:
            return
        yield from rows
        last = rows[-1].seq


def _one(seq: int) -> AuditEvent | Unreadable:
    try:
        return AuditEvent.objects.get(seq=seq)
    except (ValueError, TypeError):
        return Unreadable(seq)


def _fits(event: AuditEvent) -> bool:
    """Whether the event carries the digest that it must carry."""
    try:
        return seal(event) == event.digest
    except (ValueError, TypeError, AttributeError):  # a value that the portal never writes there
        return False


def _fault(event: AuditEvent | Unreadable, number: int, previous: str) -> str:
    """What is wrong with the row that stands where event `number` belongs, behind the digest `previous`; or ''."""
    if event.seq < 1:
        return f"Event {event.seq} was added by hand: the first number is 1."
    if event.seq != number:
        gone = f"Event {number} was" if event.seq == number + 1 else f"Events {number} to {event.seq - 1} were"
        return _moved(number, previous) or f"{gone} deleted: event {event.seq} follows event {number - 1}."
    if isinstance(event, Unreadable):
        return f"Event {number} was edited: it cannot be read any more."
    if event.previous != previous:
        return _moved(number, previous) or _renumbered(event, previous)
    if not _fits(event):
        return _unsealed(event)
    return ""


def _moved(number: int, previous: str) -> str:
    """The event that follows `previous`, when it stands elsewhere."""
    elsewhere = AuditEvent.objects.filter(previous=previous).exclude(seq=number).values_list("seq", flat=True).first()
    if elsewhere is None:
        return ""
    return f"Events were reordered: the one that belongs in place {number} stands in place {elsewhere}."


def _renumbered(event: AuditEvent, previous: str) -> str:
    number, written = event.seq, event.previous
    event.previous = previous
    only_link = _fits(event)
    event.previous = written
    if only_link:
        return f"Event {number} was edited: its link to the event before it was changed."
    for event.seq in range(number + 1, number + SEARCH):
        if _fits(event):
            gone = f"Event {number} was" if event.seq == number + 1 else f"Events {number} to {event.seq - 1} were"
            return f"{gone} deleted, and those behind it renumbered."
    return f"Event {number} was replaced: it does not follow event {number - 1}."


def _unsealed(event: AuditEvent) -> str:
    """An event that is in its place and carries a wrong digest: it was edited, or another key sealed it."""
    number = event.seq
    behind = AuditEvent.objects.filter(seq__gt=number).order_by("seq")
    others = [
        _one(seq)
        for seq in {*behind.values_list("seq", flat=True)[:1], *behind.reverse()[:1].values_list("seq", flat=True)}
    ]
    if any(isinstance(each, AuditEvent) and _fits(each) for each in others):
        return f"Event {number} was edited after it was written."
    if number > 1 and others:
        return (
            f"Event {number} and those behind it do not fit AUDIT_KEY: another key sealed them, or they were rewritten."
        )
    if number > 1:
        return f"Event {number} was edited after it was written."
    if others:
        return "Wrong key: no event fits AUDIT_KEY. Use the key that sealed them (by default data/audit_key)."
    return "Event 1 was edited, or AUDIT_KEY is the wrong key, not the one that sealed it."


def _end_fault(head: AuditHead, count: int, previous: str) -> tuple[int, str] | None:
    if head.seq > count:
        return count + 1, f"The end was cut off: {head.seq:,} events were written, {count:,} are there."
    if (head.digest or GENESIS) != previous:
        return max(count, 1), f"The head row was edited: it does not fit event {count}, the last one."
    # Asked in one statement, so that an event written at this moment is not taken for a stray.
    now = AuditHead.objects.filter(pk=1).values("seq")[:1]
    stray = AuditEvent.objects.filter(seq__gt=now).order_by("seq").values_list("seq", flat=True).first()
    if stray is not None:
        return stray, f"Event {stray} stands behind the head: it was added by hand, or the head row was set back."
    return None


def _known_fault(known: Known | None, head: AuditHead) -> tuple[int, str] | None:
    if known is None:
        return None
    if known.seq > head.seq:
        return head.seq + 1, f"The end was cut off: event {known.seq} was known before, the last one now is {head.seq}."
    if not AuditEvent.objects.filter(seq=known.seq, digest=known.digest).exists():
        return known.seq, f"Event {known.seq} is not the one that was known before: the record was rewritten."
    return None
