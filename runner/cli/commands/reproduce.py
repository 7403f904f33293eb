"""``runproj reproduce``: run a recorded run again, and say whether it came to the same."""

from __future__ import annotations

import os
import sys

from runner.app import Application
from runner.cli.output import TerminalReporter
from runner.cli.references import RUN_HELP, referenced_run
from runner.cli.verdict_view import repetition_document, show_noise, show_verdict
from runner.documents.parameters_file import parse_assignments
from runner.errors import RunprojError, SourceError, StoreError, UsageError
from runner.model.value import changed
from runner.pipeline.bisect import bisected
from runner.pipeline.bisect_code import bisected_code
from runner.pipeline.page import page
from runner.pipeline.recorded import source_of
from runner.pipeline.repeat import Repetition, repeated
from runner.pipeline.reproduce import Reproduction, Watcher, reproduce, unchecked, verdict_page
from runner.pipeline.run import heed_signals
from runner.pipeline.verdict import (
    exit_code,
    junit,
    keep_verdict,
    markdown,
    verdict_document,
)
from runner.redaction import without_credentials
from runner.settings import settings
from runner.system.files import write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.output import Console
    from runner.model.verdict import Tolerances, Verdict
    from runner.settings import Settings


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.usage = "runproj reproduce RUN [OPTIONS]"
    parser.epilog = (
        "exit codes: 0 reproduced, 1 diverged, 3 could not be checked, 2 usage, 125 runproj failed"
    )
    add = parser.add_argument
    add("run", metavar="RUN", help=RUN_HELP)
    add(
        "-P", "--param-list", action="append", default=[], metavar="NAME=VALUE",
        help="another value: makes it a variation; or where an input lies now, or a secret",
    )  # fmt: skip
    add(
        "--tolerance", action="append", default=[], metavar="NAME=VALUE",
        help="how near a metric or artifact must be: 0.01, 1%%, last, ignore; NAME may hold '*'",
    )  # fmt: skip
    add("--tolerances", metavar="FILE", help="tolerances from a YAML or JSON file; flags win")
    add(
        "--allow-host-access", action="store_true",
        help="let the run's container reach beyond itself, as 'runproj run' does",
    )  # fmt: skip
    add(
        "--refresh", action="store_true",
        help="resolve the environment anew instead of taking the recorded lock",
    )  # fmt: skip
    add(
        "--offline", action="store_true",
        help="fetch no packages: use those in the bundle, and those fetched before",
    )  # fmt: skip
    add(
        "--allowed-signers", metavar="FILE",
        help="the bundle must be signed by one of these (as for 'runproj verify')",
    )  # fmt: skip
    add(
        "--as-of", metavar="WHEN",
        help="--refresh with the packages of a date, of the 'commit', or of when the 'run' began",
    )  # fmt: skip
    add(
        "--env-manager", metavar="NAME",
        help="for runs that MLflow made: uv (packages as of the run's start), virtualenv or local",
    )  # fmt: skip
    add("--repeat", type=int, metavar="N", help="run N times; measure noise, propose tolerances")
    add(
        "-v", "--version", metavar="REVISION",
        help="run the files of another branch, tag or commit, with the recorded lock if it fits",
    )  # fmt: skip
    add(
        "--bisect", choices=["env", "code"],
        help="when it diverges, run again with parts of the changed packages, or with commits up "
        "to --version (default: the current one), to find the cause",
    )  # fmt: skip
    add("--experiment-name", metavar="NAME", help="where the new run goes (default: beside it)")
    add("--run-name", metavar="NAME", help="the new run's name")
    add("--tracking-uri", metavar="URI", help="the store (default: as for run)")
    add("--json", action="store_true", help="print the verdict as JSON")
    add(
        "--markdown", metavar="FILE", help="write it as Markdown, too ($GITHUB_STEP_SUMMARY always)"
    )
    add("--html", metavar="FILE", help="write it as a page with plots, too")
    add("--junit", metavar="FILE", help="write it as a JUnit report, too")
    add("--all", action="store_true", help="show what is identical, too")
    add("-q", "--quiet", action="store_true", help="no progress")


