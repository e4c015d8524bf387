"""Inference with real network classes of toy size: determinism, padding, batching, memory, conventions."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lotus_recon.errors import InputError, ModelError
from lotus_recon.models import load_model, tensors
from lotus_recon.models.lotus import LotusModel, network, single_step
from lotus_recon.models.lotus.convert import to_depth, to_normals
from lotus_recon.models.lotus.model import LotusPair
from lotus_recon.models.lotus.parts import Parts
from lotus_recon.types import DepthKind
from tests.models.toys import photo, write_checkpoint

RGB = photo(48, 64)


def _loaded(folder: Path, **options: Any) -> LotusModel:
    """A toy that works at the size of its input: the released default of 768 pixels would take seconds."""
    model = LotusModel.from_pretrained(folder, device="cpu", **options)
    model.processing_res = 0
    return model


def _pair(depth: Path, normal: Path) -> LotusPair:
    pair = load_model(f"{depth},{normal}", device="cpu", processing_res=0)
    assert isinstance(pair, LotusPair)
    return pair


@pytest.fixture
def generative(depth_g: Path) -> LotusModel:
    return _loaded(depth_g, task="depth", depth_space="disparity")


def test_generative_follows_its_seed_and_nothing_else(generative: LotusModel) -> None:
    torch.manual_seed(1)
    first = generative.raw(RGB, seed=5)
    torch.manual_seed(2)
    torch.randn(10)
    np.random.seed(3)
    again = generative.raw(RGB, seed=5)
    other = generative.raw(RGB, seed=6)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 1e-2
    np.testing.assert_array_equal(generative.raw(RGB, seed=0), generative.raw(RGB))  # no seed is seed 0


def test_given_noise_replaces_the_seed(generative: LotusModel) -> None:
    noise = network.noise_from_seed(5, (1, 4, 6, 8))
    by_noise = generative.raw(RGB, noise=noise.numpy(), seed=77)
    np.testing.assert_array_equal(by_noise, generative.raw(RGB, seed=5))
    with pytest.raises(InputError, match=r"noise has shape .*needs \(1, 4, 6, 8\)"):
        generative.raw(RGB, noise=noise[..., :-1])


def test_global_random_state_is_left_alone(generative: LotusModel) -> None:
    torch.manual_seed(4)
    expected = torch.randn(3)
    torch.manual_seed(4)
    generative.predict(RGB)
    torch.testing.assert_close(torch.randn(3), expected, rtol=0, atol=0)


def test_two_models_give_the_same_bits(depth_d: Path) -> None:
    maps = [_loaded(depth_d).predict(RGB, seed=1) for _ in range(2)]
    assert maps[0].depth is not None
    assert maps[1].depth is not None
    np.testing.assert_array_equal(maps[0].depth.values, maps[1].depth.values)


def test_padding_keeps_pixels_in_place(depth_d: Path) -> None:
    model = _loaded(depth_d)
    rgb = photo(45, 61)
    by_hand = np.pad(rgb, ((0, 3), (0, 3), (0, 0)), mode="edge")  # 48 x 64
    padded = model.raw(rgb)
    assert padded.shape == (45, 61, 3)
    np.testing.assert_array_equal(padded, model.raw(by_hand)[:45, :61])
    np.testing.assert_array_equal(padded, model.raw(rgb, resize_back=False))


@pytest.mark.parametrize(
    ("size", "edge", "expected"),
    [((96, 128), 192, (144, 192)), ((100, 77), 64, (64, 49)), ((33, 90), 0, (33, 90)), ((1000, 3), 64, (64, 1))],
)
def test_processing_size_truncates(size: tuple[int, int], edge: int, expected: tuple[int, int]) -> None:
    assert tensors.processing_size(*size, edge) == expected


def test_shrinking_is_antialiased() -> None:
    impulse = torch.zeros(1, 1, 8, 8)
    impulse[0, 0, 3, 4] = 64.0
    # Half the size: a triangle twice as wide, so a pixel weighs 1, 3, 3, 1 eighths in the results around it.
    expected = torch.zeros(4, 4)
    expected[1:3, 1:3] = torch.tensor([[3 * 1, 3 * 3], [1 * 1, 1 * 3]])
    torch.testing.assert_close(tensors.resize(impulse, 4, 4)[0, 0], expected)


def test_prediction_has_the_size_of_the_photo(depth_d: Path, normal_d: Path) -> None:
    model = load_model(f"{depth_d},{normal_d}", device="cpu", processing_res=40)
    prediction = model.predict(photo(45, 61))
    assert prediction.depth is not None
    assert prediction.normals is not None
    assert prediction.depth.shape == prediction.normals.shape == (45, 61)
    assert prediction.depth.kind is DepthKind.AFFINE_DISPARITY
    assert prediction.meta["processing_size"] == {"depth": [40, 29], "normal": [40, 29]}
    assert prediction.meta["image_size"] == [61, 45]


def test_depth_is_the_mean_over_channels_and_keeps_its_sign() -> None:
    raw = torch.tensor([0.1, 0.2, 0.6]).reshape(1, 3, 1, 1)
    depth = to_depth(raw, DepthKind.AFFINE)[0]
    assert depth.values[0, 0] == pytest.approx(0.3)
    assert depth.kind is DepthKind.AFFINE


def test_normals_turn_from_lotus_to_opencv_axes() -> None:
    # Lotus axes: x left, y up, z to the camera. Facing the camera, up, right; too short to tell; looking away.
    lotus = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0], [0.1, 0, 0.1], [0, 0, -1]])
    raw = ((lotus + 1) / 2).T.reshape(1, 3, 1, 5)
    normals = to_normals(raw)[0]
    np.testing.assert_array_equal(normals.valid[0], [True, True, True, False, False])
    expected = [[0, 0, -1], [0, -1, 0], [1, 0, 0]]  # x right, y down, z forward
    np.testing.assert_allclose(normals.values[0, :3], expected, atol=1e-6)


def test_output_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(ModelError, match="--dtype float32"):
        to_depth(torch.full((1, 3, 2, 2), float("nan")), DepthKind.AFFINE)


@pytest.fixture
def encoded_batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images in every call of any VAE's encoder."""
    batches: list[int] = []
    encode = network.encode

    def counted(parts: Parts, images: torch.Tensor) -> torch.Tensor:
        batches.append(images.shape[0])
        return encode(parts, images)

    monkeypatch.setattr(network, "encode", counted)
    return batches


