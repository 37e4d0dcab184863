"""A request: the picture of one item for one user."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Request"]


@dataclass(frozen=True)
class Request:
    """One (user, item) pair to draw.

    Attributes:
        key: All random numbers of its candidates derive from it.
        history: Ids of the user's items, in the order the model sees them.
        reference: Id of the item whose picture is personalised.
        target: Id of the item whose text says what to draw; the reference's own by default.
    """

    key: str
    history: tuple[str, ...]
    reference: str
    target: str = ""

    @property
    def described_by(self) -> str:
        """Id of the item whose text says what to draw."""
        return self.target or self.reference

    @property
    def items(self) -> tuple[str, ...]:
        """Ids of the items whose pictures the model sees, the reference first."""
        return (self.reference, *self.history)