def call(options: Namespace, console: Console) -> int:
    """Reproduce; the exit code is the verdict's."""
    _check(options)
    found = settings(tracking_uri=options.tracking_uri, offline=options.offline)
    tolerances = tolerances_of(options, found)
    watcher = Watcher(TerminalReporter(console))
    services = Application(found, watcher)
    result = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what the command prints is no result
    try:
        repetition = _repetition(options, services, watcher, tolerances)
    except (StoreError, SourceError) as error:
        console.complain(error)
        shown = without_credentials(options.run), without_credentials(found.tracking_uri or "")
        repetition = Repetition(verdicts=(unchecked(*shown, error),), noise=())
    finally:
        services.close()
        sys.stdout.flush()
        os.dup2(result, sys.stdout.fileno())
        os.close(result)
    verdict = repetition.worst
    _deliver(verdict, options, found)
    if options.json and options.repeat:
        console.emit(repetition_document(repetition))
    elif options.json:
        console.emit(verdict_document(verdict))
    else:
        show_verdict(verdict, console, everything=options.all)
        if options.repeat:
            show_noise(repetition, console)
    return exit_code(verdict)


def _check(options: Namespace) -> None:
    """Refuse what makes no sense together."""
    if options.repeat is not None and options.repeat < 1:
        raise UsageError(f"--repeat {options.repeat} would run nothing", hint="--repeat 3")
    if options.repeat and options.bisect:
        raise UsageError("--repeat and --bisect do not go together", hint="one after the other")


def _repetition(
    options: Namespace, services: Application, watcher: Watcher, tolerances: Tolerances
) -> Repetition:
    reference = referenced_run(options.run, services, allowed_signers=options.allowed_signers)
    if options.offline and reference.packages:
        services.take_packages_from(reference.packages)
    if options.env_manager and not reference.is_foreign:
        manager = reference.record["environment"].get("manager")
        raise UsageError(
            f"--env-manager is for runs that MLflow made; this one was made with {manager!r}",
            hint="leave it away",
        )
    asked = Reproduction(
        reference=reference,
        caller=services.settings.directory,
        overrides=dict(parse_assignments(options.param_list)),
        tolerances=tolerances,
        refresh=options.refresh or options.as_of is not None,
        host_access=options.allow_host_access,
        as_of=options.as_of,
        environment_manager=options.env_manager,
        experiment_name=options.experiment_name,
        run_name=options.run_name,
    )

    def run_again(asked: Reproduction) -> Verdict:
        return reproduce(asked, services, watcher)

    heed_signals()
    history = None
    if options.version or options.bisect == "code":
        history = services.history(source_of(reference))
        asked = changed(asked, commit=history.commit(options.version))
    found = repeated(asked, options.repeat or 1, run_again, services)
    if options.bisect and found.worst.status not in {"IDENTICAL", "EQUIVALENT"}:
        worst = (
            bisected_code(asked, found.worst, run_again, history)
            if history and options.bisect == "code"
            else bisected(
                asked, found.worst, run_again, services=services, mixer=services.lock_mixer
            )
        )
        keep_verdict(worst, reference, services, quietly=asked.commit is not None)
        found = changed(found, verdicts=(worst,))
    if options.html and found.worst.reproduction:
        path = os.path.join(services.settings.directory, options.html)
        _written(path, verdict_page(asked, found.worst, services))
    return found


def tolerances_of(options: Namespace, found: Settings) -> Tolerances:
    """Return the tolerances of the flags and of the file, in this order."""
    from runner.model.verdict import Tolerances
    from runner.pipeline.tolerance import from_document, from_flags

    flags = from_flags(options.tolerance)
    if not options.tolerances:
        return flags
    path = os.path.join(found.directory, options.tolerances)
    filed = from_document(_loaded(path), path)
    return Tolerances(
        metrics=(*flags.metrics, *filed.metrics), artifacts=(*flags.artifacts, *filed.artifacts)
    )


def _loaded(path: str) -> object:
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            found = yaml.safe_load(file)
    except OSError as error:
        raise UsageError(f"the tolerances cannot be read: {error.strerror}", where=path) from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"the tolerances are no YAML: {error}", where=path) from None
    inside = found.get("reproduce") if isinstance(found, dict) else None
    return inside if inside is not None else found


def _deliver(verdict: Verdict, options: Namespace, found: Settings) -> None:
    """Write the reports that were asked for."""
    text = markdown(verdict)
    if options.markdown:
        _written(os.path.join(found.directory, options.markdown), text.encode())
    if options.junit:
        _written(os.path.join(found.directory, options.junit), junit(verdict))
    if options.html and verdict.reproduction is None:
        _written(os.path.join(found.directory, options.html), page(verdict, {}))
    if step_summary := found.environ.get("GITHUB_STEP_SUMMARY"):
        _written(step_summary, text.encode(), more=True)


def _written(path: str, content: bytes, *, more: bool = False) -> None:
    """Write a report, or ``more`` of one."""
    try:
        if more:
            with open(path, "ab") as file:
                file.write(content)
        else:
            write_whole(path, content)
    except OSError as error:
        raise RunprojError(f"the report cannot be written: {error.strerror}", where=path) from None
