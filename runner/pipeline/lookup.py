"""Find runs as people ask for them: by the beginning of an id, by experiment, by a filter."""

from __future__ import annotations

from runner.errors import StoreError
from runner.model.value import RunId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from runner.model.tracking import Experiment, RunPage, RunSearch, TrackedRun
    from runner.ports import TrackingStore

PAGE = 1000
"""How many runs are asked for at once."""
LONGEST_PAGE = 10_000
"""The same of a store on this machine, which has to search anew for each page."""
SHOWN = 5
"""How many candidates an ambiguous beginning is answered with."""


def find_run(store: TrackingStore, beginning: str) -> TrackedRun:
    """Return the one run, deleted or not, whose id begins so; a whole id always finds its run.

    Raises:
        StoreError: No id begins so, or several do.
    """
    wanted = beginning.strip()
    hint = "'runproj runs list' shows the runs"
    if not wanted.replace("-", "").replace("_", "").isalnum():
        raise StoreError(f"{beginning!r} is no run id", status="INVALID_PARAMETER_VALUE", hint=hint)
    everywhere = [experiment.experiment_id for experiment in store.experiments()]
    found = store.runs(everywhere, limit=SHOWN + 1, prefix=wanted, lifecycle="all").runs
    if len(found) == 1:
        return found[0]
    if len(found) > SHOWN or any(run.run_id == wanted for run in found):
        try:
            return store.run(RunId(wanted))
        except StoreError as error:
            if error.status != "RESOURCE_DOES_NOT_EXIST":
                raise
    if not found:
        raise StoreError(
            f"there is no run {wanted!r} in {store.uri}",
            status="RESOURCE_DOES_NOT_EXIST",
            hint=hint,
        )
    names = ", ".join(f"{run.run_id} ({run.name})" for run in found[:SHOWN])
    more = " and others" if len(found) > SHOWN else ""
    raise StoreError(
        f"several runs begin with {wanted!r}: {names}{more}",
        status="INVALID_PARAMETER_VALUE",
        hint="give more of the id",
    )


def chosen_experiments(store: TrackingStore, wanted: Iterable[str]) -> dict[str, str]:
    """Return the names of the experiments that were asked for by name or id, by id; else of all.

    Raises:
        StoreError: There is no such experiment.
    """
    names = {experiment.experiment_id: experiment.name for experiment in store.experiments()}
    chosen: dict[str, str] = {}
    for word in wanted:
        found = [identity for identity, name in names.items() if name == word]
        for identity in found or [word]:
            if identity not in names:
                raise _no_experiment(word, names.values())
            chosen[identity] = names[identity]
    return chosen or names


def find_experiment(store: TrackingStore, wanted: str) -> Experiment:
    """Return the experiment of a name or an id, deleted or not.

    Raises:
        StoreError: There is none.
    """
    everywhere = store.experiments()
    for attribute in ("name", "experiment_id"):
        for experiment in everywhere:
            if getattr(experiment, attribute) == wanted:
                return experiment
    raise _no_experiment(wanted, [experiment.name for experiment in everywhere])


def _no_experiment(wanted: str, names: Collection[str]) -> StoreError:
    from difflib import get_close_matches

    near = get_close_matches(wanted, names, n=1)
    return StoreError(
        f"there is no experiment {wanted!r}",
        status="RESOURCE_DOES_NOT_EXIST",
        hint=f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}",
    )


def search_runs(
    store: TrackingStore,
    experiment_ids: Sequence[str],
    *,
    filter_text: str = "",
    order: Sequence[str] = (),
    lifecycle: str = "active",
    page_size: int = PAGE,
) -> Iterator[TrackedRun]:
    """Return the runs that a filter lets through, in the order asked for, else newest first.

    Runs are asked for as they are consumed, ``page_size`` at a time, where the order allows it.

    Raises:
        FilterError: The filter or the order makes no sense.
    """
    from runner.model.tracking import RunSearch
    from runner.query.filters import parsed
    from runner.query.kinds import RUN
    from runner.query.search import admits, orderings, searched

    search = RunSearch(
        experiment_ids=tuple(experiment_ids),
        comparisons=tuple(parsed(filter_text, RUN)),
        order=tuple(orderings(order, RUN)),
        lifecycle=lifecycle,
        limit=page_size,
    )
    is_wanted = admits(filter_text, RUN)
    if filter_text or order:
        ask, narrow = (getattr(store, name, None) for name in ("search_runs", "narrowed_runs"))
        if ask and (found := ask(search)) is not None:
            return _asked(ask, search, found)
        if narrow and (page := narrow(search)) is not None:
            return filter(is_wanted, _narrowed(narrow, search, page))
    runs = _pages(store, experiment_ids, lifecycle, PAGE if filter_text or order else page_size)
    if order:
        return iter(searched(runs, RUN, filter_text=filter_text, order=order))
    return filter(is_wanted, runs)


def _asked(
    ask: Callable[[RunSearch], tuple[TrackedRun, ...] | None],
    search: RunSearch,
    found: tuple[TrackedRun, ...],
) -> Iterator[TrackedRun]:
    """Return what a store finds, page by page; each page is longer than the one before."""
    from runner.model.value import changed

    while True:
        yield from found
        if len(found) < search.limit:
            return
        start = search.start + search.limit
        search = changed(search, start=start, limit=_more(search.limit))
        found = ask(search) or ()


def _narrowed(
    narrow: Callable[[RunSearch, str], RunPage | None], search: RunSearch, page: RunPage
) -> Iterator[TrackedRun]:
    """Return what a server lets through, page by page."""
    while True:
        yield from page.runs
        following = narrow(search, page.next_page) if page.next_page else None
        if following is None:
            return
        page = following


def _pages(
    store: TrackingStore, experiment_ids: Sequence[str], lifecycle: str, size: int
) -> Iterator[TrackedRun]:
    page: str | None = None
    while True:
        found = store.runs(experiment_ids, limit=size, page=page, lifecycle=lifecycle)
        yield from found.runs
        page = found.next_page
        if page is None:
            return
        if store.artifact_root is not None:
            size = _more(size)


def _more(size: int) -> int:
    return min(4 * size, LONGEST_PAGE)
