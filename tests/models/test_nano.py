from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lotus_recon.errors import InputError, ModelError
from lotus_recon.models.base import ModelOptions
from lotus_recon.models.lotus.checkpoints import Metadata
from lotus_recon.models.nano import family, files
from lotus_recon.models.nano.model import NanoModel, load_network, network_size, save_network
from lotus_recon.models.nano.network import FEATURES, Encoder, NanoNetwork, NanoSize
from lotus_recon.types import DepthKind

CODES = {"depth": (1.0, 0.0, 0.0), "normal": (0.0, 1.0, 0.0)}
METADATA = Metadata(CODES, "disparity", "D", reconstruction=(0.0, 0.0, 1.0), processing_res=96)
SMALL = NanoSize(neck=[16, 16, 16], decoder=[16, 8], attention_layers=1, embedding=8)


@pytest.fixture
def network() -> NanoNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return NanoNetwork(3, SMALL).eval()


@pytest.fixture
def folder(network: NanoNetwork, tmp_path: Path) -> Path:
    save_network(network, METADATA, tmp_path / "mine")
    return tmp_path / "mine"


def photo(seed: int, height: int = 60, width: int = 90) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


def test_the_encoder_is_efficientnet_lite0_without_its_classifier() -> None:
    # 4,652,008 parameters are published; 320 x 1280 + 2 x 1280 of the last convolution and 1281 x 1000 are not ours.
    count = sum(parameter.numel() for parameter in Encoder().parameters())
    assert count == 4_652_008 - (320 * 1280 + 2 * 1280) - 1281 * 1000


