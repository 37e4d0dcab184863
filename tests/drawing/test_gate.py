"""The quality gate of a night: calibrated once, kept while the catalogue grows, never overruled."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from pigeon_rec.config import NightlyConfig, NightlyGateConfig, QualityGateConfig
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.drawing.calibrations import Originals
from pigeon_rec.drawing.gate import NightGate, calibrated_gate, night_gate, read_night_gate
from pigeon_rec.errors import ModelError, PlanError
from pigeon_rec.runtime.files import write_json
from pigeon_rec.runtime.work_dir import gate_file
from tests.small_world import PixelEncoder, png, write_catalogue, write_items

COUNT = 60


class Reader(PixelEncoder):
    """Reads `a picture of i07` as the thumbnail of that picture; counts the texts it reads."""

    def __init__(self, *, literate: bool = True) -> None:
        super().__init__("reader" if literate else "illiterate")
        self.literate = literate
        self.read = 0

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.read += len(texts)
        numbers = [int(text.removeprefix("a picture of i")) for text in texts]
        shown = [number if self.literate else number + 1000 for number in numbers]
        blocks = [
            np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
            for number in shown
        ]
        flat = np.stack(blocks).reshape(len(texts), -1).astype(np.float32) - np.float32(127.5)
        found: NDArray[np.float32] = flat / np.linalg.norm(flat, axis=1, keepdims=True)
        return found


@pytest.fixture
def config(tmp_path: Path) -> NightlyConfig:
    catalogue = write_catalogue(tmp_path, COUNT)
    return NightlyConfig(catalogue=str(catalogue), work_dir=tmp_path / "var")


def gate_of(config: NightlyConfig, scorer: object) -> NightGate:
    prompt = load_prompt(config.scenario)
    return night_gate(config, load_catalogue(config.catalogue), prompt, scorer)


def with_gate(config: NightlyConfig, **settings: object) -> NightlyConfig:
    return config.model_copy(update={"gate": NightlyGateConfig.model_validate(settings)})


def test_the_first_night_calibrates_and_later_ones_keep_it(config: NightlyConfig) -> None:
    reader = Reader()
    first = gate_of(config, reader)
    assert first.calibration is not None
    assert first.calibration.pictures == COUNT
    assert first.limits.min_text_score == first.calibration.min_text_score > 0.9
    assert first.limits.min_reference_likeness is None
    encoded, read = reader.encoded, reader.read
    assert gate_of(config, reader) == first
    assert (reader.encoded, reader.read) == (encoded, read)


def test_other_limits_stay_as_they_are_set(config: NightlyConfig) -> None:
    gate = gate_of(with_gate(config, min_pixel_std=9.0, max_unsafe_score=0.1), Reader())
    assert (gate.limits.min_pixel_std, gate.limits.max_unsafe_score) == (9.0, 0.1)


def test_a_number_of_the_settings_is_never_overruled(config: NightlyConfig) -> None:
    reader = Reader()
    given = gate_of(with_gate(config, min_text_score=-1.0), reader)
    assert given == NightGate(QualityGateConfig(min_text_score=-1.0))
    assert (reader.read, gate_file(config.work_dir).exists()) == (0, False)
    gate_of(config, reader)
    # Once there is a calibration, it says what the number means.
    given = gate_of(with_gate(config, min_text_score=1.01), reader)
    assert given.limits.min_text_score == 1.01
    [warning] = given.warnings()
    assert "At gate.min_text_score 1.01, 0% of the catalogue's own pictures pass" in warning.text


def test_a_number_of_the_settings_can_be_compared_with_the_pictures(config: NightlyConfig) -> None:
    given, reader = with_gate(config, min_text_score=1.01), Reader()
    prompt, catalogue = load_prompt(config.scenario), load_catalogue(config.catalogue)
    gate = night_gate(given, catalogue, prompt, reader, compare=True)
    assert gate.limits == QualityGateConfig(min_text_score=1.01)
    assert gate.summary() == {
        "min_text_score": 1.01,
        "min_reference_likeness": None,
        "pictures": COUNT,
        "auc": 1.0,
        "own_texts_pass": 0.0,
        "wrong_texts_pass": 0.0,
    }
    # What was scored to compare is what `auto` takes.
    read = reader.read
    calibrated = gate_of(config, reader)
    assert calibrated.calibration == gate.calibration
    assert reader.read == read
    assert calibrated.summary()["own_texts_pass"] >= 0.9
    assert calibrated.summary()["wrong_texts_pass"] < 0.1


def test_calibrations_of_another_folder_are_found_and_stay(
    config: NightlyConfig, tmp_path: Path
) -> None:
    reader = Reader()
    first, before = gate_of(config, reader), gate_file(config.work_dir).read_bytes()
    prompt, catalogue = load_prompt(config.scenario), load_catalogue(config.catalogue)
    originals = Originals(catalogue, prompt.scenario, config.model)
    read = reader.read
    for folders in ([config.work_dir], [tmp_path / "none", config.work_dir]):
        found = calibrated_gate(config.gate, originals, reader, [*folders, tmp_path / "own"])
        assert (found, reader.read) == (first, read)
    assert not gate_file(tmp_path / "own").exists()
    # Without it, the same pictures give the same limits, kept apart.
    assert calibrated_gate(config.gate, originals, reader, [tmp_path / "own"]) == first
    assert reader.read > read
    assert gate_file(tmp_path / "own").read_bytes() == before
    assert gate_file(config.work_dir).read_bytes() == before


def test_the_bundled_catalogue_and_scorers_without_texts_keep_the_default(
    config: NightlyConfig,
) -> None:
    bundled = config.model_copy(update={"catalogue": "bundled"})
    for settings, scorer in ((bundled, Reader()), (config, PixelEncoder())):
        assert gate_of(settings, scorer) == NightGate(QualityGateConfig())
    assert not gate_file(config.work_dir).exists()


def test_where_texts_tell_nothing_the_reference_is_checked(config: NightlyConfig) -> None:
    gate = gate_of(config, Reader(literate=False))
    assert gate.limits.min_text_score == -1.0
    assert gate.limits.min_reference_likeness is not None
    assert "the likeness to the reference is checked instead" in gate.warnings()[0].text
    own = gate_of(with_gate(config, min_reference_likeness=0.7), Reader(literate=False))
    assert own.limits.min_reference_likeness == 0.7


def rewrite(config: NightlyConfig, numbers: Sequence[int]) -> None:
    """Gives the catalogue the items of these numbers."""
    folder = Path(config.catalogue).parent
    rows = []
    for number in numbers:
        content = png(number)
        name = f"i{number:02d}"
        (folder / "images" / f"{name}.png").write_bytes(content)
        rows.append((name, f"images/{name}.png", hashlib.sha256(content).hexdigest()))
    write_items(folder / "items.parquet", rows)


def test_a_growing_catalogue_keeps_its_limits(config: NightlyConfig) -> None:
    first = gate_of(config, Reader())
    rewrite(config, range(12, COUNT + 30))
    later = gate_of(config, Reader())
    assert later.limits == first.limits
    assert later.left == pytest.approx(0.8)
    assert later.warnings() == ()
    rewrite(config, range(24, COUNT + 30))
    later = gate_of(config, Reader())
    assert later.limits == first.limits
    [warning] = later.warnings()
    assert "40% are no longer in the catalogue" in warning.text


def test_another_catalogue_or_scorer_is_calibrated_by_itself(config: NightlyConfig) -> None:
    first, second = gate_of(config, Reader()), gate_of(config, Reader(literate=False))
    assert first != second
    rewrite(config, range(100, 100 + COUNT))
    third = gate_of(config, Reader())
    assert third.calibration not in (first.calibration, second.calibration)
    # All three are kept.
    rewrite(config, range(COUNT))
    assert gate_of(config, Reader()) == first
    assert gate_of(config, Reader(literate=False)) == second


def test_pictures_that_cannot_be_used_or_are_shared_do_not_count(config: NightlyConfig) -> None:
    folder = Path(config.catalogue).parent
    (folder / "images" / "i05.png").write_bytes(b"no picture")
    items = pl.read_parquet(config.catalogue)
    same = items.filter(pl.col("item_id") == "i07").with_columns(item_id=pl.lit("copy"))
    pl.concat([items, same]).write_parquet(config.catalogue)
    gate = gate_of(config, Reader())
    assert gate.calibration is not None
    assert gate.calibration.pictures == COUNT - 1


@pytest.mark.parametrize(("held_out", "pictures"), [(2, 30), (3, COUNT)])
def test_pictures_that_training_has_held_out_are_preferred(
    config: NightlyConfig, held_out: int, pictures: int
) -> None:
    items = pl.read_parquet(config.catalogue)
    column = pl.Series("held_out", [number % held_out == 0 for number in range(COUNT)])
    items.with_columns(column).write_parquet(config.catalogue)
    gate = gate_of(config, Reader())
    assert gate.calibration is not None
    assert gate.calibration.pictures == pictures  # all of them if too few were held out


def test_the_gate_of_a_night_is_read_as_it_was_written(
    config: NightlyConfig, tmp_path: Path
) -> None:
    for gate in (gate_of(config, Reader()), NightGate(QualityGateConfig(min_text_score=0.1))):
        write_json(gate.facts(), tmp_path / "gate.json")
        assert read_night_gate(tmp_path / "gate.json", config) == gate
    missing = read_night_gate(tmp_path / "none.json", with_gate(config, min_text_score=0.3))
    assert missing == NightGate(QualityGateConfig(min_text_score=0.3))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"calibrations": [{"limits": 1}]}'])
def test_damaged_files_are_named(config: NightlyConfig, tmp_path: Path, content: bytes) -> None:
    gate_file(config.work_dir).parent.mkdir(parents=True)
    gate_file(config.work_dir).write_bytes(content)
    with pytest.raises(ModelError, match=r"gate\.json\].*gate calibrate"):
        gate_of(config, Reader())
    (tmp_path / "gate.json").write_bytes(content)
    with pytest.raises(PlanError, match="nightly plan"):
        read_night_gate(tmp_path / "gate.json", config)
