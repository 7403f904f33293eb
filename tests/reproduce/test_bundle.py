"""Runs that travel in a file."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from machines import PROJECT

from runner.errors import StoreError
from runner.model.tracking import LoggedModel, Metric, ModelMetric, TrackedRun
from runner.model.value import RunId
from runner.pipeline.bundle import damage
from runner.pipeline.crate import METADATA, Packed, crate, listed

if TYPE_CHECKING:
    from collections.abc import Callable

    from git_repositories import Repo
    from machines import Machine

VALIDATE = Path(__file__).parents[1] / "support" / "validate_crate.py"
CONTENT = b"content"
DIGEST = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
RUN = TrackedRun(
    run_id=RunId("a" * 32),
    experiment_id="0",
    name="first",
    status="FINISHED",
    started=1_700_000_000_000,
    ended=1_700_000_001_000,
    artifact_uri="",
    params={"alpha": "0.5", "odd name": "ü"},
)


def bundle(path: Path, files: dict[str, bytes], *, size: int = 7, digest: str = DIGEST) -> Path:
    packed = [Packed(path="artifacts/a b.txt", size=size, sha256=digest, role="result")]
    document = crate(RUN, packed, project="p", user="u")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**files, METADATA: json.dumps(document).encode()}.items():
            archive.writestr(name, content)
    return path


def test_every_reference_of_the_metadata_leads_somewhere() -> None:
    files = [
        Packed(path="source.tar.gz", size=1, sha256=DIGEST, role="source"),
        Packed(path="inputs/x/a b.csv", size=2, sha256=DIGEST, role="input"),
        Packed(path="artifacts/m.json", size=3, sha256=DIGEST, role="result"),
    ]
    document = crate(RUN, files, project="p", user="Ada L")
    entities: Any = document["@graph"]
    graph = {entity["@id"]: entity for entity in entities}

    def references(value: object) -> list[str]:
        if isinstance(value, dict):
            own = [value["@id"]] if value.keys() == {"@id"} else []
            return own + [r for v in value.values() for r in references(v)]
        return [r for item in value for r in references(item)] if isinstance(value, list) else []

    assert {*references(entities)} - {"https://w3id.org/ro/crate/1.1"} <= graph.keys()
    assert graph["#" + RUN.run_id]["instrument"] == {"@id": "source.tar.gz"}
    assert {"@id": "inputs/x/a%20b.csv"} in graph["#" + RUN.run_id]["object"]
    assert [file.path for file in listed(document)] == [file.path for file in files]
    assert document["@context"] == [
        "https://w3id.org/ro/crate/1.1/context",
        "https://w3id.org/ro/terms/workflow-run/context",
    ]


def test_damage_is_found(tmp_path: Path) -> None:
    right = {"artifacts/a b.txt": CONTENT}
    assert damage(str(bundle(tmp_path / "good.zip", right))) == ()
    for name, files, reason in (
        ("other", {"artifacts/a b.txt": b"another"}, "has another sha256"),
        ("long", {"artifacts/a b.txt": b"longer than that"}, "has 16 bytes, not 7"),
        ("none", {}, "is missing"),
        ("more", {**right, "more.txt": b"x"}, "is not listed"),
    ):
        (found,) = damage(str(bundle(tmp_path / f"{name}.zip", files)))
        assert found.reason == reason


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_bundle_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bundle.zip"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="no bundle"):
        damage(str(path))
    with pytest.raises(StoreError, match="cannot be read"):
        damage(str(tmp_path / "nothing.zip"))


def log_model(here: Machine, run_id: str) -> None:
    """Log a model for a run, as a client of MLflow 3 does."""
    store = here.store
    try:
        models = store.model_store
        assert models is not None
        model = models.create_model(
            LoggedModel(
                model_id="m-" + "1" * 32, experiment_id="0", name="forest", source_run_id=run_id,
                created=1, updated=1,
            )
        )  # fmt: skip
        models.model_artifacts(model).put("weights.bin", b"1.0")
        assert store.lineage_store is not None
        point = Metric(key="accuracy", value=float("nan"), timestamp=1, step=3)
        store.lineage_store.log_model_metrics(
            [ModelMetric(model_id=model.model_id, run_id=RunId(run_id), metric=point)]
        )
    finally:
        store.close()


@pytest.mark.slow
def test_a_run_travels_in_a_bundle(
    project: Repo, machine: Callable[[str], Machine], tmp_path: Path
) -> None:
    first = machine("first")
    project.write({"train.py": (project.path / "train.py").read_text() + "metric('nan', 'NaN')\n"})
    project.write({"tool.sh": "#!/bin/sh\n"})
    (project.path / "tool.sh").chmod(0o755)
    data = first.here / "own.csv"
    data.write_text("3.0\n")
    reference = first.run(project.path, "-P", "data=own.csv")
    log_model(first, reference)
    path = tmp_path / "bundle.zip"
    assert first.call("export", reference[:9], "-o", path).stdout == f"{path}\n"
    again = tmp_path / "again.zip"
    first.call("export", reference, "-o", again)
    assert path.read_bytes() == again.read_bytes()
    for gone in (first.here, first.home, project.path):
        shutil.rmtree(gone)

    second = machine("second")
    assert second.call("verify", path).returncode == 0
    found = second.verdict(path, "--tolerance", "models/*=ignore")
    assert found["status"] == "IDENTICAL", found
    judged = {c["name"]: c["judgement"] for c in found["comparisons"]}
    assert judged["models/forest/weights.bin"] == "ignored"
    judged = {c["name"]: c["judgement"] for c in second.verdict(path, code=1)["comparisons"]}
    assert judged["models/forest/weights.bin"] == "missing"
    assert judged["models/forest/accuracy"] == "missing"
    assert judged["loss"] == judged["nan"] == judged["model.json"] == judged["data"] == "identical"
    again_tags = second.tracked(found["reproduction"]).tags
    assert again_tags["runproj.reproduces"] == reference
    assert again_tags["mlflow.source.git.commit"]
    assert second.verdict(path, "-P", "alpha=0.75", code=1)["is_variation"]

    content = bytearray(path.read_bytes())
    content[content.index(b"artifacts/model.json") + 25] ^= 1
    path.write_bytes(content)
    done = second.call("verify", path)
    assert done.returncode == 1
    assert "model.json" in done.stdout
    done = second.call("reproduce", path)
    assert done.returncode == 3
    assert "the bundle is damaged" in done.stderr


@pytest.mark.slow
def test_a_plain_folder_travels_too(
    machine: Callable[[str], Machine], tmp_path: Path, project: Repo
) -> None:
    folder = tmp_path / "plain"
    shutil.copytree(project.path, folder, ignore=shutil.ignore_patterns(".git"))
    (folder / ".env").write_text("TOKEN=hush")
    assert (folder / "MLproject").read_text() == PROJECT
    first = machine("first")
    reference = first.run(folder)
    path = tmp_path / "bundle.zip"
    done = first.call("export", reference, "-o", path)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(path) as archive:
        content = io.BytesIO(archive.read("source.tar.gz"))
    with tarfile.open(fileobj=content) as source:
        assert source.getnames() == sorted(project.git("ls-files").split())
    shutil.rmtree(folder)
    assert machine("second").verdict(path)["status"] == "IDENTICAL"


@pytest.mark.slow
@pytest.mark.parametrize("manager", ["uv", "virtualenv"])
def test_packages_travel_in_a_bundle(
    machine: Callable[[str], Machine], tmp_path: Path, project: Repo, wheels: Path, manager: str
) -> None:
    first = machine("first")
    reference = first.run(project.path, "--env-manager", manager)
    path, poor = tmp_path / "rich.zip", tmp_path / "poor.zip"
    done = first.call("export", reference, "--with-packages", "-o", path)
    assert done.returncode == 0, done.stderr
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(path) as archive:
        assert archive.read(f"packages/{wheel.name}") == wheel.read_bytes()
    first.call("export", reference, "-o", poor)
    shutil.rmtree(wheels)
    second = machine("second")
    assert second.call("verify", path).returncode == 0
    assert second.verdict(poor, "--offline", code=3)["status"] == "INCOMPLETE"
    found = second.verdict(path, "--offline")
    assert found["status"] == "IDENTICAL", found
    done = first.call("export", reference, "--with-packages", "-o", tmp_path / "gone.zip")
    assert (done.returncode, wheel.name in done.stderr) == (125, True), done.stderr
    assert not (tmp_path / "gone.zip").exists()


UNKNOWN = ("url", "absolute URI", "publisher", "affiliation")
"""What is recommended and nobody knows of a run: a public address and organizations."""


def validated(crate_folder: Path, python: str) -> dict[str, Any]:
    """Run the profile's own validator, recommendations included."""
    done = subprocess.run(
        [python, str(VALIDATE), "-y", "validate", "--profile-identifier", "process-run-crate",
         "--requirement-severity", "recommended", "--offline", "--no-paging",
         "--output-format", "json", str(crate_folder)],
        capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(crate_folder.parent), "COLUMNS": "9999"},
    )  # fmt: skip
    assert done.returncode in {0, 1}, done.stderr
    text = done.stdout[done.stdout.index("{") : done.stdout.rindex("}") + 1]
    found: dict[str, Any] = json.loads(text)
    return found


