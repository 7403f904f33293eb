"""Building an image on the engine: its context sent, its output followed, its failure named."""

from __future__ import annotations

import io
import os
import re
import stat
import tarfile
import tempfile
import time
from collections import deque
from typing import TYPE_CHECKING

from runner.documents.dockerfile import pinned
from runner.environments.docker.context import IGNORE, Recipe, files, inputs
from runner.environments.docker.plans import read_plan, recipe_from
from runner.errors import EnvError
from runner.model.event import Progress, Step, StepDone, Warned
from runner.model.spec import Problem
from runner.system.engine import address, explained, one_line, translated
from runner.system.files import Lock

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, BinaryIO

    from runner.environments.docker.images import Image, Images
    from runner.model.lock import ImageLock
    from runner.ports import Reporter

STEP = re.compile(r"step (\d+/\d+) ?: (.*)", re.IGNORECASE)
CODE = re.compile(r"(?:returned a non-zero code: |exit status )(\d+)")
CHATTER = ("--->", "Removing intermediate container", "Successfully ", "[Warning] ")
TIME = 315_619_200
"""Seconds since 1970: the time of every file in a context, a day that zip archives can hold."""
LAST_LINES = 3
LINE_LENGTH = 300
LABEL_PROJECT = "runproj.project"
"""On every image that is built here. The digest of the inputs is in the tag and not in a label: an
image that comes out the same keeps its id."""


def built(
    lock: ImageLock,
    images: Images,
    *,
    home: str,
    environ: Mapping[str, str],
    reporter: Reporter | None,
) -> Image:
    """Build the image of a lock, by one process at a time.

    Raises:
        EnvError: A step fails, or the files have changed since they were locked.
    """
    plan = read_plan(home, lock.digest)
    recipe = recipe_from(plan)
    if inputs(recipe, home) != lock.inputs:
        raise EnvError(
            "the files for building the image changed while it was prepared", where=recipe.root
        )
    with Lock(os.path.join(home, "images", "plans", f"{lock.digest[-32:]}.lock")):
        if there := images.look(lock.reference):
            return there
        if reporter:
            for name in plan["suspicious"]:
                reporter.report(Warned(problem=_readable(name)))
        labels = {LABEL_PROJECT: plan["project"]}
        building = Building(images, environ=environ, reporter=reporter)
        pins = _moved(plan, images)
        building.build(recipe, tag=lock.reference, labels=labels, pins=pins)
        image = images.look(lock.reference)
    if image is None:
        raise EnvError(f"the engine built {lock.reference}, and does not have it")
    if plan["also"]:
        _name_too(images, lock.reference, plan["also"])
    return image


def _moved(plan: Mapping[str, Mapping[str, str]], images: Images) -> dict[str, str]:
    """Return the names that do not mean the locked images now, and what to take instead."""
    found = {name: images.look(name) for name in plan["bases"]}
    return {
        name: plan["bases"][name]
        for name, image in found.items()
        if image is None or image.identifier != plan["identifiers"][name]
    }


def _name_too(images: Images, reference: str, name: str) -> None:
    repository_name, _, version = name.partition(":")
    images.client.images.get(reference).tag(repository_name, version or None)


def _readable(name: str) -> Problem:
    return Problem(
        severity="warning",
        rule="secret-build-argument",
        message=f"the build argument {name!r} can be read by anybody who has the image",
        hint="pass secrets when the command runs: a parameter with 'secret: true'",
    )


