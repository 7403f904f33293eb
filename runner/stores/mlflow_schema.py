"""MLflow's tables as of MLflow 3.1 (revision ``bda7b8c39065``), for databases that we make.

Every MLflow from 3.1 on opens such a database, newer ones upgrade it. Names of constraints and
indexes are MLflow's, because its later upgrades look for them. Databases that MLflow made are
never altered, whatever their revision: ``database`` checks whether we know how to write to one.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection

REVISION = "bda7b8c39065"

_RUN = "FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)"
_EXPERIMENT = "FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id)"
_MODEL = "FOREIGN KEY(model_id) REFERENCES logged_models (model_id) ON DELETE CASCADE"
_TRACE = "FOREIGN KEY(request_id) REFERENCES trace_info (request_id) ON DELETE CASCADE"

TABLES = {
    "alembic_version": """
        version_num VARCHAR(32) NOT NULL,
        CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)""",
    "experiments": """
        experiment_id INTEGER NOT NULL,
        name VARCHAR(256) NOT NULL,
        artifact_location VARCHAR(256),
        lifecycle_stage VARCHAR(32),
        creation_time BIGINT,
        last_update_time BIGINT,
        CONSTRAINT experiment_pk PRIMARY KEY (experiment_id),
        CONSTRAINT experiments_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')),
        UNIQUE (name)""",
    "experiment_tags": f"""
        key VARCHAR(250) NOT NULL,
        value VARCHAR(5000),
        experiment_id INTEGER NOT NULL,
        CONSTRAINT experiment_tag_pk PRIMARY KEY (key, experiment_id),
        {_EXPERIMENT}""",
    "runs": f"""
        run_uuid VARCHAR(32) NOT NULL,
        name VARCHAR(250),
        source_type VARCHAR(20),
        source_name VARCHAR(500),
        entry_point_name VARCHAR(50),
        user_id VARCHAR(256),
        status VARCHAR(9),
        start_time BIGINT,
        end_time BIGINT,
        source_version VARCHAR(50),
        lifecycle_stage VARCHAR(20),
        artifact_uri VARCHAR(200),
        experiment_id INTEGER,
        deleted_time BIGINT,
        CONSTRAINT run_pk PRIMARY KEY (run_uuid),
        CONSTRAINT runs_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')),
        CONSTRAINT source_type
            CHECK (source_type IN ('NOTEBOOK', 'JOB', 'LOCAL', 'UNKNOWN', 'PROJECT')),
        {_EXPERIMENT},
        CHECK (status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING', 'KILLED'))""",
    "params": f"""
        key VARCHAR(250) NOT NULL,
        value VARCHAR(8000) NOT NULL,
        run_uuid VARCHAR(32) NOT NULL,
        CONSTRAINT param_pk PRIMARY KEY (key, run_uuid),
        {_RUN}""",
    "tags": f"""
        key VARCHAR(250) NOT NULL,
        value VARCHAR(8000),
        run_uuid VARCHAR(32) NOT NULL,
        CONSTRAINT tag_pk PRIMARY KEY (key, run_uuid),
        {_RUN}""",
    "metrics": f"""
        key VARCHAR(250) NOT NULL,
        value FLOAT NOT NULL,
        timestamp BIGINT NOT NULL,
        run_uuid VARCHAR(32) NOT NULL,
        step BIGINT DEFAULT '0' NOT NULL,
        is_nan BOOLEAN DEFAULT '0' NOT NULL,
        CONSTRAINT metric_pk PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan),
        {_RUN},
        CHECK (is_nan IN (0, 1))""",
    "latest_metrics": f"""
        key VARCHAR(250) NOT NULL,
        value FLOAT NOT NULL,
        timestamp BIGINT,
        step BIGINT NOT NULL,
        is_nan BOOLEAN NOT NULL,
        run_uuid VARCHAR(32) NOT NULL,
        CONSTRAINT latest_metric_pk PRIMARY KEY (key, run_uuid),
        {_RUN},
        CHECK (is_nan IN (0, 1))""",
    "datasets": """
        dataset_uuid VARCHAR(36) NOT NULL,
        experiment_id INTEGER NOT NULL,
        name VARCHAR(500) NOT NULL,
        digest VARCHAR(36) NOT NULL,
        dataset_source_type VARCHAR(36) NOT NULL,
        dataset_source TEXT NOT NULL,
        dataset_schema TEXT,
        dataset_profile TEXT,
        CONSTRAINT dataset_pk PRIMARY KEY (experiment_id, name, digest),
        CONSTRAINT fk_datasets_experiment_id_experiments
            FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE""",
    "inputs": """
        input_uuid VARCHAR(36) NOT NULL,
        source_type VARCHAR(36) NOT NULL,
        source_id VARCHAR(36) NOT NULL,
        destination_type VARCHAR(36) NOT NULL,
        destination_id VARCHAR(36) NOT NULL,
        step BIGINT DEFAULT '0' NOT NULL,
        CONSTRAINT inputs_pk PRIMARY KEY
            (source_type, source_id, destination_type, destination_id)""",
    "input_tags": """
        input_uuid VARCHAR(36) NOT NULL,
        name VARCHAR(255) NOT NULL,
        value VARCHAR(500) NOT NULL,
        CONSTRAINT input_tags_pk PRIMARY KEY (input_uuid, name)""",
    "logged_models": """
        model_id VARCHAR(36) NOT NULL,
        experiment_id INTEGER NOT NULL,
        name VARCHAR(500) NOT NULL,
        artifact_location VARCHAR(1000) NOT NULL,
        creation_timestamp_ms BIGINT NOT NULL,
        last_updated_timestamp_ms BIGINT NOT NULL,
        status INTEGER NOT NULL,
        lifecycle_stage VARCHAR(32),
        model_type VARCHAR(500),
        source_run_id VARCHAR(32),
        status_message VARCHAR(1000),
        CONSTRAINT logged_models_pk PRIMARY KEY (model_id),
        CONSTRAINT logged_models_lifecycle_stage_check
            CHECK (lifecycle_stage IN ('active', 'deleted')),
        CONSTRAINT fk_logged_models_experiment_id
            FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE""",
    "logged_model_metrics": f"""
        model_id VARCHAR(36) NOT NULL,
        metric_name VARCHAR(500) NOT NULL,
        metric_timestamp_ms BIGINT NOT NULL,
        metric_step BIGINT NOT NULL,
        metric_value FLOAT,
        experiment_id INTEGER NOT NULL,
        run_id VARCHAR(32) NOT NULL,
        dataset_uuid VARCHAR(36),
        dataset_name VARCHAR(500),
        dataset_digest VARCHAR(36),
        CONSTRAINT logged_model_metrics_pk PRIMARY KEY
            (model_id, metric_name, metric_timestamp_ms, metric_step, run_id),
        CONSTRAINT fk_logged_model_metrics_experiment_id {_EXPERIMENT},
        CONSTRAINT fk_logged_model_metrics_model_id {_MODEL},
        CONSTRAINT fk_logged_model_metrics_run_id
            FOREIGN KEY(run_id) REFERENCES runs (run_uuid) ON DELETE CASCADE""",
    "logged_model_params": f"""
        model_id VARCHAR(36) NOT NULL,
        experiment_id INTEGER NOT NULL,
        param_key VARCHAR(255) NOT NULL,
        param_value TEXT NOT NULL,
        CONSTRAINT logged_model_params_pk PRIMARY KEY (model_id, param_key),
        CONSTRAINT fk_logged_model_params_experiment_id {_EXPERIMENT},
        CONSTRAINT fk_logged_model_params_model_id {_MODEL}""",
    "logged_model_tags": f"""
        model_id VARCHAR(36) NOT NULL,
        experiment_id INTEGER NOT NULL,
        tag_key VARCHAR(255) NOT NULL,
        tag_value TEXT NOT NULL,
        CONSTRAINT logged_model_tags_pk PRIMARY KEY (model_id, tag_key),
        CONSTRAINT fk_logged_model_tags_experiment_id {_EXPERIMENT},
        CONSTRAINT fk_logged_model_tags_model_id {_MODEL}""",
    "registered_models": """
        name VARCHAR(256) NOT NULL,
        creation_time BIGINT,
        last_updated_time BIGINT,
        description VARCHAR(5000),
        CONSTRAINT registered_model_pk PRIMARY KEY (name),
        UNIQUE (name)""",
    "registered_model_tags": """
        key VARCHAR(250) NOT NULL,
        value VARCHAR(5000),
        name VARCHAR(256) NOT NULL,
        CONSTRAINT registered_model_tag_pk PRIMARY KEY (key, name),
        FOREIGN KEY(name) REFERENCES registered_models (name) ON UPDATE CASCADE""",
    "registered_model_aliases": """
        alias VARCHAR(256) NOT NULL,
        version INTEGER NOT NULL,
        name VARCHAR(256) NOT NULL,
        CONSTRAINT registered_model_alias_pk PRIMARY KEY (name, alias),
        CONSTRAINT registered_model_alias_name_fkey FOREIGN KEY(name)
            REFERENCES registered_models (name) ON DELETE CASCADE ON UPDATE CASCADE""",
    "model_versions": """
        name VARCHAR(256) NOT NULL,
        version INTEGER NOT NULL,
        creation_time BIGINT,
        last_updated_time BIGINT,
        description VARCHAR(5000),
        user_id VARCHAR(256),
        current_stage VARCHAR(20),
        source VARCHAR(500),
        run_id VARCHAR(32),
        status VARCHAR(20),
        status_message VARCHAR(500),
        run_link VARCHAR(500),
        storage_location VARCHAR(500),
        CONSTRAINT model_version_pk PRIMARY KEY (name, version),
        FOREIGN KEY(name) REFERENCES registered_models (name) ON UPDATE CASCADE""",
    "model_version_tags": """
        key VARCHAR(250) NOT NULL,
        value TEXT,
        name VARCHAR(256) NOT NULL,
        version INTEGER NOT NULL,
        CONSTRAINT model_version_tag_pk PRIMARY KEY (key, name, version),
        FOREIGN KEY(name, version)
            REFERENCES model_versions (name, version) ON UPDATE CASCADE""",
    "trace_info": f"""
        request_id VARCHAR(50) NOT NULL,
        experiment_id INTEGER NOT NULL,
        timestamp_ms BIGINT NOT NULL,
        execution_time_ms BIGINT,
        status VARCHAR(50) NOT NULL,
        CONSTRAINT trace_info_pk PRIMARY KEY (request_id),
        CONSTRAINT fk_trace_info_experiment_id {_EXPERIMENT}""",
    "trace_request_metadata": f"""
        key VARCHAR(250) NOT NULL,
        value VARCHAR(8000),
        request_id VARCHAR(50) NOT NULL,
        CONSTRAINT trace_request_metadata_pk PRIMARY KEY (key, request_id),
        CONSTRAINT fk_trace_request_metadata_request_id {_TRACE}""",
    "trace_tags": f"""
        key VARCHAR(250) NOT NULL,
        value VARCHAR(8000),
        request_id VARCHAR(50) NOT NULL,
        CONSTRAINT trace_tag_pk PRIMARY KEY (key, request_id),
        CONSTRAINT fk_trace_tags_request_id {_TRACE}""",
}