def check_refused(here: Machine, bundle: Path, signers: Path, why: str) -> None:
    done = here.call("reproduce", bundle, "--allowed-signers", signers)
    assert (done.returncode, why in done.stderr) == (3, True), done.stderr


def test_only_bundles_have_signers(machine: Callable[[str], Machine], tmp_path: Path) -> None:
    done = machine("here").call("reproduce", "a" * 32, "--allowed-signers", tmp_path / "none")
    assert (done.returncode, "is for bundles" in done.stderr) == (2, True), done.stderr


@pytest.mark.slow
def test_a_bundle_is_a_process_run_crate_and_can_be_signed(
    project: Repo, machine: Callable[[str], Machine], tmp_path: Path,
    tool_python: Callable[..., str],
) -> None:  # fmt: skip
    here = machine("here")
    path, key = tmp_path / "bundle.zip", tmp_path / "key"
    reference = here.run(project.path)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    done = here.call("export", reference, "-o", path, "--sign", key)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "crate"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)  # noqa: S202 - our own bundle
    python = tool_python("roc-validator==0.13.0")
    found = validated(folder, python)
    assert found["statistics"]["total_skipped_checks"] == 0
    assert found["statistics"]["total_checks"] > 90
    issues = [issue["message"] for issue in found["issues"]]
    assert [text for text in issues if not any(word in text for word in UNKNOWN)] == []
    assert {issue["severity"] for issue in found["issues"]} == {"RECOMMENDED"}
    metadata = folder / METADATA
    broken = json.loads(metadata.read_text())
    (root,) = (e for e in broken["@graph"] if e["@id"] == "./")
    del root["conformsTo"]
    metadata.write_text(json.dumps(broken))
    found = validated(folder, python)
    assert "REQUIRED" in {issue["severity"] for issue in found["issues"]}
    check_signatures(here, path, key, reference)


