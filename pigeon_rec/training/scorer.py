"""Backbone recipe: the CLIP-like scorer, on captions of concept, style and topic, and on styles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pigeon_rec.data.world import topics
from pigeon_rec.errors import TrainingError
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.scoring.scorer import ImageTextEncoder, ScorerConfig
from pigeon_rec.training.artwork import NO_STYLE, ArtworkTensors, TrainingArtwork
from pigeon_rec.training.recipe import ImageRecipe, Losses
from pigeon_rec.training.style import StyleLoss, StyleSettings
from pigeon_rec.training.views import apply_shapes, draw_shapes

__all__ = ["ScorerRecipe"]

_STYLES_PER_CONCEPT = 3
_RESIZED = 1024
"""Pictures that are resized together."""
_NAMED: Mapping[str, float] = MappingProxyType(
    {"concept": 0.3, "both": 0.4, "style": 0.15, "topic": 0.15}
)
"""Caption kinds and the share of each; kinds that the artwork has no words for are left out."""
_STYLE = StyleSettings()


class ScorerRecipe(ImageRecipe):
    """Contrastive training on images and captions; a batch has several styles of each concept.

    A caption names the concept (by title or semantics), the style, both, or the topic; without
    styles, or with one topic for all, there are no such captions. The target of an image is spread
    evenly over all captions that fit it. Images are seen in random shapes,
    but look natural: a made style has no name. A style part, if the scorer has one, is trained
    beside it on batches of its own, or alone; neither loss reaches the other's weights.

    Raises:
        TrainingError: The style part is to be trained alone, and the scorer has none; or it has
            one, and there are neither styles nor made styles to learn.
    """

    def __init__(
        self,
        config: ScorerConfig,
        artwork: TrainingArtwork,
        text: TextTokenizer,
        style: StyleSettings = _STYLE,
    ) -> None:
        super().__init__(artwork)
        self.encoder = ImageTextEncoder(config)
        self.images = _of_size(self.images, config.image_size)
        self._style = StyleLoss(style) if config.style_embedding else None
        self._alone = style.alone
        if config.style_embedding and not len(self.images.named) and style.made_styles < 2:
            raise TrainingError(
                "the style part of the scorer has nothing to learn from",
                location="style.made_styles",
                remedy="A catalogue without styles needs two made styles or more",
            )
        if style.alone:
            self._freeze_concept_part()
            self.validates = False
        self.at = self.images.at[(self.images.at >= 0).any(1)]
        names = topics(artwork.rows).to_list()
        self.topic = _codes(names)
        self.words = _codes(artwork.rows.select("title", "semantics").iter_rows())
        self.kinds = _kinds(artwork, names)
        captions = [
            caption for row in range(len(artwork)) for caption in self._captions(row, names)
        ]
        ids, mask = text.batch(captions, config.text_length)
        # Two captions of each kind: [n, kinds, 2, text_length]
        self.ids, self.mask = (
            table.view(len(artwork), len(self.kinds), 2, -1) for table in (ids, mask)
        )

    def _freeze_concept_part(self) -> None:
        if self.encoder.style_head is None:
            raise TrainingError(
                "the scorer has no style part to train alone",
                location="style.alone",
                remedy="Set scorer.style_embedding in the training configuration",
            )
        self.encoder.requires_grad_(False)
        self.encoder.style_head.requires_grad_(True)

    def module(self) -> nn.Module:
        return self.encoder

    def place(self, device: torch.device) -> None:
        super().place(device)
        self.at, self.topic = self.at.to(device), self.topic.to(device)
        self.words = self.words.to(device)
        self.ids, self.mask = self.ids.to(device), self.mask.to(device)

    def losses(self, batch_size: int, random: torch.Generator) -> Losses:
        captions = {} if self._alone else self._drawn_captions(batch_size, random)
        styles = (
            {} if self._style is None else self._style.losses(self.encoder, self.images, random)
        )
        both = {**captions, **styles}
        parts = [both[name] for name in ("caption", "style") if name in both]
        return {"loss": torch.stack(parts).sum(), **both}

    def validation(self, batch_size: int, samples: int) -> Iterator[Losses]:
        """Losses of titles, with styles if there are any."""
        kind = "both" if "both" in self.kinds else "concept"
        for rows in self.validation_rows(batch_size, samples):
            named = torch.full_like(rows, list(self.kinds).index(kind))
            losses = self._caption_losses(
                self.images.pixels(rows), rows, named, torch.zeros_like(rows)
            )
            yield {"loss": losses["caption"], "accuracy": losses["accuracy"]}

    def _drawn_captions(self, batch_size: int, random: torch.Generator) -> Losses:
        """Caption losses of random images, shapes and captions."""
        rows = self._rows(batch_size, random)
        shares = torch.tensor(list(self.kinds.values()), device=self.device)
        named = shares.multinomial(len(rows), replacement=True, generator=random)
        named = self._nameable(rows, named)
        wording = torch.randint(2, rows.shape, generator=random, device=self.device)
        shapes = draw_shapes(len(rows), random, bent=0.5 if self.progress < 0.8 else 0.2, reach=4)
        pixels = apply_shapes(self.images.pixels(rows), shapes)
        return self._caption_losses(pixels, rows, named, wording)

    def _caption_losses(
        self, pixels: Tensor, rows: Tensor, named: Tensor, wording: Tensor
    ) -> Losses:
        image = self.encoder.concept(pixels)
        text = self.encoder.text(self.ids[rows, named, wording], self.mask[rows, named, wording])
        logits = self.encoder.log_scale.clamp(max=4.6).exp() * image @ text.T  # [image, caption]
        fits = self._fits(rows, named).float()
        loss = 0.5 * (_soft_loss(logits, fits) + _soft_loss(logits.T, fits.T))
        accuracy = fits.gather(1, logits.argmax(1, keepdim=True)).mean()
        return {"caption": loss, "accuracy": accuracy}

    def _rows(self, batch_size: int, random: torch.Generator) -> Tensor:
        """Three styles each of random concepts; concepts with fewer repeat one.

        Without concepts in several styles, any rows.
        """
        if not self.artwork.has_pairs:
            return self.images.draw(batch_size, random)
        order = torch.randperm(len(self.at), generator=random, device=self.device)
        at = self.at[order[: batch_size // _STYLES_PER_CONCEPT]]
        keys = torch.rand(at.shape, generator=random, device=self.device)
        places = keys.masked_fill(at < 0, 2.0).argsort(1)  # pairs that do not exist come last
        first, drawn = places[:, :1], places[:, :_STYLES_PER_CONCEPT]
        rows = at.gather(1, drawn)
        return torch.where(rows >= 0, rows, at.gather(1, first).expand_as(rows)).flatten()

    def _nameable(self, rows: Tensor, named: Tensor) -> Tensor:
        """The same caption kinds, `concept` where a picture has no style that could be named."""
        if NO_STYLE not in self.artwork.styles or "style" not in self.kinds:
            return named
        kinds = list(self.kinds)
        of_style = named.new_tensor([kinds.index("both"), kinds.index("style")])
        styled = torch.isin(self.images.style[rows], self.images.named)
        concept = torch.full_like(named, kinds.index("concept"))
        return torch.where(styled | ~torch.isin(named, of_style), named, concept)

    def _captions(self, row: int, names: list[str]) -> list[str]:
        """Two captions of each kind, in the order of `kinds`."""
        style = self.artwork.style_descriptions.get(self.artwork.rows["style"][row], "")
        title, semantics = (str(self.artwork.rows[name][row]) for name in ("title", "semantics"))
        concepts = [title or semantics, semantics or title]
        topic = names[row].replace("-", " ")
        captions = {
            "concept": concepts,
            "both": [f"{concept}, {style}" for concept in concepts],
            "style": [style] * 2,
            "topic": [topic] * 2,
        }
        return [caption for kind in self.kinds for caption in captions[kind]]

    def _fits(self, rows: Tensor, named: Tensor) -> Tensor:
        """Whether each caption fits each image, bool `[image, caption]`.

        A caption fits if the image has everything that the caption names.

        Args:
            rows: Artwork row of each image and caption.
            named: Index into `kinds` of each caption.
        """
        kinds = list(self.kinds)
        fits = torch.ones(len(rows), len(rows), dtype=torch.bool, device=rows.device)
        for values, naming in (
            (self.words, ("concept", "both")),
            (self.images.style, ("style", "both")),
            (self.topic, ("topic",)),
        ):
            of_rows = values[rows]
            places = [kinds.index(kind) for kind in naming if kind in kinds]
            names = torch.isin(named, named.new_tensor(places))
            fits &= (of_rows[:, None] == of_rows[None, :]) | ~names[None, :]
        return fits


def _kinds(artwork: TrainingArtwork, names: list[str]) -> Mapping[str, float]:
    """The caption kinds that the artwork has words for, with their shares."""
    left_out = set() if artwork.named_styles else {"style", "both"}
    if len(set(names)) < 2:
        left_out.add("topic")
    return MappingProxyType({kind: s for kind, s in _NAMED.items() if kind not in left_out})


def _codes(values: Iterable[object]) -> Tensor:
    """Numbers of equal values, int64 `[n]`."""
    numbers: dict[object, int] = {}
    codes = [numbers.setdefault(value, len(numbers)) for value in values]
    return torch.tensor(codes, dtype=torch.long)


def _of_size(images: ArtworkTensors, side: int) -> ArtworkTensors:
    """The artwork as a scorer of another size than the model sees it."""
    if images.images.shape[-1] == side:
        return images
    parts = [F.interpolate(part.float(), (side, side), mode="area").round().to(torch.uint8)
             for part in images.images.split(_RESIZED)]  # fmt: skip
    return replace(images, images=torch.cat(parts))


def _soft_loss(logits: Tensor, fits: Tensor) -> Tensor:
    """Cross-entropy with the target spread evenly over all fitting columns."""
    target = fits / fits.sum(1, keepdim=True)
    return -(target * F.log_softmax(logits, dim=1)).sum(1).mean()
