"""Locations of the parts of the published layout.

`language_model/`, `visual_tokenizer/` and `highres_pixel_decoding/` (or `pixel_decoding/`) are
LaVIT-7B-v2's; `mask_generator/`, `adapter/` and `llama/` are what Pigeon's training saves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from huggingface_hub.errors import StrictDataclassError

from pigeon_rec.errors import ModelError
from pigeon_rec.model.published.weight_files import WeightFiles, find_weights
from pigeon_rec.runtime.files import read_json

__all__ = ["PublishedFolder", "Resolution", "usable"]

Resolution = Literal["highres", "lowres"]

_LIBRARY_ERRORS = (
    *(ValueError, TypeError, KeyError, RuntimeError, OSError, ImportError),
    StrictDataclassError,
)


@contextmanager
def usable(what: str, location: Path) -> Iterator[None]:
    """Turns a library's errors about a part's settings into errors that name their location.

    Raises:
        ModelError: The library raised one of its errors, which are of many kinds.
    """
    try:
        yield
    except _LIBRARY_ERRORS as error:
        reason = " ".join(str(error).split()) or repr(error)
        raise ModelError(f"{what} cannot be used: {reason}", location=str(location)) from error


@dataclass(frozen=True)
class PublishedFolder:
    """The published files.

    Attributes:
        root: LaVIT's folder.
        resolution: `highres` renders by SDXL, `lowres` by LaVIT's first decoder.
        checkpoint: Folder of Pigeon's `mask_generator/` and `adapter/`.
        lora: Folder of the language model's adapter.
    """

    root: Path
    resolution: Resolution
    checkpoint: Path
    lora: Path

    @classmethod
    def find(
        cls,
        root: Path,
        resolution: Resolution | None = None,
        checkpoint: Path | None = None,
        lora: Path | None = None,
    ) -> PublishedFolder:
        """Finds the folders that are not given.

        Args:
            root: LaVIT's folder.
            resolution: By default `highres` if `highres_pixel_decoding/` exists.
            checkpoint: By default `root`.
            lora: By default `llama/` in the checkpoint. Stage 2 saves its adapter in `policy/`
                inside, which is used if it exists.
        """
        high = (root / "highres_pixel_decoding").is_dir()
        checkpoint = checkpoint or root
        lora = lora or checkpoint / "llama"
        policy = lora / "policy"
        return cls(
            root,
            resolution or ("highres" if high else "lowres"),
            checkpoint,
            policy if (policy / "adapter_config.json").is_file() else lora,
        )

    @property
    def language_model(self) -> Path:
        """Folder of LLaMA and its text tokenizer."""
        return self.root / "language_model"

    @property
    def renderer(self) -> Path:
        """Folder of `unet/`, `vae/` and `scheduler/`."""
        high = self.resolution == "highres"
        return self.root / ("highres_pixel_decoding" if high else "pixel_decoding")

    def files(self) -> dict[str, WeightFiles]:
        """Returns the weight files of every part, by the part's name.

        Raises:
            ModelError: A part has none.
        """
        return {name: find() for name, find in self._searches().items()}

    def found(self) -> tuple[dict[str, WeightFiles], list[str]]:
        """Returns the weight files that exist, by part, and the paths of all missing files."""
        found, missing = {}, [str(path) for path in self._settings_files() if not path.is_file()]
        for name, find in self._searches().items():
            try:
                found[name] = find()
            except ModelError as error:
                missing.append(error.location or name)
        return found, missing

    def _searches(self) -> dict[str, Callable[[], WeightFiles]]:
        high = self.resolution == "highres"
        decoder = "highres_tokenizer_decoder" if high else "tokenizer_decoder"
        searches: dict[str, Callable[[], WeightFiles]] = {
            "visual_encoder": partial(self._single, "visual_tokenizer/eva_vitg_psz14.bin"),
            "visual_tokenizer": partial(self._single, "visual_tokenizer/tokenizer_encoder.bin"),
            "tokenizer_decoder": partial(self._single, f"visual_tokenizer/{decoder}.bin"),
            "language_model": partial(find_weights, self.language_model, "model"),
            "lora": partial(find_weights, self.lora, "adapter_model"),
            "mask_generator": partial(find_weights, self.checkpoint / "mask_generator", "model"),
            "adapter": partial(find_weights, self.checkpoint / "adapter", "model"),
            "unet": partial(find_weights, self.renderer / "unet", "diffusion_pytorch_model"),
            "vae": partial(find_weights, self.renderer / "vae", "diffusion_pytorch_model"),
        }
        if not high:
            searches["unconditional"] = partial(
                self._single, "pixel_decoding/uncond_embeddings.bin"
            )
        return searches

    def _settings_files(self) -> list[Path]:
        texts = [self.language_model / name for name in ("tokenizer.model", "tokenizer.json")]
        return [
            self.language_model / "config.json",
            next((path for path in texts if path.is_file()), texts[0]),
            self.lora / "adapter_config.json",
            self.renderer / "unet" / "config.json",
            self.renderer / "vae" / "config.json",
            self.renderer / "scheduler" / "scheduler_config.json",
        ]

    @staticmethod
    def settings(path: Path) -> dict[str, Any]:
        """Reads a library's JSON file.

        Raises:
            ModelError: It is missing or not a JSON object.
        """
        try:
            value = read_json(path)
        except (OSError, ValueError) as error:
            raise ModelError(f"the settings cannot be read: {error}", location=str(path)) from error
        if not isinstance(value, dict):
            raise ModelError("the settings are not a JSON object", location=str(path))
        return value

    def _single(self, name: str) -> WeightFiles:
        path = self.root / name
        if not path.is_file():
            raise ModelError("the weights are missing", location=str(path))
        return WeightFiles((path,), path)