class Building:
    """Builds images with the engine's classic builder, the one that the SDK speaks to."""

    def __init__(
        self, images: Images, *, environ: Mapping[str, str], reporter: Reporter | None = None
    ) -> None:
        self._images, self._environ, self._reporter = images, environ, reporter

    def build(
        self,
        recipe: Recipe,
        *,
        tag: str,
        labels: Mapping[str, str],
        pins: Mapping[str, str],
    ) -> None:
        """Build an image; ``pins`` names the images to begin with instead of those in the file.

        Raises:
            EnvError: A step failed, or a file cannot be read.
        """
        from docker.errors import APIError

        where = address(self._environ)
        subject = recipe.shown or "the project's image"
        began = time.monotonic()
        self._tell(Step(verb="building", subject=subject))
        with tempfile.TemporaryFile() as context:
            dockerfile = _packed(recipe, context, pins)
            context.seek(0)
            with translated(where):
                try:
                    answers = self._images.client.api.build(
                        fileobj=context,
                        custom_context=True,
                        dockerfile=dockerfile,
                        tag=tag,
                        buildargs=dict(recipe.arguments),
                        labels=dict(labels),
                        target=recipe.target or "",
                        platform=recipe.platform,
                        rm=True,
                        forcerm=True,
                        decode=True,
                        timeout=None,
                    )
                    self._follow(answers)
                except APIError as error:
                    raise EnvError(
                        f"the engine does not build {subject}: {explained(error, where)[0]}"
                    ) from None
        seconds = time.monotonic() - began
        self._tell(StepDone(verb="building", subject=subject, seconds=seconds))

    def _follow(self, answers: Iterable[Mapping[str, Any]]) -> None:
        """Hand on what the build says, and find the step that it fails at.

        Raises:
            EnvError: It fails.
        """
        last: deque[str] = deque(maxlen=LAST_LINES)
        step = number = ""
        failure = None
        for answer in answers:  # to its end, also after an error: the connection is closed then
            if "error" in answer and failure is None:
                failure = _failure(answer, f"{number}, '{step}'" if step else "the start", last)
            for line in str(answer.get("stream") or answer.get("status") or "").splitlines():
                text = line.strip()
                if not text:
                    continue
                self._tell(Progress(line=text))
                if found := STEP.fullmatch(text):
                    number, step = found[1], found[2]
                    last.clear()
                elif not text.startswith(CHATTER):
                    last.append(text[:LINE_LENGTH])
        if failure is not None:
            raise failure

    def _tell(self, event: Step | Progress | StepDone) -> None:
        if self._reporter:
            self._reporter.report(event)


def _failure(answer: Mapping[str, Any], step: str, last: Iterable[str]) -> EnvError:
    message = one_line(str(answer["error"]))
    detail = answer.get("errorDetail") or {}
    code = detail.get("code") or (found[1] if (found := CODE.search(message)) else None)
    why = f"exit code {code}" if code else message
    said = " | ".join(last)
    return EnvError(
        f"building the image failed at step {step}: {why}",
        where=f"it said: {said}" if said else None,
        hint="files that git ignores or .dockerignore names are not sent"
        if "no such file" in message.lower() or "not found" in message.lower()
        else "mend the Dockerfile; all of its output is above",
    )


def _packed(recipe: Recipe, target: BinaryIO, pins: Mapping[str, str]) -> str:
    """Write the context as the engine takes it; return the path of the Dockerfile in it."""
    where = recipe.shown or "Dockerfile"
    text = pinned(recipe.dockerfile, recipe.arguments, pins, where=where) if pins else None
    inside = recipe.path is not None
    dockerfile = recipe.path or "Dockerfile.runproj"
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        if not inside:
            # The engine takes away what this names, before anything is copied.
            _add(tar, IGNORE, f"{IGNORE}\n{dockerfile}\n".encode())
        if not inside or text is not None:
            _add(tar, dockerfile, (text or recipe.dockerfile).encode())
        if recipe.folder:
            folder = tarfile.TarInfo(recipe.folder)
            folder.type, folder.mode, folder.mtime = tarfile.DIRTYPE, 0o755, TIME
            tar.addfile(folder)
        for path, status in files(recipe):
            replaced = path == dockerfile and text is not None
            if not replaced and (inside or path != IGNORE or recipe.folder):
                _add_file(tar, recipe, path, status)
    return dockerfile


def _add(tar: tarfile.TarFile, path: str, content: bytes) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode, entry.mtime = len(content), 0o644, TIME
    tar.addfile(entry, io.BytesIO(content))


def _add_file(tar: tarfile.TarFile, recipe: Recipe, path: str, status: os.stat_result) -> None:
    place = os.path.join(recipe.root, path)
    entry = tarfile.TarInfo(os.path.join(recipe.folder, path))
    entry.mtime = TIME
    if stat.S_ISLNK(status.st_mode):
        entry.type, entry.mode, entry.linkname = tarfile.SYMTYPE, 0o777, os.readlink(place)
        tar.addfile(entry)
        return
    entry.mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
    with open(place, "rb") as file:
        entry.size = os.fstat(file.fileno()).st_size
        tar.addfile(entry, file)
