"""All parts together: keys, batches, and what an image depends on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils.hooks import RemovableHandle

from pigeon_rec.config import GenerationConfig
from pigeon_rec.data.prompts import PromptTemplate, load_prompt
from pigeon_rec.errors import ModelError
from pigeon_rec.model.pipeline import CodedRequests, PigeonOutput, PigeonPipeline, candidate_key
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.model.visual_tokenizer import NO_CODE
from tests.model.tiny import DYNAMIC, QUICK, TINY, pictures, tiny_pipeline, tiny_text

ROWS = 6
HISTORY, REFERENCE = pictures(ROWS, 3), pictures(ROWS, seed=1)
TARGETS = [f"a red apple {row}" for row in range(ROWS)]
KEYS = [f"asset-{row}/0" for row in range(ROWS)]


def draw(
    pipeline: PigeonPipeline,
    rows: list[int] | None = None,
    settings: GenerationConfig = QUICK,
    **changes: Any,
) -> PigeonOutput:
    """Draws some of the six requests, with inputs replaced by `changed`."""
    inputs: dict[str, Any] = {
        "history": HISTORY,
        "reference": REFERENCE,
        "targets": TARGETS,
        "keys": KEYS,
    }
    inputs |= changes
    chosen = list(range(ROWS)) if rows is None else rows
    return pipeline(
        inputs["history"][chosen],
        inputs["reference"][chosen],
        [inputs["targets"][i] for i in chosen],
        keys=[inputs["keys"][i] for i in chosen],
        settings=settings,
    )


@pytest.fixture(scope="module")
def drawn(pipeline: PigeonPipeline) -> PigeonOutput:
    return draw(pipeline)


def differs(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> list[bool]:
    """Whether each row's pictures differ."""
    return [not np.array_equal(a, b) for a, b in zip(one, other, strict=True)]


def test_one_picture_for_each_row_and_ratio(drawn: PigeonOutput) -> None:
    assert drawn.images.shape == (ROWS, 2, 16, 16, 3)
    assert drawn.images.dtype == np.uint8
    assert drawn.codes.shape == (ROWS, 2, 16)
    assert drawn.mask_ratios == (0.0, 0.5)
    assert drawn.codes.min() >= 0
    assert drawn.codes.max() < 32
    assert len({image.tobytes() for image in drawn.images.reshape(-1, 768)}) == 2 * ROWS


@pytest.mark.parametrize("rows", [[0], [5, 2], [3, 1, 4, 0, 2], [5, 4, 3, 2, 1, 0]])
def test_bytes_do_not_depend_on_number_order_and_neighbours(
    pipeline: PigeonPipeline, drawn: PigeonOutput, rows: list[int]
) -> None:
    again = draw(pipeline, rows)
    assert np.array_equal(again.images, drawn.images[rows])
    assert np.array_equal(again.codes, drawn.codes[rows])


def test_a_ratio_does_not_depend_on_the_others(
    pipeline: PigeonPipeline, drawn: PigeonOutput
) -> None:
    alone = draw(pipeline, settings=QUICK.model_copy(update={"mask_ratios": (0.5,)}))
    assert np.array_equal(alone.images[:, 0], drawn.images[:, 1])


def test_every_input_has_its_part_in_the_picture(
    pipeline: PigeonPipeline, drawn: PigeonOutput
) -> None:
    changed = {
        "key": draw(pipeline, keys=[f"{key}1" for key in KEYS]),
        "history": draw(pipeline, history=pictures(ROWS, 3, seed=7)),
        "reference": draw(pipeline, reference=pictures(ROWS, seed=8)),
        "target": draw(pipeline, targets=["a small cat"] * ROWS),
    }
    for name, other in changed.items():
        assert all(differs(other.images, drawn.images)), name


def test_users_differ_in_their_history_alone(pipeline: PigeonPipeline) -> None:
    """Two histories with the same key, reference and text give different pictures."""
    reference = REFERENCE[:1].repeat(ROWS, axis=0)
    out = draw(pipeline, reference=reference, targets=TARGETS[:1] * ROWS, keys=KEYS[:1] * ROWS)
    assert len({image.tobytes() for image in out.images[:, 0]}) == ROWS
    twins = HISTORY[:1].repeat(ROWS, axis=0)
    same = draw(
        pipeline, history=twins, reference=reference, targets=TARGETS[:1] * ROWS,
        keys=KEYS[:1] * ROWS,
    )  # fmt: skip
    assert len({image.tobytes() for image in same.images[:, 0]}) == 1


