"""The published language model with linear layers of 8 or 4 bits, by transformers and bitsandbytes.

8 bits: LLM.int8() (arXiv 2208.07339). 4 bits: NF4 (QLoRA, arXiv 2305.14314). Embeddings, norms and
the head, whose scores choose the codes, keep the placement's type; so does the adapter beside them.
"""

from __future__ import annotations

import importlib.util

from transformers import BitsAndBytesConfig, LlamaForCausalLM

from pigeon_rec.errors import ModelError
from pigeon_rec.model.placing import torch_dtype
from pigeon_rec.model.published.folder import usable
from pigeon_rec.model.published.key_maps import KEY_MAPS
from pigeon_rec.model.published.weight_files import WeightFiles
from pigeon_rec.placement import Placement

__all__ = ["quantised_language_model"]


def quantised_language_model(
    expected: LlamaForCausalLM, files: WeightFiles, placement: Placement
) -> LlamaForCausalLM:
    """Loads LLaMA's folder, quantised layer by layer.

    Args:
        expected: The same model on the meta device, with all weights the files must have.
        files: Its weights, in transformers' own layout.
        placement: With a `quantisation`.

    Raises:
        ModelError: bitsandbytes is missing or does not work on the device, a key is missing or
            unknown, or a shape does not fit.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(
            f"{placement.quantisation} weights need the package bitsandbytes",
            location="placement.quantisation",
            remedy="pip install 'pigeon-rec[quantise]', or leave `quantisation` out",
        )
    # transformers ignores keys that do not fit.
    key_map, location = KEY_MAPS["language_model"], str(files.location)
    key_map.weights(expected.state_dict(), files.headers(), location)
    folder = files.paths[0].parent
    with usable("the quantised language model", folder):
        return LlamaForCausalLM.from_pretrained(
            str(folder),
            quantization_config=_settings(placement),
            device_map={"": placement.device},
            dtype=torch_dtype(placement),
            use_safetensors=files.safetensors,
            local_files_only=True,
        )


def _settings(placement: Placement) -> BitsAndBytesConfig:
    if placement.quantisation == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch_dtype(placement),
    )
