# What a person wants to see of `airflow dags test`: which task starts, and what the product says.
s/^.*\[DAG TEST\] starting task_id=\([a-z_]*\) map_index=-1 .*$/[\1]/p
s/^.*\[DAG TEST\] starting task_id=\([a-z_]*\) map_index=\([0-9]*\) .*$/[\1 \2]/p
/\[airflow.providers.standard.utils.python_virtualenv\]/{
/\] Executing cmd: /d
/\] Output: /d
s/^[^[]*\[[a-z ]*\] \(.*[^ ]\) *\[airflow.providers.standard.utils.python_virtualenv\].*$/  \1/p
}
