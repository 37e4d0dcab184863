"""The steps of one night: plan, generate shards, publish, promote and report.

Every step is a function of files in and files out, which the command line and the Airflow DAG
both call. This package imports nothing by itself, so that a light step pays for no heavy one.
"""
