"""Run MLproject projects reproducibly.

The line every run follows::

    request -> working tree -> spec -> invocation -> command      (a draft: decided, not executed)
    draft -> lock -> environment -> job -> outcome                (recorded from its first moment)
    record -> request -> record -> verdict                        (reproduced)

>>> import runner
>>> handle = runner.run("./project", parameters={"alpha": 0.5})  # doctest: +SKIP
>>> handle.wait()  # doctest: +SKIP
True
"""

from runner.version import __version__

__all__ = ["__version__", "run", "search_runs"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.api import run, search_runs


def __getattr__(name: str) -> object:
    """Load the programming interface when somebody asks for it."""
    if name in {"run", "search_runs", "RunHandle"}:
        from runner import api

        return getattr(api, name)
    message = f"module 'runner' has no attribute {name!r}"
    raise AttributeError(message)
