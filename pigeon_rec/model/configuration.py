"""Sizes and switches of every Pigeon part; one `PigeonConfig` describes a whole model.

`sticker-64` and the published 7B model are two values of the same classes (bundled values live in
`pigeon_rec/training/configs`). Settings named `published` choose the released code's behaviour
where it falls short of its paper (arXiv 2410.14170); the default is the paper's.
"""

from __future__ import annotations

from math import isqrt
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pigeon_rec.errors import ModelError
from pigeon_rec.runtime.settings import Count, Positive, Settings

__all__ = [
    "AdapterConfig",
    "AutoencoderConfig",
    "DecoderConfig",
    "LanguageModelConfig",
    "MaskGeneratorConfig",
    "PigeonConfig",
    "RendererConfig",
    "VisualTokenizerConfig",
]

Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]


class VisualTokenizerConfig(Settings):
    """Image to code ids (LaVIT's dynamic visual tokenizer).

    Attributes:
        keep: `dynamic` lets the token predictor drop patches; `all` keeps the full patch grid, so
            that code i belongs to patch i.
        published: The merger's residual stream starts at the patch features without the layer
            norm, and the quantiser does not normalise the codebook's rows.
    """

    image_size: Positive = 64
    patch_size: Positive = 8
    width: Positive = 192
    encoder_layers: Positive = 4
    heads: Positive = 6
    merger_layers: Positive = 1
    mlp_ratio: Annotated[float, Field(gt=0.0)] = 4.0
    code_dim: Positive = 16
    codebook_size: Positive = 2048
    keep: Literal["all", "dynamic"] = "all"
    published: bool = False

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.image_size // self.patch_size

    @property
    def patches(self) -> int:
        """Patches of one image."""
        return self.grid**2

    @model_validator(mode="after")
    def _divides(self) -> VisualTokenizerConfig:
        if self.image_size % self.patch_size or self.width % self.heads:
            raise ValueError(
                f"patch_size {self.patch_size} must divide image_size {self.image_size}, "
                f"and heads {self.heads} must divide width {self.width}"
            )
        return self


class DecoderConfig(Settings):
    """Codes to prompt embeddings (LaVIT's tokenizer decoder).

    Attributes:
        projections: Widths of the prompt projections; their sum is the prompt width.
        pooled: Whether an attention pool makes a pooled embedding (the high-resolution variant);
            its width is the last projection's.
        preview_patch: Patch size of a linear pixel head for training and previews; 0 for none.
    """

    code_dim: Positive = 16
    width: Positive = 192
    layers: Positive = 4
    heads: Positive = 6
    mlp_ratio: Annotated[float, Field(gt=0.0)] = 4.0
    queries: Positive = 64
    output_width: Positive = 192
    projections: tuple[Positive, ...] = (64, 128)
    pooled: bool = True
    preview_patch: Count = 8

    @property
    def prompt_width(self) -> int:
        """Width of one prompt embedding."""
        return sum(self.projections)


class MaskGeneratorConfig(Settings):
    """Scores history and target tokens and keeps the relevant ones (paper section 3.2).

    Attributes:
        feedforward: Width of the encoder layer's feed-forward part (2048 in the published code).
        max_position: Largest number of positions of one image.
        published: Keep decisions have no gradient; in training the target is drawn by 1 - p
            without renormalising.
    """

    layers: Positive = 1
    heads: Positive = 4
    feedforward: Positive = 512
    max_position: Positive = 256
    dropout: Dropout = 0.2
    published: bool = False


class AdapterConfig(Settings):
    """Reference prompt embeddings to language-model embeddings.

    Attributes:
        reference_tokens: 1 is the published mean over all queries; otherwise the queries form a
            square that is averaged over equal tiles, one token per tile.
        aligned: Whether the reference's embedding at a place is also added where the code of that
            place is written; needs the full patch grid. Not in the published model, where one mean
            vector carries the whole reference.
    """

    hidden: Positive = 256
    dropout: Dropout = 0.1
    reference_tokens: Positive = 16
    aligned: bool = False


class LanguageModelConfig(Settings):
    """The personalisation module's `LlamaForCausalLM`."""

    text_vocabulary: Positive = 2048
    hidden: Positive = 256
    layers: Positive = 5
    heads: Positive = 4
    intermediate: Positive = 704
    max_text_tokens: Positive = 24
    tie_embeddings: bool = True


