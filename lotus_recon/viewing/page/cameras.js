// Cameras as frusta with thumbnails: two objects for all of them, so that thousands cost two draw calls.

import * as THREE from 'three';

const INK = new THREE.Color('#f59e0b');
const CHOSEN = new THREE.Color('#38bdf8');
const PICK_PX = 16; // this near to the middle of a thumbnail counts as on it

export class Cameras {
  constructor() {
    this.root = new THREE.Group();
    this.views = [];
    this.size = 1;
  }

  // `views` of the manifest; `atlas` {image: Texture | null, columns, rows}; `size` the depth of a frustum.
  update(views, atlas, size) {
    for (const child of this.root.children) child.geometry.dispose();
    this.root.clear();
    this.views = views;
    this.size = size;
    if (!views.length) return;
    this.corners = views.map((view) => cornersOf(view, size));
    this.root.add(linesOf(this.corners, INK, 0.75));
    this.thumbnails = thumbnailsOf(this.corners, atlas);
    this.root.add(this.thumbnails);
    this.mark = new THREE.LineSegments(new THREE.BufferGeometry(), lineMaterial(CHOSEN, 1));
    this.mark.renderOrder = 1;
    this.root.add(this.mark);
  }

  choose(index) {
    if (!this.mark) return;
    this.mark.geometry.dispose();
    this.mark.geometry = index === null ? new THREE.BufferGeometry() : linesOf([this.corners[index]], CHOSEN, 1).geometry;
  }

  // Index of the frustum at a place of the canvas (pixels), the nearest one; null where there is none.
  pick(raycaster, camera, place, canvasSize, clipped) {
    if (!this.thumbnails || !this.root.visible) return null;
    const hit = raycaster.intersectObject(this.thumbnails)[0];
    if (hit) return Math.floor(hit.faceIndex / 2);
    let best = null;
    const middle = new THREE.Vector3();
    this.corners.forEach((corners, index) => {
      middle.copy(corners[1]).add(corners[3]).multiplyScalar(0.5);
      if (clipped?.(middle)) return;
      middle.project(camera);
      const x = (middle.x * 0.5 + 0.5) * canvasSize.x - place.x;
      const y = (0.5 - middle.y * 0.5) * canvasSize.y - place.y;
      const distance = Math.hypot(x, y);
      if (Math.abs(middle.z) < 1 && distance < PICK_PX && (!best || distance < best.distance)) best = { index, distance };
    });
    return best ? best.index : null;
  }
}

// World from camera, of a view of the manifest.
export function poseOf(view) {
  return new THREE.Matrix4().set(...view.world_from_cam);
}

// The centre and the four corners of the image plane at a depth, in world axes.
function cornersOf(view, depth) {
  const [fx, fy, cx, cy] = view.lens;
  const pose = poseOf(view);
  const at = (x, y) => new THREE.Vector3(((x - cx) / fx) * depth, ((y - cy) / fy) * depth, depth).applyMatrix4(pose);
  const { width, height } = view;
  return [new THREE.Vector3().applyMatrix4(pose), at(0, 0), at(width, 0), at(width, height), at(0, height)];
}

function lineMaterial(color, opacity) {
  return new THREE.LineBasicMaterial({ color, transparent: opacity < 1, opacity });
}

function linesOf(all, color, opacity) {
  const edges = [[0, 1], [0, 2], [0, 3], [0, 4], [1, 2], [2, 3], [3, 4], [4, 1]];
  const points = all.flatMap((corners) => edges.flatMap(([a, b]) => [corners[a], corners[b]]));
  return new THREE.LineSegments(new THREE.BufferGeometry().setFromPoints(points), lineMaterial(color, opacity));
}

// Two triangles for each view, with its tile of the atlas on them.
function thumbnailsOf(all, atlas) {
  const positions = [];
  const uvs = [];
  const indices = [];
  all.forEach((corners, index) => {
    corners.slice(1).forEach((corner) => positions.push(...corner.toArray()));
    const column = index % atlas.columns;
    const row = Math.floor(index / atlas.columns);
    const [left, right] = [column, column + 1].map((x) => x / atlas.columns);
    const [top, bottom] = [row, row + 1].map((y) => 1 - y / atlas.rows);
    uvs.push(left, top, right, top, right, bottom, left, bottom);
    indices.push(...[0, 2, 1, 0, 3, 2].map((corner) => 4 * index + corner));
  });
  const geometry = new THREE.BufferGeometry();
  geometry.setAttribute('position', new THREE.Float32BufferAttribute(positions, 3));
  geometry.setAttribute('uv', new THREE.Float32BufferAttribute(uvs, 2));
  geometry.setIndex(indices);
  const look = atlas.image ? { map: atlas.image } : { color: INK, opacity: 0.2 };
  const material = new THREE.MeshBasicMaterial({ ...look, transparent: true, side: THREE.DoubleSide, toneMapped: false });
  if (atlas.image) material.opacity = 0.9;
  return new THREE.Mesh(geometry, material);
}
