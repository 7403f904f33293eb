"""The process that rattler lives in: one JSON request on standard input, one answer on output.

The only importer of rattler. It is started with a fresh interpreter and leaves by ``os._exit``:
py-rattler 0.28 crashes one process in four that ends in the ordinary way (a thread of its runtime
still holds the interpreter while it is taken down), and panics of its Rust code are no
``Exception``. Whatever happens here, the answer is whole or the caller sees that it is not.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import json
import os
import sys
from typing import Any
from urllib.parse import unquote, urlsplit

JSON = dict[str, Any]
OFFLINE = "network access is forbidden:"
"""Starts the complaint about what is not in the cache while the network may not be used."""


async def solve(asked: JSON) -> list[JSON]:
    """Return the records of the packages that satisfy the specifications together."""
    import rattler
    from rattler.exceptions import SolverError

    limit, gateway = asked["as_of"], _gateway(asked)
    specs = [_spec(text) for text in asked["specs"]]
    try:
        records = await rattler.solve(
            sources=[_source(channel) for channel in asked["channels"]],
            specs=specs,
            gateway=gateway,
            platforms=[asked["platform"], "noarch"],
            virtual_packages=[_virtual(*words) for words in asked["virtual_packages"]],
            channel_priority=rattler.ChannelPriority[asked["priority"]],
            locked_packages=[_record(row) for row in asked["locked"]],
            exclude_newer=datetime.datetime.fromisoformat(limit) if limit else None,
            channel_relations="disabled",
            add_pip_as_python_dependency=True,
            timeout=datetime.timedelta(seconds=asked["seconds"]),
        )
    except SolverError:
        raise
    except Exception as error:  # noqa: BLE001 - one of a dozen kinds, or of Rust's
        raise await _blamed(error, asked, gateway, specs) from None
    return [{**json.loads(record.to_json()), "url": record.url} for record in records]


async def _blamed(error: Exception, asked: JSON, gateway: Any, specs: list[Any]) -> Exception:  # noqa: ANN401 - rattler's types are known when it is there
    """Return what went wrong with the name of the channel: each is asked alone."""
    import rattler

    if "://" in str(error):
        return error
    for url in (url for channel in asked["channels"] for url in channel["urls"]):
        try:
            await gateway.query([rattler.Channel(url)], [asked["platform"], "noarch"], specs)
        except Exception as own:  # noqa: BLE001 - whatever it is, it has a channel now
            return ChannelError(str(own), url)
    return error


def _spec(text: str) -> Any:  # noqa: ANN401 - likewise
    import rattler
    from rattler.exceptions import InvalidMatchSpecError

    try:
        return rattler.MatchSpec(text)
    except InvalidMatchSpecError as error:
        raise SpecError(text, str(error).partition("\n")[0]) from None


async def unsatisfied(asked: JSON) -> list[str]:
    """Return those specifications that none of the given packages satisfies."""
    records = [_record(row) for row in asked["packages"]]
    specs = [(text, _spec(text)) for text in asked["specs"]]
    return [text for text, spec in specs if not any(spec.matches(r) for r in records)]


async def install(asked: JSON) -> None:
    """Link packages into a prefix; ``file:`` packages, which rattler trusts, are hashed first."""
    import rattler

    for row in asked["packages"]:
        _check_file(row)
    hard = "true" if asked["hard_links"] else "false"
    await rattler.install(
        [_record(row) for row in asked["packages"]],
        target_prefix=asked["prefix"],
        package_cache=rattler.PackageCache.new_layered(
            [asked["packages_cache"]], validation_mode=rattler.ValidationMode.full()
        ),
        config=rattler.Config.from_toml(f"allow-hard-links = {hard}"),
        client=_client(asked),
        installed_packages=[],
        platform=rattler.Subdir(asked["platform"]),
        execute_link_scripts=asked["link_scripts"],
        show_progress=False,
    )


def _source(channel: JSON) -> Any:  # noqa: ANN401 - rattler's types are known when it is there
    import rattler

    urls = channel["urls"]
    if len(urls) == 1:
        return rattler.Channel(urls[0])
    return rattler.MultiSource(channel["name"], [rattler.Channel(url) for url in urls])


def _gateway(asked: JSON) -> Any:  # noqa: ANN401 - likewise
    import rattler

    return rattler.Gateway(
        cache_dir=asked["repodata_cache"],
        default_config=rattler.SourceConfig(
            cache_action="force-cache-only" if asked["offline"] else "cache-or-fetch"
        ),
        client=_client(asked),
    )


def _client(asked: JSON) -> Any:  # noqa: ANN401 - likewise
    """Return the HTTP client: rattler's stored credentials, and those of channel URLs."""
    from rattler import networking as net

    headers: dict[str, str] = asked["authorization"]
    if asked["insecure"] and not asked["offline"]:
        return net.Client.from_config(_trusting(asked["mirrors"]), user_agent="runproj",
                                      timeout=asked["http_seconds"])  # fmt: skip

    def forbidden(host: str, path: str) -> dict[str, str] | None:
        raise OfflineError(f"{OFFLINE} {host}{path}")

    def authorization(host: str, path: str) -> dict[str, str] | None:
        best = max((k for k in headers if f"{host}{path}".startswith(k)), key=len, default=None)
        return {"Authorization": headers[best]} if best else None

    chain: list[Any] = [] if asked["offline"] else [net.RetryMiddleware(3)]
    if asked["offline"]:
        chain.append(net.AddHeadersMiddleware(forbidden))
    if asked["mirrors"]:
        chain.append(net.MirrorMiddleware(asked["mirrors"]))
    if headers:
        chain.append(net.AddHeadersMiddleware(authorization))
    chain += [net.AuthenticationMiddleware(), net.OciMiddleware(), net.GCSMiddleware()]
    return net.Client(chain, user_agent="runproj", timeout=asked["http_seconds"])


