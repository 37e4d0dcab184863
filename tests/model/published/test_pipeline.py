"""The whole published model against its parts, put together here as the golden files check them.

Recorded numbers of the published code cover the tokenizer, `mask_images`, `decode_kept`, the
adapter, `merge_images`, the language model with its adapter and both decoders (tests/parity). Here
they are composed by hand, request by request, and every bit of the pipeline's output must agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pigeon_rec.config import GenerationConfig
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.model.arrays import to_pixels
from pigeon_rec.model.merging import Instruction, merge_images
from pigeon_rec.model.pipeline import candidate_key
from pigeon_rec.model.published.load import load_published
from pigeon_rec.model.published.masking import MaskedImages, decode_kept
from pigeon_rec.model.published.pipeline import PUBLISHED_GENERATION, PublishedPipeline
from pigeon_rec.model.randomness import gumbel_noise, normal_noise
from pigeon_rec.model.tokens import ImageTokens
from pigeon_rec.model.visual_tokenizer import NO_CODE
from tests.model.tiny import pictures
from tests.parity.batches import mask_images

IMAGES, SIDE, PLACES = 3, 32, 16
SETTINGS = PUBLISHED_GENERATION.model_copy(
    update={"mask_ratios": (0.0, 0.4, 1.0), "diffusion_steps": 3, "top_k": 8}
)


@dataclass(frozen=True)
class Request:
    history: NDArray[np.uint8]
    reference: NDArray[np.uint8]
    text: str
    key: str


def requests(count: int) -> list[Request]:
    return [
        Request(
            pictures(IMAGES, side=SIDE, seed=i),
            pictures(side=SIDE, seed=100 + i),
            f"a {'red ' * i}cat",
            f"key {i}",
        )
        for i in range(count)
    ]


class ByHand:
    """Computes one request with separate calls of the parts."""

    def __init__(self, pipeline: PublishedPipeline, request: Request) -> None:
        self.pipeline, self.request = pipeline, request
        self.words = pipeline.personalisation.vocabulary
        self.codebook = pipeline.tokenizer.quantize.embedding.weight
        pixels = to_pixels(np.concatenate([request.history, request.reference[None]]))
        codes = pipeline.tokenizer.encode(pixels).ids
        self.history, self.target = (
            ImageTokens.from_codes(part.unsqueeze(0), self.words)
            for part in (codes[:-1], codes[-1:])
        )

    def mask(self, ratio: float, settings: GenerationConfig) -> MaskedImages:
        """History and reference scored in one row; the reference has its special ids."""
        past, own = (int(tokens.lengths.sum()) for tokens in (self.history, self.target))
        drawn = gumbel_noise([self.request.key], "mask", (IMAGES * PLACES,))
        # Noise belongs to a patch of the image: that of dropped patches is skipped.
        places = torch.arange(PLACES) < self.history.lengths[0].unsqueeze(1)
        more = gumbel_noise([candidate_key(self.request.key, ratio)], "mask", (PLACES + 2,))
        ends = torch.cat([more[:, : own + 1], more[:, -1:]], dim=1)
        noise = torch.cat([drawn[:, places.flatten()], ends], dim=1)
        width = (IMAGES + 1) * PLACES + 2
        return mask_images(
            self.pipeline.personalisation,
            (self.history, self.target.wrapped(self.words)),
            (settings.history_mask_ratio, ratio),
            torch.nn.functional.pad(noise, (0, width - past - own - 2)),
            rebuild=False,
            width=width,
        )

    def instruct(self, history: ImageTokens) -> Instruction:
        """The whole instruction as one text with the images merged into it."""
        prompt, text = load_prompt("sticker"), self.pipeline.text
        start, place = self.words.image_start, self.words.image_end
        ids = [
            *text.encode(prompt.prefix),
            *[start] * IMAGES,
            *text.encode(self.request.text),
            place,
            *text.encode(prompt.response),
            start,
        ]
        row = torch.tensor([ids])
        return merge_images(row, torch.ones_like(row).bool(), history, self.words)

    def write(self, ratio: float, settings: GenerationConfig) -> Tensor:
        """Codes `[P]`, written without a cache."""
        personalisation = self.pipeline.personalisation
        masked = self.mask(ratio, settings)
        reference = decode_kept(
            self.pipeline.decoder,
            self.codebook,
            masked.target,
            self.words,
            width=PLACES,
        )
        instruction = self.instruct(masked.history)
        embeds = personalisation.embed(instruction, personalisation.adapter(reference))
        keys = [candidate_key(self.request.key, ratio)]
        noise = gumbel_noise(keys, "tokens", (PLACES, settings.top_k))[0]
        written: list[int] = []
        for step in range(PLACES):
            logits = personalisation.language_model(inputs_embeds=embeds).logits[0, -1]
            logits[: self.words.image_end] = -torch.inf
            if step == 0:
                logits[self.words.image_end] = -torch.inf
            best, ids = (logits / settings.temperature).topk(settings.top_k)
            chosen = int(ids[(best + noise[step]).argmax()])
            if chosen == self.words.image_end:
                break
            written.append(chosen - self.words.first_code)
            more = personalisation.token_embeddings(torch.tensor([[chosen]]))
            embeds = torch.cat([embeds, more], dim=1)
        codes = torch.full((PLACES,), NO_CODE)
        codes[: len(written)] = torch.tensor(written)
        return codes

    def render(self, codes: Tensor, ratio: float, settings: GenerationConfig) -> Tensor:
        tokens = ImageTokens.from_codes(codes[None, None], self.words)
        decoded = decode_kept(
            self.pipeline.decoder, self.codebook, tokens, self.words, width=PLACES
        )
        keys = [candidate_key(self.request.key, ratio)]
        noise = normal_noise(keys, "diffusion", self.pipeline.generator.latent_shape)
        steps, scale = settings.diffusion_steps, settings.render_guidance
        return torch.as_tensor(self.pipeline.generator(decoded, noise, steps, scale)[0])


@pytest.fixture(scope="module", params=["highres", "lowres"])
def pipeline(request: pytest.FixtureRequest, layout: Path, low_layout: Path) -> PublishedPipeline:
    folder = layout if request.param == "highres" else low_layout
    return load_published(folder, batch_size=2)


@torch.inference_mode()
def test_the_whole_equals_its_parts_bit_for_bit(pipeline: PublishedPipeline) -> None:
    batch = requests(4)
    found = pipeline(
        np.stack([r.history for r in batch]),
        np.stack([r.reference for r in batch]),
        [r.text for r in batch],
        keys=[r.key for r in batch],
        settings=SETTINGS,
    )
    lengths = set()
    for i, request in enumerate(batch):
        by_hand = ByHand(pipeline, request)
        lengths.add(int(by_hand.target.lengths.sum()))
        for j, ratio in enumerate(SETTINGS.mask_ratios):
            codes = by_hand.write(ratio, SETTINGS)
            assert found.codes[i, j].tolist() == codes.tolist(), (i, ratio)
            picture = by_hand.render(codes, ratio, SETTINGS)
            assert np.array_equal(found.images[i, j], picture.numpy()), (i, ratio)
    assert len(lengths) > 1, "pictures of one length would hide faults of padding"
    assert len({c.tobytes() for c in found.codes.reshape(-1, PLACES)}) > len(batch)


@torch.inference_mode()
@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.7, 1.0])
def test_masks_are_those_of_the_golden_files_to_the_last(
    published: PublishedPipeline, ratio: float
) -> None:
    """A row does not depend on rows of other lengths in its batch."""
    batch = requests(5)
    codes = torch.from_numpy(published.encode_images(np.stack([r.reference for r in batch])))
    flat = np.concatenate([r.history for r in batch])
    history = torch.from_numpy(published.encode_images(flat)).view(5, IMAGES, PLACES)
    # The other ratio must not change the result.
    keys = [r.key for r in batch]
    keep_history, (_, keep) = published.masks(history, codes, keys, 0.2, [0.5, ratio])
    for i, request in enumerate(batch):
        masked = ByHand(published, request).mask(ratio, PUBLISHED_GENERATION)
        shown, kept = history[i] != NO_CODE, codes[i] != NO_CODE
        assert torch.equal(
            keep_history[i][shown], masked.history.keep[0][masked.history.present[0]]
        )
        middle = masked.target.keep[0][masked.target.present[0]][1:-1]
        assert torch.equal(keep[i][kept], middle)
        assert int(keep_history[i][shown].sum()) == max(1, int(int(shown.sum()) * (1 - 0.2)))
    assert torch.equal(keep_history.unique(), torch.tensor([0.0, 1.0]))


@torch.inference_mode()
@pytest.mark.parametrize("history_guidance", [1.0, 2.0])
def test_a_picture_depends_on_its_own_request_only(
    published: PublishedPipeline, history_guidance: float
) -> None:
    batch = requests(3)
    settings = SETTINGS.model_copy(update={"history_guidance": history_guidance})
    both = [batch, [batch[2], batch[0]]]
    drawn = [
        published(
            np.stack([r.history for r in rows]),
            np.stack([r.reference for r in rows]),
            [r.text for r in rows],
            keys=[r.key for r in rows],
            settings=settings,
        ).images
        for rows in both
    ]
    assert np.array_equal(drawn[0][2], drawn[1][0])
    assert np.array_equal(drawn[0][0], drawn[1][1])
    assert not np.array_equal(drawn[0][0], drawn[0][1])


@torch.inference_mode()
def test_padding_to_one_width_changes_only_rounding(published: PublishedPipeline) -> None:
    by_hand = ByHand(published, requests(1)[0])
    masked = by_hand.mask(0.5, PUBLISHED_GENERATION)
    decoder = published.decoder
    one, other = (
        decode_kept(decoder, by_hand.codebook, masked.target, by_hand.words, width=width)
        for width in (None, PLACES)
    )
    torch.testing.assert_close(one.prompt, other.prompt, rtol=1e-5, atol=1e-5)


def test_a_picture_that_keeps_every_patch_can_be_masked(published: PublishedPipeline) -> None:
    """The position of its closing id is beyond the generator's table."""
    history, reference = torch.zeros(1, IMAGES, PLACES).long(), torch.ones(1, PLACES).long()
    keep_history, (keep,) = published.masks(history, reference, ["k"], 0.2, [0.5])
    assert int(keep_history.sum()) == int(IMAGES * PLACES * (1 - 0.2))
    assert 7 <= int(keep.sum()) <= 9  # of 18 with the two special ids, which count


def test_without_settings_the_published_ones_hold(
    published: PublishedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[GenerationConfig] = []

    def render(codes: NDArray[np.int64], keys: list[str], settings: GenerationConfig) -> object:
        seen.append(settings)
        return np.zeros((len(keys), 16, 16, 3), dtype=np.uint8)

    monkeypatch.setattr(published, "render", render)
    (one,) = requests(1)
    drawn = published(one.history[None], one.reference[None], [one.text], keys=[one.key])
    assert drawn.mask_ratios == tuple(i / 10 for i in range(11))
    assert (seen[0].diffusion_steps, seen[0].render_guidance) == (25, 7.0)