INDEXES = (
    ("datasets", "dataset_uuid"),
    ("datasets", "experiment_id", "dataset_source_type"),
    ("inputs", "destination_type", "destination_id", "source_type"),
    ("inputs", "input_uuid"),
    ("latest_metrics", "run_uuid"),
    ("logged_model_metrics", "model_id"),
    ("metrics", "run_uuid"),
    ("params", "run_uuid"),
    ("tags", "run_uuid"),
    ("trace_info", "experiment_id", "timestamp_ms"),
    ("trace_request_metadata", "request_id"),
    ("trace_tags", "request_id"),
)

NEWEST = (
    "CREATE INDEX runproj_newest_runs"
    " ON runs (experiment_id, lifecycle_stage, start_time, run_uuid)"
)
"""The one index that MLflow does not have: the newest of 100,000 runs are found without reading
all. MLflow's upgrades leave it alone."""


def create(connection: Connection, artifact_root: str, now: int) -> None:
    """Make MLflow's tables and its default experiment, inside the caller's transaction."""
    for table, columns in TABLES.items():
        connection.execute(f"CREATE TABLE {table} ({columns})")
    for table, *indexed in INDEXES:
        name = "_".join(("index", table, *indexed))
        connection.execute(f"CREATE INDEX {name} ON {table} ({', '.join(indexed)})")
    connection.execute(NEWEST)
    connection.execute("INSERT INTO alembic_version (version_num) VALUES (?)", (REVISION,))
    connection.execute(
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage,"
        " creation_time, last_update_time) VALUES (0, 'Default', ?, 'active', ?, ?)",
        (f"{artifact_root}/0", now, now),
    )
