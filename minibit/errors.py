"""Who is to blame: a neighbour (`RemoteError`) or whoever called us (`LocalError`).

A block with a wrong hash is a verdict, not an error; a broken invariant of our own is an `assert`.
"""


class MinibitError(Exception):
    """Base of every error that Minibit raises on purpose; its text says what to do."""

    exit_code = 1


class RemoteError(MinibitError):
    """A neighbour broke the protocol; it is dropped, with this text as the reason."""


class LocalError(MinibitError):
    """The caller misused us: a wrong value, a strategy that can't be used."""

    exit_code = 2


class SourceError(LocalError):
    """The content to share is missing, unreadable, or changed while it was shared."""

    exit_code = 3


class IntegrityError(MinibitError):
    """A finished copy is not what the manifest says."""

    exit_code = 6


class ClusterError(MinibitError):
    """The Ray cluster can't be reached, or doesn't admit us."""

    exit_code = 7


class StoreError(MinibitError):
    """Our own disk failed, or somebody changed a peer's files; no neighbour is to blame."""


class DiskFullError(MinibitError):
    """There is no room for the content, or there is none any more."""

    exit_code = 8