def check_signatures(here: Machine, path: Path, key: Path, reference: str) -> None:
    tmp_path = path.parent
    others = tmp_path / "others"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(others)], check=True)
    ours, theirs = tmp_path / "allowed", tmp_path / "strangers"
    ours.write_text("ada@example.org " + key.with_suffix(".pub").read_text())
    theirs.write_text("eve@example.org " + others.with_suffix(".pub").read_text())
    assert "signed with the key SHA256:" in here.call("verify", path).stdout
    done = here.call("verify", path, "--allowed-signers", ours)
    assert (done.returncode, "signed by ada@example.org" in done.stdout) == (0, True), done.stdout
    done = here.call("verify", path, "--allowed-signers", theirs)
    assert (done.returncode, "not among the allowed" in done.stdout) == (1, True), done.stdout
    forged = tmp_path / "forged.zip"
    with zipfile.ZipFile(path) as one, zipfile.ZipFile(forged, "w") as other:
        for name in one.namelist():
            content = one.read(name)
            other.writestr(name, content + b"\n" if name == METADATA else content)
    done = here.call("verify", forged, "--allowed-signers", ours, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["damage"] == []
    assert "not of this content" in json.loads(done.stdout)["signature"]
    assert here.verdict(path, "--allowed-signers", ours)["status"] == "IDENTICAL"
    for bad, signers, why in (
        (path, theirs, "not among the allowed"),
        (forged, ours, "not of this"),
    ):
        done = here.call("reproduce", bad, "--allowed-signers", signers)
        assert (done.returncode, why in done.stderr) == (3, True), done.stderr
    done = here.call("reproduce", reference, "--allowed-signers", ours)
    assert (done.returncode, "is for bundles" in done.stderr) == (2, True), done.stderr
    plain = tmp_path / "plain.zip"
    here.call("export", reference, "-o", plain)
    assert here.call("verify", plain).returncode == 0
    assert here.call("verify", plain, "--allowed-signers", ours).returncode == 1
    refused = (
        (path, theirs, "not among the"),
        (forged, ours, "not of this"),
        (plain, ours, "not sig"),
    )
    for bad, signers, why in refused:
        check_refused(here, bad, signers, why)
    done = here.call("export", reference, "-o", plain, "--sign", tmp_path / "none")
    assert (done.returncode, "there is no key" in done.stderr) == (2, True)
