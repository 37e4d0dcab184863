# Reduces the output of `airflow dags test` to the started tasks and the product's log lines.
s/^.*\[DAG TEST\] starting task_id=\([a-z_]*\) map_index=-1 .*$/[\1]/p
s/^.*\[DAG TEST\] starting task_id=\([a-z_]*\) map_index=\([0-9]*\) .*$/[\1 \2]/p
/\[airflow.providers.standard.utils.python_virtualenv\]/{
/\] Executing cmd: /d
/\] Output: /d
s/^[^[]*\[[a-z ]*\] \(.*[^ ]\) *\[airflow.providers.standard.utils.python_virtualenv\].*$/  \1/p
}
