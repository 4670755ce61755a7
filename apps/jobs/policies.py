"""The action of this room. Which job somebody may follow, the job's own kind and environment decide (`live.may_watch`)."""

from apps.accounts.policy import READERS, Rule, register

register({"jobs.watch": Rule("follow the events of running work", READERS)})
