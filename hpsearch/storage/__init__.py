"""Our tables, Optuna's tables and every query; rows stay here, records leave."""
