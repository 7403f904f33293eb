"""Uploads in parts through the artifact proxy, as MLflow's clients from 2.6 on can send them.

``mpu/create`` gives each part an address of its own, below ours: clients put the parts there,
several at a time, with plain HTTP and the headers that they were told, and remember the entity tags
that they were answered. MLflow's server has such addresses from a cloud only; these are part of no
API of MLflow, and clients do not look at them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runner.serving.arguments import arguments, asked
from runner.serving.files import checked, segments
from runner.serving.messages import Refusal, Response, json_response

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from runner.codec import JSON
    from runner.ports import Parts
    from runner.serving.arguments import Arguments
    from runner.serving.messages import Request
    from runner.serving.service import Service

DECLINED: Final = "Multipart upload is not supported for the current artifact repository"
"""How MLflow's clients know that they shall send one piece: they compare the words."""
REMEMBERED: Final = 10_000
_CALL: Final = re.compile(
    r"(?P<base>.*/(?:ajax-)?api/2\.0/mlflow-artifacts/mpu)/"
    r"(?P<name>create|part|complete|abort)(?:/(?P<address>.*))?"
)


def answer(service: Service, request: Request) -> Response:
    """Answer one call about an upload."""
    found = _CALL.fullmatch(request.path)
    if found is None:
        raise Refusal(f"There is no {request.path[:200]} here.", "ENDPOINT_NOT_FOUND")
    name, address = found["name"], found["address"] or ""
    parts, rest = _place(service, segments(address))
    if name == "part":
        return _put(parts, request)
    given = arguments(request, {})
    file = [*rest, *_file_name(given)]
    path = "/".join(checked(file, "/".join(file)))
    if name == "create":
        count = given.integer("num_parts", 1)
        upload = parts.begin(path, count)
        service.uploads[upload] = parts
        part_url = f"{_origin(request)}{found['base']}/part/{address}"
        return json_response(_invitation(request, part_url, upload, count))
    upload = given.text("upload_id")
    if name == "abort":
        service.uploads.pop(upload, None)
        parts.abort(upload)
    elif service.uploads.get(upload, parts) is not None:  # else a client that missed our answer
        parts.complete(upload, path, _tags(given), limit=request.upload_limit)
        _note_end(service.uploads, upload)
    return json_response({})


def _place(service: Service, address: list[str]) -> tuple[Parts, list[str]]:
    """Return where parts go, and the path below.

    MLflow's clients up to 2.9 leave the run out of some addresses; they are told to send one piece,
    whose address is right.
    """
    offered: Callable[[], Parts] | None = None
    rest: list[str] = []
    if "artifacts" in address[2:4]:
        folder, rest = service.files.locate(address)
        offered = getattr(folder, "parts", None)
    if offered is None:
        raise Refusal(f"{DECLINED}: send the file in one piece, of any size", "NOT_IMPLEMENTED")
    return offered(), rest


def _put(parts: Parts, request: Request) -> Response:
    given = asked(request)
    tag = parts.put(given.text("upload_id"), given.integer("part_number"), request.body)
    return Response(200, headers={"ETag": f'"{tag}"'})


def _invitation(request: Request, part_url: str, upload: str, count: int) -> JSON:
    """Tell where the parts go.

    Clients send nothing of their own with a part: who they are is told back to them as a header.
    """
    who = request.headers.get("authorization")
    headers: dict[str, JSON] = {} if who is None else {"Authorization": who}
    return {
        "upload_id": upload,
        "credentials": [
            {
                "url": f"{part_url}?upload_id={upload}&part_number={number}",
                "part_number": number,
                "headers": headers,
            }
            for number in range(1, count + 1)
        ],
    }


def _note_end(uploads: dict[str, Parts | None], upload: str) -> None:
    if len(uploads) > REMEMBERED:
        for ended in [name for name, parts in list(uploads.items()) if parts is None]:
            uploads.pop(ended, None)
    uploads[upload] = None


def _file_name(given: Arguments) -> list[str]:
    """Return the last name of the client's own path, whatever its system."""
    return [re.split(r"[/\\]", given.text("path"))[-1]]


def _tags(given: Arguments) -> dict[int, str]:
    tags: dict[int, str] = {}
    for part in given.objects("parts"):
        tags[part.integer("part_number")] = part.text("etag").removeprefix("W/").strip('"')
    return tags


def _origin(request: Request) -> str:
    """Return how the client itself calls this server; a proxy before us may speak TLS for us."""
    forwarded = request.headers.get("x-forwarded-proto", "").strip().lower()
    scheme = forwarded if forwarded in {"http", "https"} else request.scheme
    return f"{scheme}://{request.headers.get('host', '127.0.0.1')}"
