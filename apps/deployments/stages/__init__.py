"""The stages of a deployment, each a room of its own, and what takes one back."""