def test_pair_shares_the_encoding_when_the_vae_is_the_same(
    depth_d: Path, normal_d: Path, encoded_batches: list[int]
) -> None:
    pair = _pair(depth_d, normal_d)
    assert pair.normal.parts.vae is pair.depth.parts.vae  # one copy in memory
    together = pair.predict(RGB)
    assert encoded_batches == [1]
    pair.batch_size = 3
    pair.predict_batch([RGB] * 5)
    assert encoded_batches == [1, 3, 2]
    alone = _loaded(normal_d).predict(RGB)
    assert together.normals is not None
    assert alone.normals is not None
    np.testing.assert_array_equal(together.normals.values, alone.normals.values)


def test_maps_of_a_shared_vae_are_decoded_in_one_call_where_it_pays(
    depth_d: Path, normal_d: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    decode = network.decode

    def counted(parts: Parts, latents: torch.Tensor) -> torch.Tensor:
        decoded.append(len(latents))
        return decode(parts, latents)

    monkeypatch.setattr(network, "decode", counted)
    pair = _pair(depth_d, normal_d)
    pair.batch_size = 2
    apart = pair.predict_batch([RGB, RGB[::-1].copy()])
    assert decoded == [2, 2]  # of a CPU, one after the other
    decoded.clear()
    monkeypatch.setattr(single_step, "_decodes_together", lambda _: True)
    together = pair.predict_batch([RGB, RGB[::-1].copy()])
    assert decoded == [4]
    for a, b in zip(apart, together, strict=True):
        assert a.depth is not None
        assert b.depth is not None
        assert a.normals is not None
        assert b.normals is not None
        np.testing.assert_allclose(a.depth.values, b.depth.values, atol=1e-5)
        np.testing.assert_allclose(a.normals.values, b.normals.values, atol=1e-4)


def test_pair_encodes_twice_when_the_vae_differs(depth_d: Path, tmp_path: Path, encoded_batches: list[int]) -> None:
    other = write_checkpoint(tmp_path / "lotus-normal-d-v1-1", seed=2, vae_seed=9)
    pair = _pair(depth_d, other)
    assert pair.depth.parts.vae is not pair.normal.parts.vae
    alone = _loaded(other).predict(RGB)
    encoded_batches.clear()
    together = pair.predict(RGB)
    assert encoded_batches == [1, 1]
    assert together.normals is not None
    assert alone.normals is not None
    np.testing.assert_array_equal(together.normals.values, alone.normals.values)


def test_batch_gives_every_image_its_own_map(generative: LotusModel) -> None:
    images = [photo(48, 64, seed=1), photo(64, 48, seed=2), photo(48, 64, seed=3)]
    generative.batch_size = 2
    for image, prediction in zip(images, generative.predict_batch(images, seed=3), strict=True):
        alone = generative.predict(image, seed=3)
        assert prediction.depth is not None
        assert alone.depth is not None
        # A batch of two may round differently from a batch of one, no more.
        np.testing.assert_allclose(prediction.depth.values, alone.depth.values, atol=1e-4)


def _refuse_more_than(limit: int, unet: torch.nn.Module, error: Exception) -> Callable[..., Any]:
    forward = unet.forward

    def limited(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if sample.shape[0] > limit:
            raise error
        return forward(sample, *args, **kwargs)

    return limited


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_halves_the_batch(
    depth_d: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    model = _loaded(depth_d)
    images = [photo(32, 32, seed=i) for i in range(5)]
    expected = [model.predict(image) for image in images]
    monkeypatch.setattr(model.parts.unet, "forward", _refuse_more_than(1, model.parts.unet, error))
    model.batch_size = 4
    with caplog.at_level(logging.WARNING):
        got = model.predict_batch(images)
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory with a batch of 4 images; continuing with batches of 2",
        "out of memory with a batch of 2 images; continuing with batches of 1",
    ]
    assert model.batch_size == 1
    for mine, reference in zip(got, expected, strict=True):
        assert mine.depth is not None
        assert reference.depth is not None
        np.testing.assert_array_equal(mine.depth.values, reference.depth.values)


def test_out_of_memory_with_one_image_names_the_size_to_try(depth_d: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _loaded(depth_d)
    model.processing_res = 768
    error = torch.cuda.OutOfMemoryError("CUDA out of memory")
    monkeypatch.setattr(model.parts.unet, "forward", _refuse_more_than(0, model.parts.unet, error))
    with pytest.raises(ModelError, match=r"one image of 768 pixels .*try --processing-res 512"):
        model.predict(RGB)


def test_other_runtime_errors_pass_through(depth_d: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _loaded(depth_d)
    monkeypatch.setattr(model.parts.unet, "forward", _refuse_more_than(0, model.parts.unet, RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        model.predict(RGB)


@pytest.mark.parametrize("rgb", [RGB.astype(np.float32), RGB[..., 0], RGB[..., :2], RGB[:0]])
def test_bad_images_are_refused(generative: LotusModel, rgb: np.ndarray) -> None:
    with pytest.raises(InputError, match="uint8"):
        generative.raw(rgb)


def test_the_text_encoder_is_not_kept(generative: LotusModel) -> None:
    assert set(vars(generative.parts)) == {
        "unet",
        "vae",
        "schedule",
        "prompt_unpadded",
        "prompt_padded",
        "device",
        "dtype",
    }
    assert generative.parts.prompt_unpadded.shape == (1, 2, 32)
    assert generative.parts.prompt_padded.shape == (1, 77, 32)
    assert generative.parts.schedule.config.beta_schedule == "scaled_linear"
