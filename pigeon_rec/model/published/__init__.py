"""The published weights (LaVIT-7B-v2, SDXL, Pigeon's checkpoints), read in their own layout.

`folder` knows where files lie, `weight_files` reads them, `key_maps` says which published key is
which of ours, `sizes` what the parts measure, `parts` builds them, `load` puts a pipeline together.
"""
