"""A list of independent jobs, run side by side on this machine (joblib)."""

from mfas.jobs.local import default_workers, run_jobs

__all__ = ["default_workers", "run_jobs"]