class AutoencoderConfig(Settings):
    """Pixels to latents: `AutoencoderKL` behind a lossless pixel-unshuffle by `patch`."""

    patch: Positive = 4
    latent_channels: Positive = 8
    channels: tuple[Positive, ...] = (128,)
    layers_per_block: Positive = 1
    norm_groups: Positive = 16


class RendererConfig(Settings):
    """Prompt embeddings to latents by diffusion: `UNet2DConditionModel` and a scheduler.

    Attributes:
        grid_channels: Channels of the prompt grid concatenated to the noisy latents; at 0 the
            prompt enters by cross-attention only, as in the published SDXL.
    """

    channels: tuple[Positive, ...] = (128, 192)
    layers_per_block: Positive = 1
    head_width: Positive = 32
    norm_groups: Positive = 16
    grid_channels: Count = 16
    train_timesteps: Positive = 1000
    prediction: Literal["epsilon", "v_prediction", "sample"] = "v_prediction"


class PigeonConfig(Settings):
    """A whole Pigeon model."""

    name: str = "sticker-64"
    tokenizer: VisualTokenizerConfig = VisualTokenizerConfig()
    decoder: DecoderConfig = DecoderConfig()
    mask_generator: MaskGeneratorConfig = MaskGeneratorConfig()
    adapter: AdapterConfig = AdapterConfig()
    language_model: LanguageModelConfig = LanguageModelConfig()
    autoencoder: AutoencoderConfig = AutoencoderConfig()
    renderer: RendererConfig = RendererConfig()

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads `config.json` of a model folder.

        Raises:
            ModelError: The file is missing or unusable.
        """
        try:
            return cls.model_validate_json((folder / "config.json").read_text("utf-8"))
        except (OSError, ValueError) as error:
            problem = f"the model's config.json is unusable: {error}"
            raise ModelError(problem, location=str(folder)) from error

    @model_validator(mode="after")
    def _parts_fit(self) -> PigeonConfig:
        if self.tokenizer.code_dim != self.decoder.code_dim:
            raise ValueError(
                f"decoder.code_dim {self.decoder.code_dim} must equal "
                f"tokenizer.code_dim {self.tokenizer.code_dim}"
            )
        if self.tokenizer.patches > self.decoder.queries:
            raise ValueError(
                f"decoder.queries {self.decoder.queries} must be at least the "
                f"{self.tokenizer.patches} patches of tokenizer.image_size and patch_size"
            )
        self._check_grids()
        self._check_widths()
        self._check_alignment()
        return self

    def _check_alignment(self) -> None:
        """Checks for one code and one query per place."""
        queries, patches = self.decoder.queries, self.tokenizer.patches
        if self.adapter.aligned and (self.tokenizer.keep != "all" or queries != patches):
            raise ValueError(
                "adapter.aligned needs tokenizer.keep 'all' and one decoder query per patch; "
                f"received {self.tokenizer.keep!r}, {queries} queries and {patches} patches"
            )

    def _check_grids(self) -> None:
        """Checks that queries, reference tokens and latents are squares that tile each other."""
        tiles, queries = self.adapter.reference_tokens, self.decoder.queries
        across, side = isqrt(tiles), isqrt(queries)
        if across**2 != tiles or side**2 != queries or side % across:
            raise ValueError(
                f"adapter.reference_tokens {tiles} must tile decoder.queries {queries} evenly, "
                "both being square numbers"
            )
        reduction = self.autoencoder.patch * 2 ** (len(self.autoencoder.channels) - 1)
        image = self.tokenizer.image_size
        if image % reduction or (self.renderer.grid_channels and image // reduction % side):
            raise ValueError(
                f"tokenizer.image_size {image} over the autoencoder's reduction {reduction} must "
                f"be a whole multiple of the {side} queries along one side"
            )

    def _check_widths(self) -> None:
        hidden, positions = self.language_model.hidden, self.mask_generator.max_position
        for name, heads in (
            ("language_model.heads", self.language_model.heads),
            ("mask_generator.heads", self.mask_generator.heads),
        ):
            if hidden % heads:
                raise ValueError(f"{name} {heads} must divide language_model.hidden {hidden}")
        if self.tokenizer.patches > positions:
            raise ValueError(
                f"mask_generator.max_position {positions} must be at least the "
                f"{self.tokenizer.patches} patches of an image"
            )
