"""``runproj experiments tag``: set, show and remove tags of an experiment."""

from __future__ import annotations

from runner.cli.selection import opened, store_option
from runner.cli.text import padded, printable, width
from runner.errors import UsageError
from runner.pipeline.lookup import find_experiment
from runner.pipeline.request import named_values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping

    from runner.cli.output import Console


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("experiment", metavar="EXPERIMENT", help="its name or id")
    add("tag", nargs="*", metavar="NAME=VALUE", help="tags to set; none: show them")
    add("--remove", action="append", default=[], metavar="NAME", help="take a tag away")
    add("--json", action="store_true", help="show: print JSON")
    store_option(parser)


def call(options: Namespace, console: Console) -> int:
    """Change the tags, or show them when there is nothing to change."""
    for word in options.tag:
        if "=" not in word:
            raise UsageError(f"{word!r} is no tag", hint="NAME=VALUE")
    tags = {name: value or "" for name, value in named_values(options.tag, "a tag").items()}
    with opened(options) as store:
        experiment = find_experiment(store, options.experiment)
        if not tags and not options.remove:
            _show(experiment.tags, options, console)
            return 0
        if tags:
            store.update_experiment(experiment.experiment_id, tags=tags)
        for name in options.remove:
            if name in experiment.tags:
                store.delete_experiment_tag(experiment.experiment_id, name)
    return 0


def _show(tags: Mapping[str, str], options: Namespace, console: Console) -> None:
    if options.json:
        console.emit(dict(sorted(tags.items())))
        return
    columns = max((width(printable(name)) for name in tags), default=0)
    for name, value in sorted(tags.items()):
        console.say(f"{padded(printable(name), columns)}  {printable(value)}".rstrip())