def test_features_halve_the_size_five_times() -> None:
    with torch.no_grad():
        features = Encoder()(torch.zeros(2, 3, 64, 96))
    assert [tuple(f.shape) for f in features] == [
        (2, channels, 64 // 2**i, 96 // 2**i) for i, channels in enumerate(FEATURES, 1)
    ]


def test_the_encoder_follows_its_image_when_it_moves_by_whole_cells() -> None:
    image = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        encoder = Encoder()
        here, there = encoder(image)[2], encoder(image.roll((32, 64), dims=(2, 3)))[2]  # cells of 8 pixels
    moved = here.roll((4, 8), dims=(2, 3))
    torch.testing.assert_close(there[..., 12:-12, 16:-12], moved[..., 12:-12, 16:-12], rtol=1e-4, atol=1e-5)


def test_the_decoder_leaves_no_mark_at_the_borders(network: NanoNetwork) -> None:
    flat = [torch.full((1, channels, 64 // 2**i, 96 // 2**i), 0.7) for i, channels in enumerate(FEATURES, 1)]

    class Flat(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
            return flat

    network.encoder = Flat()  # type: ignore[assignment]
    network.attention = torch.nn.Sequential()  # tells positions apart by the border of its map
    with torch.no_grad():
        depth = network(torch.zeros(1, 3, 64, 96), CODES)["depth"]
    torch.testing.assert_close(depth, depth[..., :1, :1].expand_as(depth), rtol=0, atol=1e-3)


def test_a_new_network_has_no_checkerboard(network: NanoNetwork) -> None:
    with torch.no_grad():
        depth = network(torch.rand(1, 3, 64, 96) * 2 - 1, CODES)["depth"]
    cells = torch.nn.functional.pixel_unshuffle(depth, 2).unflatten(1, (3, 4))
    torch.testing.assert_close(cells, cells[:, :, :1].expand_as(cells))
    assert depth.std() > 0.01


def test_each_task_has_its_own_map(network: NanoNetwork) -> None:
    image = torch.rand(1, 3, 64, 96) * 2 - 1
    with torch.no_grad():
        both, alone = network(image, CODES), network(image, {"normal": CODES["normal"]})
    assert both["depth"].shape == (1, 3, 64, 96)
    assert (both["depth"] - both["normal"]).abs().max() > 1e-3
    torch.testing.assert_close(both["normal"], alone["normal"])


def test_a_photo_gets_maps_of_its_size(folder: Path) -> None:
    prediction = NanoModel.from_folder(folder, "cpu").predict(photo(0))
    assert prediction.depth is not None
    assert prediction.normals is not None
    assert prediction.depth.kind is DepthKind.AFFINE_DISPARITY
    assert prediction.depth.values.shape == (60, 90)
    np.testing.assert_allclose(np.linalg.norm(prediction.normals.values, axis=-1), 1, atol=1e-5)
    assert prediction.meta["processing_size"] == [96, 64]


def test_a_prediction_does_not_depend_on_its_batch(folder: Path) -> None:
    model = NanoModel.from_folder(folder, "cpu")
    images = [photo(1), photo(2), photo(3, 70, 50)]
    model.batch_size = 2
    together = model.predict_batch(images)
    for image, prediction in zip(images, together, strict=True):
        alone = model.predict(image)
        assert alone.depth is not None
        assert prediction.depth is not None
        # Kernels for two photos round in another order than those for one.
        np.testing.assert_allclose(prediction.depth.values, alone.depth.values, atol=1e-4)


def test_a_mirrored_photo_gets_the_mirrored_maps(folder: Path) -> None:
    model, rgb = NanoModel.from_folder(folder, "cpu"), photo(1, 96, 64)
    one, other = model.predict(rgb), model.predict(np.ascontiguousarray(rgb[:, ::-1]))
    assert one.depth is not None
    assert other.depth is not None
    assert one.normals is not None
    assert other.normals is not None
    np.testing.assert_allclose(one.depth.values, other.depth.values[:, ::-1], atol=1e-4)
    np.testing.assert_allclose(one.normals.values, other.normals.values[:, ::-1] * [-1, 1, 1], atol=1e-3)


def test_normals_have_the_convention_of_the_released_checkpoints(network: NanoNetwork) -> None:
    model = NanoModel("n", network, METADATA, torch.device("cpu"))
    towards_camera = torch.tensor([0.0, 0.0, 1.0])  # the network's value of a surface that faces the camera

    class Facing(torch.nn.Module):
        def forward(self, image: torch.Tensor, switchers: object) -> dict[str, torch.Tensor]:
            maps = towards_camera[None, :, None, None].expand(image.shape)
            return {"depth": maps, "normal": maps}

    model.network = Facing()  # type: ignore[assignment]
    normals = model.predict(photo(0)).normals
    assert normals is not None
    np.testing.assert_allclose(normals.values[30, 40], [0, 0, -1], atol=1e-6)


def test_a_checkpoint_comes_back(network: NanoNetwork, folder: Path) -> None:
    again = load_network(folder)
    for name, value in network.state_dict().items():
        kept = value.half().float() if value.is_floating_point() else value
        torch.testing.assert_close(again.state_dict()[name], kept)
    assert files.metadata(folder) == METADATA


def test_the_family_knows_its_folders(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert family.accepts(str(folder))
    assert not family.accepts(str(tmp_path / "other"))
    model = family.load(str(folder), ModelOptions(task="normal", processing_res=64), "cpu", "auto")
    prediction = model.predict(photo(0))
    assert (model.name, model.tasks) == ("mine", ("normal",))
    assert prediction.depth is None
    assert prediction.meta["processing_size"] == [64, 32]


@pytest.mark.parametrize("options", [ModelOptions(predictions=Path("x")), ModelOptions(revision="main")])
def test_options_of_other_models_are_refused(folder: Path, options: ModelOptions) -> None:
    with pytest.raises(InputError, match="belongs to"):
        family.check(str(folder), options)


def test_a_depth_space_that_contradicts_the_checkpoint_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="affine in disparity"):
        family.check(str(folder), ModelOptions(depth_space="depth"))


def test_a_folder_of_another_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(ModelError, match="is not a nano checkpoint"):
        load_network(tmp_path)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / files.WEIGHTS_FILE).unlink()
    with pytest.raises(ModelError, match=files.WEIGHTS_FILE):
        family.fetch(str(folder), ModelOptions())


def test_truncated_weights_are_named(folder: Path) -> None:
    weights = folder / files.WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="truncated"):
        load_network(folder)


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    config = json.loads((folder / files.CONFIG_FILE).read_text())
    (folder / files.CONFIG_FILE).write_text(json.dumps({**config, "decoder": [24, 8]}))
    with pytest.raises(ModelError, match="another network"):
        load_network(folder)


def test_a_photo_that_exceeds_the_memory_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = NanoModel.from_folder(folder, "cpu")

    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(model, "_predict_equal", full)
    with pytest.raises(ModelError, match="out of memory"):
        model.predict(photo(0))


@pytest.mark.parametrize(
    ("size", "edge", "expected"),
    [
        ((480, 640), 256, (192, 256)),
        ((360, 540), 256, (160, 256)),
        ((4, 3000), 256, (32, 256)),
        ((70, 50), 0, (64, 64)),
    ],
)
def test_photos_are_brought_to_whole_cells(size: tuple[int, int], edge: int, expected: tuple[int, int]) -> None:
    assert network_size(*size, edge) == expected


@pytest.mark.parametrize(
    ("key", "value"), [("embedding", -1), ("embedding", 10**12), ("neck", [16, 16, 0]), ("attention_layers", 10**6)]
)
def test_sizes_that_no_network_has_are_refused_before_it_is_built(folder: Path, key: str, value: object) -> None:
    path = folder / files.CONFIG_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(ModelError, match=f"does not describe a nano network: {key} must be"):
        load_network(folder)
