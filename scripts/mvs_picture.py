"""docs/mvs.png: a photo, the mesh of the aligned depth, and that of multi-view stereo, from the same side.

python -m pipelines.multi_view data/sample/images --out out/sample
python -m pipelines.multi_view data/sample/images --out out/sample-aligned --no-mvs
"""

from __future__ import annotations

from pathlib import Path

from lotus_recon.io.cameras import read_colmap_scene
from lotus_recon.io.images import read_rgb, write_png
from lotus_recon.io.meshes import read_mesh
from lotus_recon.io.visualization import contact_sheet
from lotus_recon.reporting.rendering import MeshRenderer

STEREO, ALIGNED = Path("out/sample"), Path("out/sample-aligned")
VIEW = "studio_03"
WIDTH = 800


def main() -> None:
    """Both meshes as the photo sees them."""
    pictures = {"photo": read_rgb(STEREO / f"images/{VIEW}.jpg")}
    for label, folder in (("mesh of the aligned depth", ALIGNED), ("mesh of the stereo depth", STEREO)):
        scene = read_colmap_scene(folder / "sfm/sparse")
        view = scene.views[scene.index[f"{VIEW}.jpg"]]
        renderer = MeshRenderer(read_mesh(folder / "mesh/mesh.ply"))
        camera = view.camera.resized(WIDTH, WIDTH * 3 // 4)
        pictures[label] = renderer.render(camera, view.cam_from_world, ["shaded"])["shaded"]
    write_png(Path("docs/mvs.png"), contact_sheet(list(pictures.values()), list(pictures), 3, cell_width=480))


if __name__ == "__main__":
    main()
