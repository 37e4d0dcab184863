"""Prints what the DAG's retry policy decides for exit statuses; run by Airflow's interpreter."""

from __future__ import annotations

import json
import subprocess
import sys

sys.path.insert(0, sys.argv[1])

from pigeon_nightly import OnlyTemporary

failures = {
    status: subprocess.CalledProcessError(int(status), ["python"]) for status in sys.argv[2:]
}
decisions = {
    status: OnlyTemporary().evaluate(error, try_number=1, max_tries=2).action.value
    for status, error in {**failures, "ValueError": ValueError()}.items()
}
print(json.dumps(decisions))