def test_codes_can_be_given_in_place_of_pictures(
    pipeline: PigeonPipeline, drawn: PigeonOutput
) -> None:
    history = pipeline.encode_images(HISTORY.reshape(-1, 16, 16, 3)).reshape(ROWS, 3, -1)
    requests = CodedRequests(history, pipeline.encode_images(REFERENCE), TARGETS, KEYS)
    out = pipeline.generate(requests, QUICK)
    assert np.array_equal(out.images, drawn.images)


def test_an_image_has_the_same_codes_in_any_company(pipeline: PigeonPipeline) -> None:
    images = pictures(9, seed=3)
    codes = pipeline.encode_images(images)
    assert codes.shape == (9, 16)
    assert np.array_equal(pipeline.encode_images(images[[7, 2]]), codes[[7, 2]])
    assert len(np.unique(codes, axis=0)) == 9


def test_all_arithmetic_is_done_in_batches_of_one_shape(pipeline: PigeonPipeline) -> None:
    """Bytes depend on the batch shape: other shapes may sum in another order."""
    shapes: dict[str, set[int]] = {name: set() for name in pipeline.parts()}

    def look(name: str, module: torch.nn.Module) -> RemovableHandle:
        def keep(_module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
            shapes[name].add(len(arguments[0]))

        return module.register_forward_pre_hook(keep)

    parts = {
        "visual_tokenizer": pipeline.tokenizer.encoder,
        "tokenizer_decoder": pipeline.decoder.in_proj,
        "personalisation": pipeline.personalisation.mask_generator,
        "image_generator": pipeline.generator.renderer,
    }
    hooks = [look(name, module) for name, module in parts.items()]
    for count in (1, 5):
        draw(pipeline, list(range(count)))
    for hook in hooks:
        hook.remove()
    # References at both ratios and, for guidance, masked away; pictures are rendered one by one.
    assert shapes.pop("tokenizer_decoder") == {12, 1}
    assert shapes.pop("image_generator") == {1}
    assert all(seen == {4} for seen in shapes.values())


def test_rows_that_fill_a_batch_up_are_not_rendered(pipeline: PigeonPipeline) -> None:
    drawn = []
    hook = pipeline.generator.register_forward_hook(lambda *_: drawn.append(1))
    draw(pipeline, list(range(5)))
    hook.remove()
    assert len(drawn) == 5 * len(QUICK.mask_ratios)


def test_the_template_is_read_once(
    pipeline: PigeonPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def counted(scenario: str) -> PromptTemplate:
        read.append(scenario)
        return load_prompt(scenario)

    monkeypatch.setattr("pigeon_rec.model.base.load_prompt", counted)
    draw(pipeline)
    assert read == ["sticker"]


def test_a_history_is_masked_alike_at_every_ratio(pipeline: PigeonPipeline) -> None:
    with torch.inference_mode():
        past = torch.from_numpy(pipeline.encode_images(HISTORY.reshape(-1, 16, 16, 3)))
        past, codes = past.view(ROWS, 3, 16), torch.from_numpy(pipeline.encode_images(REFERENCE))
        ratios = (0.5, 0.25, 0.75)
        kept_history, kept = pipeline.masks(past, codes, KEYS, 0.3, ratios)
        alone = [pipeline.masks(past, codes, KEYS, 0.3, [ratio]) for ratio in ratios]
        others, _ = pipeline.masks(past, codes, [f"{key}1" for key in KEYS], 0.3, [0.5])
    assert all(torch.equal(kept_history, history) for history, _ in alone)
    assert torch.equal(kept, torch.cat([reference for _, reference in alone]))
    assert not torch.equal(others, kept_history)
    # Each ratio draws the reference's mask anew: fewer kept is not a part of more kept.
    assert ((kept[2] > 0.5) & (kept[1] < 0.5)).any()


def test_codes_are_scored_once_for_the_masks_of_all_ratios(pipeline: PigeonPipeline) -> None:
    scored = []
    generator = pipeline.personalisation.mask_generator
    hook = generator.register_forward_hook(lambda *_: scored.append(1))
    draw(pipeline)
    hook.remove()
    assert len(scored) == 2  # one for each batch of four


def test_a_history_is_read_once_for_all_candidates(pipeline: PigeonPipeline) -> None:
    widths = []

    def look(_: torch.nn.Module, __: object, named: dict[str, torch.Tensor]) -> None:
        widths.append(tuple(named["inputs_embeds"].shape[:2]))

    model = pipeline.personalisation.language_model.model
    hook = model.register_forward_pre_hook(look, with_kwargs=True)
    draw(pipeline)
    hook.remove()
    opening = [shape for shape in widths if shape[1] > 3 * 16]
    assert {rows for rows, _ in opening} == {4}
    assert len(opening) == 2  # one for each batch of four, whatever ratios and guidance


def test_codes_are_rendered_as_they_were(pipeline: PigeonPipeline, drawn: PigeonOutput) -> None:
    keys = [candidate_key(key, 0.5) for key in KEYS]
    again = pipeline.render(drawn.codes[:, 1], keys, QUICK)
    assert np.array_equal(again, drawn.images[:, 1])
    assert np.array_equal(pipeline.render(drawn.codes[2:3, 1], keys[2:3], QUICK), again[2:3])


def test_a_preview_is_a_rough_picture_of_the_same_codes(
    pipeline: PigeonPipeline, drawn: PigeonOutput
) -> None:
    codes = drawn.codes.reshape(-1, drawn.codes.shape[-1])
    previews = pipeline.preview(codes)
    assert pipeline.has_previews
    assert (previews.shape, previews.dtype) == ((2 * ROWS, 16, 16, 3), np.dtype("uint8"))
    assert len({image.tobytes() for image in previews}) == len(np.unique(codes, axis=0))
    assert np.array_equal(pipeline.preview(codes[[3]]), previews[[3]])
    assert pipeline.preview(codes[:0]).shape == (0, 16, 16, 3)


def test_what_is_written_is_what_is_rendered(pipeline: PigeonPipeline, drawn: PigeonOutput) -> None:
    history = pipeline.encode_images(HISTORY.reshape(-1, 16, 16, 3)).reshape(ROWS, 3, -1)
    requests = CodedRequests(history, pipeline.encode_images(REFERENCE), TARGETS, KEYS)
    codes = pipeline.write(requests, QUICK)
    assert np.array_equal(codes, drawn.codes)


def test_no_rows_give_no_pictures(pipeline: PigeonPipeline) -> None:
    out = pipeline(HISTORY[:0], REFERENCE[:0], [], keys=[], settings=QUICK)
    assert out.images.shape == (0, 2, 16, 16, 3)
    assert out.codes.shape == (0, 2, 16)


def test_a_width_of_choice_beyond_the_codebook_means_all(pipeline: PigeonPipeline) -> None:
    wide = draw(pipeline, [0, 1], settings=QUICK.model_copy(update={"top_k": 5000}))
    every = draw(pipeline, [0, 1], settings=QUICK.model_copy(update={"top_k": 33}))
    assert np.array_equal(wide.images, every.images)


def test_guidance_by_the_reference_can_be_left_out(
    pipeline: PigeonPipeline, drawn: PigeonOutput
) -> None:
    assert QUICK.language_guidance > 1.0
    plain = QUICK.model_copy(update={"language_guidance": 1.0})
    out = draw(pipeline, settings=plain)
    assert all(differs(out.images, drawn.images))
    assert np.array_equal(draw(pipeline, [3, 0], settings=plain).images, out.images[[3, 0]])


@pytest.mark.parametrize("language_guidance", [1.0, 2.0, 2.5])
def test_guidance_on_the_history_acts_on_each_request_alone(
    pipeline: PigeonPipeline, language_guidance: float
) -> None:
    plain = QUICK.model_copy(update={"language_guidance": language_guidance})
    guided = plain.model_copy(update={"history_guidance": 2.0})
    out = draw(pipeline, settings=guided)
    assert all(differs(out.images, draw(pipeline, settings=plain).images))
    assert np.array_equal(draw(pipeline, [5, 0, 3], settings=guided).images, out.images[[5, 0, 3]])
    one = draw(pipeline, settings=guided.model_copy(update={"mask_ratios": (0.5,)}))
    assert np.array_equal(one.codes[:, 0], out.codes[:, 1])


@pytest.mark.parametrize("language_guidance", [2.0, 2.5])
def test_guidance_on_the_history_reads_each_beginning_once_more(
    pipeline: PigeonPipeline, language_guidance: float
) -> None:
    opened: list[int] = []
    rows: list[int] = []

    def look(_: torch.nn.Module, __: object, named: dict[str, torch.Tensor]) -> None:
        count, width = named["inputs_embeds"].shape[:2]
        (opened if width > 3 * 16 else rows).append(count)

    scales = {"language_guidance": language_guidance, "history_guidance": 2.0}
    model = pipeline.personalisation.language_model.model
    hook = model.register_forward_pre_hook(look, with_kwargs=True)
    draw(pipeline, list(range(4)), settings=QUICK.model_copy(update=scales))
    hook.remove()
    assert opened == [4, 4]  # with and without the history, for all candidates
    candidates = 4 * len(QUICK.mask_ratios)
    # Candidates of a request share the unconditional rows until the first code is written.
    if language_guidance == 2.0:  # the rows without the reference only would cancel out
        assert rows[:4] == [candidates, 4, candidates, candidates]
    else:
        assert rows[:4] == [candidates + 4, 4, 2 * candidates, candidates]


def test_masked_reference_codes_carry_no_information(pipeline: PigeonPipeline) -> None:
    with torch.inference_mode():
        codes = torch.from_numpy(pipeline.encode_images(REFERENCE))
        keep = (torch.arange(16) % 3 == 0).float().expand(ROWS, -1)
        others = torch.where(keep > 0.5, codes, (codes + 11) % 32)
        one, other = pipeline.decode(codes, keep), pipeline.decode(others, keep)
        assert torch.equal(one.prompt, other.prompt)
        assert not torch.equal(pipeline.decode(codes).prompt, pipeline.decode(others).prompt)


def test_images_of_different_lengths() -> None:
    pipeline = tiny_pipeline(DYNAMIC)
    predictor = pipeline.tokenizer.token_predictor
    assert predictor is not None
    with torch.no_grad():
        predictor.get_parameter("out_conv.4.weight").mul_(300.0)
        pixels = torch.from_numpy(HISTORY[:, 0]).permute(0, 3, 1, 2) / 127.5 - 1
        scores = predictor(pipeline.tokenizer.encoder(pixels), torch.ones(ROWS, 16, 1))
        middle = (scores[..., 0] - scores[..., 1]).median()
        predictor.get_parameter("out_conv.4.bias")[0] -= middle
    lengths = (pipeline.encode_images(HISTORY[:, 0]) != NO_CODE).sum(1)
    assert len(set(lengths.tolist())) > 1
    hot = QUICK.model_copy(update={"temperature": 50.0, "top_k": 33})
    out = draw(pipeline, settings=hot)
    assert len(set((out.codes != NO_CODE).sum(-1).ravel().tolist())) > 1
    assert np.array_equal(draw(pipeline, [4, 1], settings=hot).images, out.images[[4, 1]])


def test_text_ids_that_would_be_codes_are_refused() -> None:
    large = TextTokenizer.learn(["a red apple with green leaves, a cat and a dog"], 300)
    assert len(large) > TINY.language_model.text_vocabulary > len(tiny_text()) - 1
    with pytest.raises(ModelError, match=rf"{len(large)} ids.*room for 280"):
        PigeonPipeline.from_config(TINY, large)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"history": HISTORY[:, 0]}, r"`history` must be uint8 \[batch, images, 16, 16, 3\]"),
        ({"history": HISTORY[:, :, :8]}, r"received uint8 \[6, 3, 8, 16, 3\]"),
        ({"history": HISTORY / 255}, r"`history`.*received float64"),
        ({"reference": REFERENCE[:, :, :, :1]}, r"`reference` must be uint8 \[6, 16, 16, 3\]"),
        ({"reference": REFERENCE.astype(np.float32)}, r"`reference`.*received float32"),
        ({"reference": REFERENCE[:4]}, r"`reference`.*received uint8 \[4, 16, 16, 3\]"),
        ({"targets": TARGETS[:2]}, r"must have 6 entries each.*received 2 and 6"),
        ({"keys": KEYS[:5]}, r"must have 6 entries each.*received 6 and 5"),
    ],
)
def test_inputs_that_do_not_fit_are_errors(
    pipeline: PigeonPipeline, change: dict[str, object], message: str
) -> None:
    given = {"history": HISTORY, "reference": REFERENCE, "targets": TARGETS, "keys": KEYS}
    given |= change
    keys = given.pop("keys")
    with pytest.raises(ModelError, match=message):
        pipeline(**given, keys=keys)  # type: ignore[arg-type]
