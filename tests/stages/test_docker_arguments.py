"""``-A``: every option in the table, and what is said about those that are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runner.errors import UsageError
from runner.stages.docker_arguments import container_settings

if TYPE_CHECKING:
    from typing import Any

GPU = {"Capabilities": [["gpu"]]}


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ({"cpus": "1.5"}, {"NanoCpus": 1_500_000_000}),
        ({"m": "512m"}, {"Memory": 512 << 20}),
        ({"memory": "1.5GiB"}, {"Memory": 3 << 29}),
        ({"memory": "1000"}, {"Memory": 1000}),
        ({"memory-swap": "-1"}, {"MemorySwap": -1}),
        ({"shm-size": "2g"}, {"ShmSize": 2 << 30}),
        ({"gpus": "all"}, {"DeviceRequests": [{"Count": -1, **GPU}]}),
        ({"gpus": "2"}, {"DeviceRequests": [{"Count": 2, **GPU}]}),
        ({"gpus": '"device=0,3"'}, {"DeviceRequests": [{"DeviceIDs": ["0", "3"], **GPU}]}),
        ({"t": None}, {"Tty": True}),
        ({"tty": "false"}, {"Tty": False}),
        ({"read-only": None}, {"ReadonlyRootfs": True}),
        ({"rm": None, "init": None}, {}),
        ({"net": "none"}, {"network": "none"}),
        ({"e": "A=b=c d; $(x)"}, {"env": {"A": "b=c d; $(x)"}}),
        ({"label": "a=b c"}, {"Labels": {"a": "b c"}}),
        ({"add-host": "db:10.0.0.7"}, {"ExtraHosts": ["db:10.0.0.7"]}),
        ({"cap-drop": "NET_RAW, MKNOD"}, {"CapDrop": ["NET_RAW", "MKNOD"]}),
        ({"tmpfs": "/x:size=1m"}, {"Tmpfs": {"/x": "size=1m"}}),
        (
            {"ulimit": "nofile=10:20"},
            {"Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}]},
        ),
        (
            {"device": "/dev/fuse"},
            {
                "Devices": [
                    {
                        "PathOnHost": "/dev/fuse",
                        "PathInContainer": "/dev/fuse",
                        "CgroupPermissions": "rwm",
                    }
                ]
            },
        ),
        ({"entrypoint": ""}, {"Entrypoint": [""]}),
        ({"entrypoint": "/bin/tool -x"}, {"Entrypoint": ["/bin/tool", "-x"]}),
    ],
)
def test_known_options(given: dict[str, str | None], settings: dict[str, Any]) -> None:
    assert container_settings(given) == settings


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"memroy": "1g"}, "did you mean '-A memory'"),
        ({"--gpus": "all"}, "did you mean '-A gpus'"),
        ({"detach": None}, "runproj follows its runs"),
        ({"name": "x"}, "named after its run"),
        ({"zzz": "x; rm -rf /"}, "docs/containers.md"),
    ],
)
def test_unknown_options(given: dict[str, str | None], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        container_settings(given)
    assert said in f"{refused.value.message} {refused.value.hint}"


@pytest.mark.parametrize(
    "given",
    [
        {"memory": "lots"},
        {"memory": None},
        {"memory": "$(reboot)"},
        {"cpus": "0"},
        {"cpus": "nan"},
        {"cpus": "-1"},
        {"gpus": "some"},
        {"gpus": "0"},
        {"t": "maybe"},
        {"pids-limit": "many"},
        {"ulimit": "nofile"},
        {"add-host": "db"},
        {"tmpfs": "relative"},
        {"device": "fuse"},
        {"user": ""},
        {"env": "=x"},
        {"user": "a\0b"},
        {"memory": "1g", "m": "2g"},
    ],
)
def test_values_that_make_no_sense(given: dict[str, str | None]) -> None:
    with pytest.raises(UsageError, match="-A "):
        container_settings(given)
