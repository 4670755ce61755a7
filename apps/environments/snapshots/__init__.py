"""Snapshots of the state of an environment: saved, verified, restored. The format is in docs/reference/snapshot.md."""
