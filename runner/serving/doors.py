"""Who is let in, and with what: one door for everybody, one for people with accounts."""

from __future__ import annotations

from runner.serving.guarded import GuardedStore
from runner.serving.rules import Anyone
from runner.serving.service import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from runner.ports import TrackingStore
    from runner.serving.messages import Request, Response

    class Visit(Protocol):
        """What somebody who was let in can do."""

        @property
        def service(self) -> Service:
            """The tracking store, as this person may see it."""

        def own_call(self, request: Request) -> Response | None:
            """Answer calls about accounts; None for all others."""

    class Door(Protocol):
        """Lets people in."""

        @property
        def public(self) -> Service:
            """What everybody may use."""

        def enter(self, request: Request) -> Visit:
            """Let the sender of a request in.

            Raises:
                Refusal: ``UNAUTHENTICATED``, or too many attempts failed.
            """


class OpenDoor:
    """Everybody may do everything that the server can do."""

    def __init__(self, store: TrackingStore) -> None:
        self.public = self.service = Service(GuardedStore(store, Anyone()))

    def enter(self, request: Request) -> Visit:  # noqa: ARG002 - nobody is asked
        """Let in."""
        return self

    def own_call(self, request: Request) -> Response | None:  # noqa: ARG002 - there are none
        """Answer nothing: there are no accounts."""
        return None
