"""Our modules against recorded numbers of the published implementation.

`python -m tests.parity DIR` checks every `*.safetensors` file of a folder: `param.*` are weights
under the published names, `in.*` inputs, `out.*` what the published code computed from them.
"""
