"""The namespace of Minibit's actors, and their names."""

from __future__ import annotations

NAMESPACE = "minibit"


def actor_name(run: str, peer: str) -> str:
    """The name of a peer's actor in the namespace `minibit`."""
    return f"minibit:{run}:{peer}"
