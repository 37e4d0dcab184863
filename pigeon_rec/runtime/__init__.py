"""Shared by all stages: files, storage, locks, digests, progress, settings, Airflow, bootstrap."""
