"""Charts, packing, painting, levelling and filling: geometry by hand, colours by the pattern of the wall."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lotus_recon.geometry.camera import project
from lotus_recon.geometry.pose import transform
from lotus_recon.texturing.blending import Contribution
from lotus_recon.texturing.charts import PADDING, AtlasLimits, Charts, make_charts
from lotus_recon.texturing.diffusion import diffused
from lotus_recon.texturing.levelling import seam_changes
from lotus_recon.texturing.measuring import seams, texture_shade
from lotus_recon.texturing.packing import pack
from lotus_recon.texturing.painting import Painter, exposed, push_pull
from lotus_recon.texturing.surface import Surface
from lotus_recon.types import Mesh
from tests.texturing import scenes

LIMITS = AtlasLimits(None, 8192, 8192**2)


def halves(surface: Surface) -> np.ndarray:
    """Label 0 on the left, 1 on the right."""
    return (surface.centers[:, 0] > 0).astype(np.int32)


def charts_of(surface: Surface, labels: np.ndarray, limits: AtlasLimits = LIMITS) -> Charts:
    return make_charts(labels, np.ones(len(labels), bool), scenes.views(2), surface, limits)


def painted(surface: Surface, charts: Charts, labels: np.ndarray, offsets: tuple[float, float] = (0, 0)) -> Painter:
    """Each half from its photo alone, to which an offset is added."""
    painter = Painter(charts, surface)
    for number, view in enumerate(scenes.views(2)):
        faces = np.flatnonzero(labels == number)
        changes = np.full((len(faces), 3, 3), offsets[number], np.float32)
        contribution = Contribution(faces, np.ones((len(faces), 3), np.float32), changes)
        painter.add(view, scenes.photo_of(view), np.ones(3), contribution)
    return painter


def test_rectangles_do_not_overlap_and_stay_on_their_page() -> None:
    sizes = np.random.default_rng(1).integers(3, 60, (300, 2))
    packing = pack(sizes, None, 256, 10**9)
    assert packing is not None
    assert packing.pages > 1
    taken = np.zeros((packing.pages, *packing.size[::-1]), int)
    for (x, y), (width, height), page in zip(packing.corner, sizes, packing.page, strict=True):
        taken[page, y : y + height, x : x + width] += 1
    assert taken.max() == 1
    assert taken.sum() == sizes.prod(1).sum()
    assert taken[:-1].mean() > 0.75


def test_what_does_not_fit_is_said() -> None:
    sizes = np.full((10, 2), 50)
    assert pack(sizes, 64, 8192, 10**9) is None, "one page of 64 holds one of them"
    assert pack(sizes, None, 40, 10**9) is None, "larger than a page"
    assert pack(sizes, None, 8192, 1000) is None, "more texels than allowed"


def test_a_chart_is_the_projection_into_its_photo_texel_by_pixel() -> None:
    surface = scenes.surface()
    labels = halves(surface)
    charts = charts_of(surface, labels)
    assert len(np.unique(charts.chart)) == 2
    assert charts.scale == 1.0
    for number, view in enumerate(scenes.views(2)):
        own = np.unique(charts.triangles[labels == number])
        xy = project(transform(view.cam_from_world, surface.mesh.vertices[charts.vertex[own]]), view.camera)
        moved = charts.uv[own] - xy
        np.testing.assert_allclose(moved, np.broadcast_to(moved.round().mean(0), moved.shape), atol=1e-3)
    inside = charts.uv.min() >= PADDING and charts.uv.max() <= max(charts.size) - PADDING
    assert inside
    np.testing.assert_array_equal(charts.vertex[charts.triangles], surface.mesh.triangles)


def test_triangles_that_are_not_whole_and_tiny_ones_have_room_of_their_own() -> None:
    surface = scenes.surface()
    labels, whole = halves(surface), np.ones(len(surface.mesh.triangles), bool)
    whole[100] = False
    charts = make_charts(labels, whole, scenes.views(2), surface, LIMITS)
    assert (charts.chart == charts.chart[100]).sum() == 1
    tiny = scenes.surface(scenes.grid(2, size=1e-4))
    corners = charts_of(tiny, np.zeros(8, np.int32)).uv
    assert np.ptp(corners, axis=0).max() >= 2 - 1e-3


def test_limits_make_the_atlas_coarser() -> None:
    surface = scenes.surface()
    labels = halves(surface)
    small = charts_of(surface, labels, AtlasLimits(128, 8192, 8192**2))
    assert small.size == (128, 128)
    assert 0.3 < small.scale < 1
    assert small.uv.max() <= 128 - PADDING
    frugal = charts_of(surface, labels, AtlasLimits(None, 8192, 20_000))
    assert frugal.size[0] * frugal.size[1] * frugal.pages <= 20_000


def test_what_does_not_fit_on_one_page_goes_on_the_next() -> None:
    surface = scenes.surface(scenes.joined(scenes.grid(), scenes.grid(z=0.1)))
    labels = np.repeat(np.array([0, 1], np.int32), len(scenes.grid().triangles))
    charts = charts_of(surface, labels, AtlasLimits(None, 200, 10**9))
    assert charts.pages == 2
    assert len(np.unique(charts.page[labels == 0])) == len(np.unique(charts.page[labels == 1])) == 1
    pages = painted(surface, charts, labels).pages(np.array([], np.int64), np.zeros((0, 3), np.float32))
    face = np.flatnonzero((np.abs(surface.centers[:, :2]).max(1) < 0.4) & (labels == 0))
    bary = np.full((len(face), 3), 1 / 3)
    true = scenes.pattern(*surface.centers[face, :2].T)
    np.testing.assert_allclose(texture_shade(charts, pages)(bary, face), true, atol=4)


@pytest.mark.parametrize("cells", [24, 1])
def test_the_texture_shows_the_wall_in_exact_perspective(cells: int) -> None:
    """Also of two huge triangles, in which texture coordinates alone would be many pixels off."""
    surface = scenes.surface(scenes.grid(cells, size=1.2))
    labels = np.zeros(len(surface.mesh.triangles), np.int32)
    charts = charts_of(surface, labels)
    pages = painted(surface, charts, labels).pages(np.array([], np.int64), np.zeros((0, 3), np.float32))
    random = np.random.default_rng(0)
    bary, face = random.dirichlet(np.ones(3), 4000), random.integers(0, len(labels), 4000)
    points = (surface.mesh.vertices[surface.mesh.triangles[face]] * bary[..., None]).sum(1)
    found = texture_shade(charts, pages)(bary, face)
    np.testing.assert_allclose(found, scenes.pattern(points[:, 0], points[:, 1]), atol=4)


def test_weights_blend_and_gains_act_on_linear_light() -> None:
    surface = scenes.surface()
    labels = np.zeros(len(surface.mesh.triangles), np.int32)
    charts = charts_of(surface, labels)
    painter = Painter(charts, surface)
    view, faces = scenes.views(2)[0], np.arange(len(labels))
    for value, weight in ((100, 1.0), (200, 3.0)):
        weights, changes = np.full((len(faces), 3), weight, np.float32), np.zeros((len(faces), 3, 3), np.float32)
        image = np.full((120, 160, 3), value, np.uint8)
        painter.add(view, image, np.ones(3), Contribution(faces, weights, changes))
    page = painter.pages(np.array([], np.int64), np.zeros((0, 3), np.float32))[0]
    assert set(np.unique(page)) == {175}
    half = exposed(np.full((1, 1, 3), 188, np.uint8), np.array([0.5, 1.0, 2.0]))[0, 0]
    np.testing.assert_allclose(half, [137, 188, 255], atol=1.0)  # 188 is half of the light of white


def test_levelling_makes_both_sides_of_a_seam_equal_and_keeps_the_mean() -> None:
    surface = scenes.surface(scenes.grid(60))
    labels = halves(surface)
    charts, seen = charts_of(surface, labels), np.ones(len(labels), bool)
    raw = painted(surface, charts, labels, (-15, 15))
    for sums in raw._sums:
        np.divide(sums[..., :3], sums[..., 3:], out=sums[..., :3], where=sums[..., 3:] > 0)
    before = seams(charts, [s[..., :3].clip(0, 255).astype(np.uint8) for s in raw._sums], seen, surface)
    changes = seam_changes(charts, raw._sums, seen)
    painter = painted(surface, charts, labels, (-15, 15))
    after = seams(charts, painter.pages(np.array([], np.int64), np.zeros((0, 3), np.float32)), seen, surface)
    assert before.ratio > 3
    assert after.ratio < 1.6
    assert abs(changes.mean()) < 0.3
    far = np.abs(surface.mesh.vertices[charts.vertex][:, 0]) > 0.9
    assert np.abs(changes[far]).max() < 4
    assert not seam_changes(charts, raw._sums, labels == 0).any(), "one side alone has no seam"


def test_unseen_triangles_are_filled_smoothly_from_around() -> None:
    """Each vertex between a dark and a bright side is the mean of its neighbours."""
    surface = scenes.surface(scenes.grid(20))
    x = surface.centers[:, 0]
    seen = np.abs(x) > 0.7
    colors = np.where(x > 0, 200.0, 100.0)[:, None].repeat(3, 1)
    found = diffused(colors, seen, surface)
    x = surface.mesh.vertices[:, 0]
    assert set(found[np.abs(x) > 0.75].ravel()) == {100, 200}
    graph = surface.vertex_graph
    neighbors = (graph @ found - found) / (np.asarray(graph.sum(1)) - 1)
    np.testing.assert_allclose(found[np.abs(x) < 0.65], neighbors[np.abs(x) < 0.65], atol=0.1)
    assert found.std() > 30
    apart = scenes.surface(scenes.joined(scenes.grid(4), scenes.grid(4, z=5.0)))
    first = np.arange(64) < 32
    np.testing.assert_allclose(diffused(np.full((64, 3), 90.0), first, apart), 90)
    with pytest.raises(ValueError, match="no triangle has a colour"):
        diffused(colors, np.zeros(len(x), bool), surface)


def test_nothing_is_black_not_even_what_no_photo_sees() -> None:
    surface = scenes.surface()
    labels = halves(surface)
    labels[np.abs(surface.centers[:, :2]).max(1) < 0.3] = -1
    charts = charts_of(surface, labels)
    colors = np.full((len(surface.mesh.vertices), 3), (10, 200, 30), np.float32)
    unseen = np.flatnonzero(labels < 0)
    pages = painted(surface, charts, labels).pages(unseen, colors)
    bary = np.random.default_rng(0).dirichlet(np.ones(3), len(unseen))
    np.testing.assert_allclose(texture_shade(charts, pages)(bary, unseen), np.tile((10, 200, 30), (len(unseen), 1)))
    assert pages[0].max(-1).min() > 20


def test_push_pull_keeps_what_is_known_and_fills_the_rest_within_its_range() -> None:
    random = np.random.default_rng(0)
    colors, known = random.random((37, 53, 3)).astype(np.float32) + 1, random.random((37, 53)) < 0.05
    colors[~known] = np.nan
    filled = push_pull(colors, known)
    np.testing.assert_array_equal(filled[known], colors[known])
    assert 1 <= filled.min() <= filled.max() <= 2
    constant = push_pull(np.where(known[..., None], np.full(3, 7, np.float32), np.float32(0)), known)
    np.testing.assert_allclose(constant, 7, rtol=1e-5)


def test_edges_that_are_not_manifold_have_no_neighbour() -> None:
    """Three triangles at one edge."""
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1]], np.float32)
    mesh = scenes.with_normals(Mesh(vertices, np.array([[0, 1, 2], [1, 0, 3], [0, 1, 4]], np.int32)))
    assert (Surface(mesh, 0.01).neighbors == -1).all()
    pair = replace(mesh, triangles=mesh.triangles[:2])
    assert sorted(Surface(pair, 0.01).neighbors.max(1)) == [0, 1]
