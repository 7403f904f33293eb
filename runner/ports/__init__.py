"""What the line needs from the outside world.

Each adapter implements one of these; ``runner.app`` is the only module that knows which.
"""

from runner.ports.environments import (
    EnvironmentBuilder,
    EnvironmentCatalog,
    LockMixer,
    PackageFiles,
    ProjectLocks,
)
from runner.ports.jobs import Backend, Endpoint, Reporter, RunHandle
from runner.ports.models import LineageStore, ManyLineages, ModelStore, RegistryStore
from runner.ports.projects import CommitHistory, Source, SourceRestorer
from runner.ports.services import Services
from runner.ports.tracking import (
    Artifacts,
    ExperimentStore,
    Held,
    NarrowingStore,
    OwnIds,
    Parts,
    RunStore,
    SearchableStore,
    Spool,
    TrackingStore,
)

__all__ = [
    "Artifacts",
    "Backend",
    "CommitHistory",
    "Endpoint",
    "EnvironmentBuilder",
    "EnvironmentCatalog",
    "ExperimentStore",
    "Held",
    "LineageStore",
    "LockMixer",
    "ManyLineages",
    "ModelStore",
    "NarrowingStore",
    "OwnIds",
    "PackageFiles",
    "Parts",
    "ProjectLocks",
    "RegistryStore",
    "Reporter",
    "RunHandle",
    "RunStore",
    "SearchableStore",
    "Services",
    "Source",
    "SourceRestorer",
    "Spool",
    "TrackingStore",
]
