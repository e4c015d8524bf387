"""docs/normal_surface.png: the mesh of the depth maps, and that of the integrated normals, from the same side.

python -m pipelines.multi_view data/sample/images --out out/sample
python -m pipelines.multi_view data/sample/images --out out/sample --fusion normal
"""

from __future__ import annotations

from pathlib import Path

from lotus_recon.io.cameras import read_colmap_scene
from lotus_recon.io.images import read_rgb, write_png
from lotus_recon.io.meshes import read_mesh
from lotus_recon.io.visualization import contact_sheet
from lotus_recon.reporting.rendering import MeshRenderer

SAMPLE = Path("out/sample")
VIEW = "studio_03"
WIDTH = 800


def main() -> None:
    """Both meshes as the photo sees them."""
    scene = read_colmap_scene(SAMPLE / "sfm/sparse")
    view = scene.views[scene.index[f"{VIEW}.jpg"]]
    camera = view.camera.resized(WIDTH, WIDTH * 3 // 4)
    pictures = {"photo": read_rgb(SAMPLE / f"images/{VIEW}.jpg")}
    for backend in ("tsdf", "normal"):
        renderer = MeshRenderer(read_mesh(SAMPLE / f"fusion/{backend}/mesh.ply"))
        pictures[f"--fusion {backend}"] = renderer.render(camera, view.cam_from_world, ["shaded"])["shaded"]
    sheet = contact_sheet(list(pictures.values()), list(pictures), 3, cell_width=480)
    write_png(Path("docs/normal_surface.png"), sheet)


if __name__ == "__main__":
    main()
