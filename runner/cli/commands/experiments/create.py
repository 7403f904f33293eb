"""``runproj experiments create``: make a new experiment."""

from __future__ import annotations

from runner.cli.experiment_views import document
from runner.cli.selection import opened, store_option
from runner.pipeline.request import named_values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.output import Console


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("name", metavar="NAME", help="its name")
    add("--artifact-location", metavar="URI", help="where its runs put their files")
    add("--tag", action="append", default=[], metavar="NAME=VALUE", help="a tag; repeat for more")
    add("--json", action="store_true", help="print the experiment as JSON")
    store_option(parser)


def call(options: Namespace, console: Console) -> int:
    """Make the experiment; its id is the result."""
    tags = {name: value or "" for name, value in named_values(options.tag, "--tag").items()}
    with opened(options) as store:
        made = store.create_experiment(
            options.name, artifact_location=options.artifact_location, tags=tags
        )
    if options.json:
        console.emit(document(made))
    else:
        console.say(made.experiment_id)
    return 0
