"""The published weights (LaVIT-7B-v2, SDXL, Pigeon's checkpoints), read in their own layout.

`folder` locates the files, `weight_files` reads them, `key_maps` maps published keys to ours,
`sizes` derives the parts' sizes, `parts` builds them, `load` assembles a pipeline.
"""
