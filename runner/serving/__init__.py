"""MLflow's REST API, embedded."""
