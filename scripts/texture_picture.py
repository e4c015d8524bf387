"""docs/texture.jpg: parts of photos, and the same of meshes of 200,000 triangles with vertex colours and with texture.

python -m pipelines.multi_view data/sample/images --out out/sample
python -m pipelines.multi_view ../shared/data/fountain_p11/images --out out/fountain
"""

from __future__ import annotations

from pathlib import Path

from lotus_recon.io.cameras import read_colmap_scene
from lotus_recon.io.images import read_rgb, resize_rgb, write_jpeg
from lotus_recon.io.meshes import read_mesh
from lotus_recon.io.textured_meshes import read_textured_glb
from lotus_recon.io.visualization import contact_sheet
from lotus_recon.meshing.stage import gltf_from_views
from lotus_recon.reporting.rendering import MeshRenderer
from lotus_recon.texturing.preparing import prepared
from lotus_recon.types import Camera

# Folder, photo, and the part of it that is shown: left, top, width and height relative to the photo.
SHOWN = (
    (Path("out/sample"), "studio_10.jpg", (0.58, 0.30, 0.32, 0.32)),
    (Path("out/fountain"), "0005.jpg", (0.34, 0.25, 0.32, 0.36)),
)
FACES = 200_000
SIZE = (480, 360)


def main() -> None:
    """Two rows: photo, vertex colours, texture."""
    pictures, labels = [], []
    for folder, name, part in SHOWN:
        scene = read_colmap_scene(folder / "sfm/sparse")
        view = scene.views[scene.index[name]]
        camera = _part(view.camera, part)
        left, top, width, height = (round(share * size) for share, size in zip(part, 2 * view.camera.size, strict=True))
        photo = read_rgb(folder / "images" / name)[top : top + height, left : left + width]
        textured = read_textured_glb(folder / "texture/mesh.glb").turned(gltf_from_views(scene.views).T)
        plain = MeshRenderer(prepared(read_mesh(folder / "mesh/mesh.ply"), FACES))
        pictures += [
            resize_rgb(photo, *SIZE),
            plain.render(camera, view.cam_from_world, ["color"])["color"],
            MeshRenderer(textured).render(camera, view.cam_from_world, ["texture"])["texture"],
        ]
        labels += ["photo", f"vertex colours, {FACES:,} triangles", f"texture, {FACES:,} triangles"]
    write_jpeg(Path("docs/texture.jpg"), contact_sheet(pictures, labels, 3, cell_width=SIZE[0]), 88)


def _part(camera: Camera, part: tuple[float, float, float, float]) -> Camera:
    """A camera that sees only a part of what ``camera`` does, larger."""
    left, top, width, height = part
    x, y = SIZE[0] / (width * camera.width), SIZE[1] / (height * camera.height)
    cx, cy = (camera.cx - left * camera.width) * x, (camera.cy - top * camera.height) * y
    return Camera(*SIZE, camera.fx * x, camera.fy * y, cx, cy)


if __name__ == "__main__":
    main()