def _trusting(mirrors: dict[str, list[str]]) -> Any:  # noqa: ANN401 - likewise
    """Return rattler's configuration for who checks no certificates."""
    import rattler

    rows = [f"{json.dumps(url)} = {json.dumps(others)}\n" for url, others in mirrors.items()]
    return rattler.Config.from_toml(f"tls-no-verify = true\n[mirrors]\n{''.join(rows)}")


def _virtual(name: str, version: str, build: str = "0") -> Any:  # noqa: ANN401 - likewise
    import rattler

    return rattler.GenericVirtualPackage(
        rattler.PackageName(name), rattler.Version(version), rattler.BuildString(build)
    )


def _record(row: JSON) -> Any:  # noqa: ANN401 - likewise
    """Return what rattler needs to know of a package to link it."""
    import rattler

    base, _, name = row["url"].rpartition("/")
    channel, _, subdir = base.rpartition("/")
    package = rattler.PackageRecord(
        name=row["name"],
        version=row["version"],
        build=rattler.BuildString(row["build"]),
        build_number=row["build_number"],
        subdir=subdir,
        depends=row["depends"],
        md5=bytes.fromhex(row["md5"]) if row["md5"] else None,
        sha256=bytes.fromhex(row["sha256"]) if row["sha256"] else None,
    )
    return rattler.RepoDataRecord(package, name, row["url"], f"{channel}/")


def _check_file(row: JSON) -> None:
    address = urlsplit(row["url"])
    if address.scheme != "file":
        return
    kind = "sha256" if row.get("sha256") else "md5"
    try:
        with open(unquote(address.path), "rb") as file:
            found = hashlib.file_digest(file, kind).hexdigest()
    except FileNotFoundError:
        raise GoneError(row["name"], row["url"]) from None
    if found != row[kind]:
        raise MismatchError(row["name"], row["url"], f"{kind}:{row[kind]}", f"{kind}:{found}")


class OfflineError(Exception):
    """Something would have to be fetched, and nothing may be."""


class SpecError(Exception):
    """A specification makes no sense: its text, why."""


class ChannelError(Exception):
    """A channel cannot be read: why, its URL."""


class GoneError(Exception):
    """A package is not where the lock says: name, URL."""


class MismatchError(Exception):
    """A package does not have the locked hash: name, URL, locked, found."""


OPERATIONS = {"solve": solve, "unsatisfied": unsatisfied, "install": install}


def main() -> None:
    """Answer one request and leave without saying goodbye."""
    answer_to = os.dup(1)
    os.dup2(2, 1)  # whatever else is printed is no answer
    if len(sys.argv) > 1:
        sys.path.append(sys.argv[1])
    asked = json.loads(sys.stdin.buffer.read())
    answer: JSON
    try:
        answer = {"value": asyncio.run(OPERATIONS[asked["operation"]](asked))}
    except BaseException as error:  # noqa: BLE001 - panics of Rust are no Exception
        words = [str(word) for word in error.args]
        answer = {"error": str(error), "kind": type(error).__name__, "words": words}
    with os.fdopen(answer_to, "wb") as file:
        file.write(json.dumps(answer).encode())
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
