"""MLflow's filter language: what can be asked of runs and their kin, and the answers on values."""
