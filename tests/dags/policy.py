"""Prints the decisions of a DAG's retry policy on exit statuses; run by Airflow's interpreter."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

folder, module, *statuses = sys.argv[1:]
sys.path.insert(0, folder)
policy = importlib.import_module(module).OnlyTemporary()

failures = {status: subprocess.CalledProcessError(int(status), ["python"]) for status in statuses}
decisions = {
    status: policy.evaluate(error, try_number=1, max_tries=2).action.value
    for status, error in {**failures, "ValueError": ValueError()}.items()
}
print(json.dumps(decisions))
