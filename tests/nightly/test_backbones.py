"""Whole nights with backbones other than Pigeon: random weights, and the page's own backbone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from pigeon_rec.config import NightlyConfig, load_config
from pigeon_rec.errors import ConfigError
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan import plan_night, recommend
from pigeon_rec.nightly.run import NightSummary, run_night
from pigeon_rec.warehouse import ask
from tests.docs.pages import blocks, text_of
from tests.model.backbones.tiny import SIDE, write_janus, write_sd
from tests.nightly.test_own_scenario import HISTORIES, ITEMS, SETTINGS, write_model
from tests.small_world import NIGHT, write_catalogue, write_interactions

QUICK: dict[str, dict[str, Any]] = {
    "sd": {"steps": 3, "strength": 0.7, "candidates": 2},
    "janus": {"candidates": 2},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tables, a scorer and the backbones."""
    folder = tmp_path_factory.mktemp("shop")
    write_catalogue(folder, len(ITEMS))
    write_interactions(folder / "interactions.parquet", HISTORIES)
    pairs = [(user, item, 1.0) for user in HISTORIES for item in (ITEMS[9], ITEMS[0])]
    columns = ["user_id", "item_id", "score"]
    pl.DataFrame(pairs, columns, orient="row").write_parquet(folder / "top.parquet")
    write_model(folder / "scorer")
    write_sd(folder / "sd")
    write_janus(folder / "janus")
    return folder


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The module on the page, on the path of Python."""
    [code] = blocks(text_of("docs/backbones.md"), "python")
    (tmp_path / "shop_draws.py").write_text(code, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "shop_draws.py"
    monkeypatch.delitem(__import__("sys").modules, "shop_draws", raising=False)


def settings(shop: Path, work_dir: Path, model: str, **changes: Any) -> NightlyConfig:
    """The night as it is read from a file."""
    places = {n: str(shop / SETTINGS[n]) for n in ("catalogue", "interactions", "recommendations")}
    values = SETTINGS | places | {"model": model, "scorer": str(shop / "scorer")}
    values["work_dir"] = str(work_dir / "var")
    values["plan"] = SETTINGS["plan"] | {"max_assets": 6, "max_assets_per_user": 2}
    file = work_dir / "night.yaml"
    work_dir.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(values | changes), "utf-8")
    return load_config(file)


def drawn(config: NightlyConfig) -> tuple[NightSummary, dict[str, tuple[str, float]]]:
    """Runs the night; its pictures' digests and mask ratios by key."""
    summary = run_night(config, NIGHT)
    found = ask(
        NightPaths.of(config, NIGHT).serving,
        "SELECT asset_key, image_sha256, mask_ratio, width FROM assets",
    )
    assert set(found["width"]) <= {SIDE, 64}
    return summary, {key: (sha, ratio) for key, sha, ratio, _ in found.iter_rows()}


def keys(config: NightlyConfig) -> set[str]:
    recommend(config, NIGHT)
    plan_night(config, NIGHT)
    return set(pl.read_parquet(NightPaths.of(config, NIGHT).plan)["asset_key"])


@pytest.mark.parametrize("model", ["sd", "janus"])
def test_a_night_is_planned_drawn_published_and_reused(
    shop: Path, tmp_path: Path, model: str
) -> None:
    config = settings(shop, tmp_path, str(shop / model), backbone=QUICK[model])
    first, assets = drawn(config)
    assert (first.drawn, first.published.served) == (len(assets), 6) == (6, 6)
    assert {ratio for _, ratio in assets.values()} == {0.7 if model == "sd" else 1.0}
    assert len({sha for sha, _ in assets.values()}) == 6
    again, same = drawn(config)
    assert (again.drawn, again.published.served, same) == (0, 6, assets)
    # Other shards and batches, drawn anew: the same bytes.
    other = settings(
        shop,
        tmp_path / "other",
        str(shop / model),
        backbone=QUICK[model],
        batch_size=1,
        plan=config.plan.model_dump() | {"shards": 2},
    )
    assert drawn(other)[1] == assets


def test_options_dtype_scorer_and_weights_are_part_of_the_keys(shop: Path, tmp_path: Path) -> None:
    copy = tmp_path / "sd"
    shutil.copytree(shop / "sd", copy)
    (copy / "note.txt").write_text("another file", "utf-8")
    scorer = tmp_path / "scorer"
    shutil.copytree(shop / "scorer", scorer)
    config = json.loads((scorer / "scorer" / "config.json").read_text("utf-8"))
    weights = scorer / "scorer" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert config["image_size"] == 16
    base = settings(shop, tmp_path / "1", str(shop / "sd"))
    changes: list[tuple[str, dict[str, Any]]] = [
        (str(shop / "sd"), {"backbone": {"steps": 5}}),
        (str(shop / "sd"), {"placement": {"dtype": "bfloat16"}}),
        (str(shop / "sd"), {"scorer": str(scorer)}),
        (str(copy), {}),
    ]
    every = [keys(base)] + [
        keys(settings(shop, tmp_path / f"{place}", model, **change))
        for place, (model, change) in enumerate(changes, start=2)
    ]
    assert len(set.union(*every)) == sum(len(some) for some in every)
    device = settings(shop, tmp_path / "9", str(shop / "sd"), batch_size=3, threads=1)
    assert keys(device) == every[0]


@pytest.mark.usefixtures("own")
def test_the_backbone_on_the_page_draws_a_night(shop: Path, tmp_path: Path) -> None:
    config = settings(shop, tmp_path / "night", "shop_draws:load")
    summary, assets = drawn(config)
    assert (summary.drawn, summary.published.served, len(assets)) == (6, 6, 6)
    plan = pl.read_parquet(NightPaths.of(config, NIGHT).plan)
    assert set(plan["model_version"]) == {"shop_draws:load-1"}


def test_another_version_of_ones_own_backbone_draws_anew(
    shop: Path, tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(shop, tmp_path / "night", "shop_draws:load")
    before = keys(config)
    monkeypatch.setattr("shop_draws.Blend.version", "2")
    assert not keys(config) & before


@pytest.mark.usefixtures("own")
def test_one_failing_request_is_a_rejection(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shop_draws  # type: ignore[import-not-found]

    draw = shop_draws.Blend.draw

    def fragile(self: Any, requests: Any, generation: Any) -> Any:
        if np.array_equal(requests.reference[0], requests.pictures[0]):
            raise RuntimeError("out of memory")
        return draw(self, requests, generation)

    monkeypatch.setattr(shop_draws.Blend, "draw", fragile)
    summary, _ = drawn(settings(shop, tmp_path / "night", "shop_draws:load", batch_size=1))
    assert 0 < summary.published.served < 6
    assert summary.published.reasons.get("drawing_failed", 0) > 0


@pytest.mark.parametrize(
    ("model", "backbone", "message"),
    [
        ("janus", {"steps": 3}, "no option steps"),
        ("sticker-64", {"strength": 0.5}, "Pigeon draws by `generation`"),
        ("no_such_module:load", {}, "cannot be imported"),
    ],
)
def test_unusable_settings_end_the_night_before_work(
    shop: Path, tmp_path: Path, model: str, backbone: dict[str, Any], message: str
) -> None:
    model = str(shop / model) if (shop / model).exists() else model
    config = settings(shop, tmp_path, model, backbone=backbone)
    with pytest.raises(ConfigError, match=message):
        run_night(config, NIGHT)
    assert not NightPaths.of(config, NIGHT).recommendations.exists()
