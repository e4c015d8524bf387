"""docs/sample.png, the picture in the README, from the sample."""

from __future__ import annotations

from pathlib import Path

from lotus_recon.io.cameras import read_colmap_scene
from lotus_recon.io.images import read_rgb, write_png
from lotus_recon.io.maps import load_prediction
from lotus_recon.io.meshes import read_mesh
from lotus_recon.io.visualization import colorize_depth, colorize_normals, contact_sheet
from lotus_recon.reporting.rendering import MeshRenderer, viewpoints

SAMPLE = Path("out/sample")  # python -m pipelines.multi_view data/sample/images --out out/sample
VIEW = "studio_03"
WIDTH = 640


def main() -> None:
    """One photo, its maps, and the mesh from three sides."""
    scene = read_colmap_scene(SAMPLE / "sfm/sparse")
    prediction = load_prediction(SAMPLE / f"prediction/nano/{VIEW}.npz")
    assert prediction.depth is not None
    assert prediction.normals is not None
    renderer = MeshRenderer(read_mesh(SAMPLE / "mesh/mesh.ply"))
    view = scene.views[scene.index[f"{VIEW}.jpg"]]
    _, left, right = viewpoints(scene, renderer, WIDTH)
    pictures = {
        f"one of {len(scene.views)} photos": read_rgb(SAMPLE / f"images/{VIEW}.jpg"),
        "depth": colorize_depth(prediction.depth),
        "normals": colorize_normals(prediction.normals),
        "mesh": renderer.render(view.camera.resized(WIDTH, WIDTH * 3 // 4), view.cam_from_world, ["shaded"])["shaded"],
        "mesh, from the left": renderer.render(left.camera, left.cam_from_world, ["color"])["color"],
        "mesh, from the right": renderer.render(right.camera, right.cam_from_world, ["color"])["color"],
    }
    sheet = contact_sheet(list(pictures.values()), list(pictures), columns=3, cell_width=400)
    write_png(Path("docs/sample.png"), sheet)


if __name__ == "__main__":
    main()
