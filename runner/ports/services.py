"""The outside world, as one run sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from runner.model.tracking import TrackedRun
    from runner.ports.environments import EnvironmentBuilder, PackageFiles
    from runner.ports.jobs import Backend, Endpoint, Reporter
    from runner.ports.projects import Source, SourceRestorer
    from runner.ports.tracking import Spool, TrackingStore


class Services(Protocol):
    """The outside world, as one run sees it. Adapters are made when they are asked for."""

    @property
    def reporter(self) -> Reporter:
        """Whoever watches."""

    @property
    def home(self) -> str:
        """The directory for everything that can be made again (``<cache>`` in the docs)."""

    @property
    def sources(self) -> Iterator[Source]:
        """The sources, in the order in which they are asked."""

    @property
    def restorer(self) -> SourceRestorer:
        """What brings the files of an earlier run back."""

    @property
    def managers(self) -> tuple[str, ...]:
        """The names of the environment builders, the preferred one first."""

    def builder(self, name: str) -> EnvironmentBuilder:
        """Return one builder; UsageError when there is none of that name."""

    def package_files(self, manager: str) -> PackageFiles:
        """Return what has the files of a manager's environments; UsageError where nothing has."""

    def backend(self, name: str) -> Backend:
        """Return one backend; UsageError when there is none of that name."""

    def sampling(self, wanted: bool | None) -> float:  # noqa: FBT001 - what a request says
        """Return the seconds between two samples of the machine, 0 when there are to be none."""

    @property
    def store(self) -> TrackingStore:
        """The tracking store, opened."""

    @property
    def spool(self) -> Spool:
        """What waits to be delivered to tracking servers."""

    def opened(self, uri: str, *, patient: bool = True) -> TrackingStore:
        """Open another store, with our credentials if it is ours; the caller closes it.

        Without patience a server that does not answer at once is given up.
        """

    @property
    def tracking_uri(self) -> str:
        """The store's URI as it was given: it may carry credentials, and is for children only."""

    def endpoint(self, run: TrackedRun) -> Endpoint | None:
        """Bind an endpoint for a run's command; None where it talks to a server itself."""

    @property
    def now(self) -> Callable[[], datetime]:
        """The clock: aware UTC times."""

    @property
    def environ(self) -> Mapping[str, str]:
        """The variables that Runproj was started with."""
