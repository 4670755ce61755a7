"""The record of who did what. Rows are only ever added; each seals the one before it."""

from django.db import models


class AuditEvent(models.Model):
    """One thing that was done. No foreign keys: the record outlives what it speaks of."""

    seq = models.BigIntegerField(primary_key=True)  # 1, 2, 3 … without gaps
    at = models.DateTimeField()
    kind = models.CharField(max_length=80)  # "flow.save", "run.cancel"
    actor = models.CharField(max_length=200)
    actor_kind = models.CharField(max_length=10)  # user, system, cli
    target = models.CharField(max_length=200, blank=True, default="")  # "run:12"
    environment = models.CharField(max_length=100, blank=True, default="")
    detail = models.JSONField(default=dict)
    previous = models.CharField(max_length=64)  # the digest of event seq - 1
    digest = models.CharField(max_length=64)  # HMAC-SHA256 over all of the above

    class Meta:
        ordering = ["-seq"]
        indexes = [models.Index(fields=["target", "seq"]), models.Index(fields=["kind", "seq"])]

    def __str__(self) -> str:
        return f"#{self.seq} {self.kind} by {self.actor}"


class AuditHead(models.Model):
    """The newest event's number and digest: a tail that was cut off shows here."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    seq = models.BigIntegerField(default=0)
    digest = models.CharField(max_length=64, default="")

    def __str__(self) -> str:
        return f"head at #{self.seq}"
