"""The steps of one night: plan, generate shards, publish, promote and report.

Every step reads files and writes files; the command line and the Airflow DAG call the same ones.
This package imports nothing itself, so that a light step does not load what a heavy one needs.
"""
