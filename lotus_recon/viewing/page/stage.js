// The picture: what is in the scene, the camera that looks at it, and the rays of clicks.

import * as THREE from 'three';
import { Cameras, poseOf } from './cameras.js';
import { ClipBox } from './clipping.js';
import { Moving } from './moving.js';
import { Ruler, digits } from './ruler.js';
import { Shading, dispose, loadGlb, rangeOf, sigmasOf, verticesOf } from './surface.js';

const FIELD_DEG = 50;
const [LOWEST_RAD, HIGHEST_RAD] = [0.35, 0.65]; // of the first look at a scene, above the horizon
const CAM_FROM_THREE = new THREE.Matrix4().makeScale(1, -1, -1); // OpenCV's y down, z ahead; here y up, z back

export class Stage {
  constructor(canvas, labels, manifest) {
    this.canvas = canvas;
    this.up = new THREE.Vector3(...manifest.up);
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    this.renderer.localClippingEnabled = true;
    this.renderer.outputColorSpace = THREE.LinearSRGBColorSpace; // colours are those of the photos, untouched
    THREE.ColorManagement.enabled = false;
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(FIELD_DEG, 1, 0.01, 100);
    this.camera.up.copy(this.up);
    this.shading = new Shading(this.up, manifest.palettes);
    this.layers = { mesh: null, cloud: null, sparse: null };
    this.visible = { mesh: true, cloud: false, sparse: false, cameras: true };
    this.cameras = new Cameras();
    this.scene.add(this.cameras.root);
    this.clip = new ClipBox(this.scene, manifest.origin);
    this.rulerRoot = new THREE.Group();
    this.scene.add(this.rulerRoot);
    this.ruler = new Ruler(this.rulerRoot, labels);
    this.written = (length) => digits(length);
    this.raycaster = new THREE.Raycaster();
    this.moving = new Moving(this.camera, canvas, () => this.redraw(), () => this.leavePhoto());
    this.photo = null; // the view through whose lens one looks
    new ResizeObserver(() => this.resized()).observe(canvas.parentElement);
    this.resized();
  }

  redraw() {
    this.pending ??= requestAnimationFrame((now) => {
      this.pending = undefined;
      this.moving.step(now);
      this.draw();
      if (this.moving.isBusy) this.redraw();
    });
  }

  draw() {
    const { clientWidth, clientHeight } = this.canvas;
    this.setNearFar();
    const halfHeight = Math.tan((this.camera.fov * Math.PI) / 360);
    this.shading.shared.pixelsPerUnit.value = (clientHeight * this.renderer.getPixelRatio()) / (2 * halfHeight);
    this.cameras.root.visible = this.visible.cameras && !this.photo; // through a lens, its thumbnail would hide all
    for (const root of Object.values(this.layers)) {
      root?.traverse((object) => object.material && (object.material.clippingPlanes = this.clip.active()));
    }
    this.renderer.render(this.scene, this.camera);
    this.ruler.place(this.camera, clientWidth, clientHeight, this.written);
    this.drawn?.();
  }

  // As far as there is something to see, and near enough not to cut what is before the camera.
  setNearFar() {
    const distance = this.camera.position.distanceTo(this.sphere?.center ?? this.scene.position);
    const radius = this.sphere?.radius ?? 1;
    this.camera.far = distance + 2 * (this.reach ?? 2 * radius);
    this.camera.near = Math.max(distance - 2 * (this.reach ?? 2 * radius), 0.002 * radius);
    this.camera.updateProjectionMatrix();
  }

  resized() {
    const { clientWidth, clientHeight } = this.canvas.parentElement;
    this.renderer.setSize(clientWidth, clientHeight, false);
    this.setLens();
    this.redraw();
  }

  // Replace a layer ('mesh', 'cloud', 'sparse') by what a GLB (Uint8Array) holds.
  async setLayer(name, glb, spacing) {
    const root = await loadGlb(glb, this.shading, spacing);
    if (this.layers[name]) {
      this.scene.remove(this.layers[name]);
      dispose(this.layers[name]);
    }
    this.layers[name] = root;
    this.scene.add(root);
    this.measureScene();
    this.showLayers();
  }

  // To be called after a change of `visible`.
  showLayers() {
    for (const [name, root] of Object.entries(this.layers)) if (root) root.visible = this.visible[name];
    this.redraw();
  }

  setViews(views, atlas) {
    this.views = views;
    this.atlas = atlas;
    this.measureScene();
  }

  // The box and sphere around what is shown; frusta are drawn in proportion.
  measureScene() {
    const box = new THREE.Box3();
    const shown = this.layers.mesh ?? this.layers.cloud ?? this.layers.sparse;
    if (shown) box.setFromObject(shown);
    const centers = (this.views ?? []).map((view) => new THREE.Vector3().applyMatrix4(poseOf(view)));
    if (box.isEmpty()) box.setFromPoints(centers.length ? centers : [new THREE.Vector3()]);
    const vertices = shown ? verticesOf(shown) : [];
    this.sphere = (vertices.length ? mostOf(vertices) : box).getBoundingSphere(new THREE.Sphere());
    box.expandByScalar(1e-3 * this.sphere.radius); // a floor does not lie in a face of the box
    this.clip.setBounds(box);
    this.reach = box.getSize(new THREE.Vector3()).length() + this.sphere.radius; // of all there is, cameras too
    for (const center of centers) this.reach = Math.max(this.reach, center.distanceTo(this.sphere.center));
    this.sphere.radius = Math.max(this.sphere.radius, 1e-9);
    this.moving.radius = this.sphere.radius;
    if (vertices.length) this.shading.shared.heights.value.set(...rangeOf(vertices.map((vertex) => vertex.dot(this.up))));
    const sigmas = sigmasOf(this.layers.mesh);
    this.hasErrors = sigmas.length > 0;
    if (this.hasErrors) this.shading.shared.errors.value.set(...rangeOf(sigmas));
    if (this.views) this.cameras.update(this.views, this.atlas, frustumDepth(centers, this.sphere.radius));
  }

  // Look at the whole scene from where the photos were taken, a little above.
  home(instantly = false) {
    const center = this.sphere.center;
    const offsets = this.views.map((view) => new THREE.Vector3().applyMatrix4(poseOf(view)).sub(center));
    const mean = offsets.reduce((sum, offset) => sum.add(offset), new THREE.Vector3());
    const level = mean.clone().projectOnPlane(this.up);
    // Cameras all around have no side of their own: then that of the first.
    const isAround = level.length() < 0.3 * offsets.reduce((sum, offset) => sum + offset.length(), 0);
    const side = (isAround && offsets[0] ? offsets[0].clone() : level).projectOnPlane(this.up);
    if (side.lengthSq() === 0) side.set(0.3, 0.2, 0.1).projectOnPlane(this.up);
    const height = Math.atan2(mean.dot(this.up), mean.clone().projectOnPlane(this.up).length());
    const raised = Math.min(Math.max(height, LOWEST_RAD), HIGHEST_RAD);
    const from = side.normalize().multiplyScalar(Math.cos(raised)).addScaledVector(this.up, Math.sin(raised));
    const half = (Math.min(FIELD_DEG, FIELD_DEG * this.aspect) * Math.PI) / 360;
    const position = from.setLength((0.85 * this.sphere.radius) / Math.sin(half)).add(center);
    const quaternion = lookingAt(position, center, this.up);
    this.leavePhoto();
    this.moving.flyTo({ position, quaternion, target: center.clone(), field: FIELD_DEG }, instantly);
  }

  get aspect() {
    return this.canvas.clientWidth / Math.max(this.canvas.clientHeight, 1);
  }

  // Look through the lens of a photo: what was photographed lies where the photo shows it.
  flyToView(view, instantly = false) {
    this.photo = null;
    this.setLens();
    const pose = poseOf(view).multiply(CAM_FROM_THREE);
    const position = new THREE.Vector3();
    const quaternion = new THREE.Quaternion();
    pose.decompose(position, quaternion, new THREE.Vector3());
    const target = new THREE.Vector3(0, 0, view.depth ?? this.sphere.radius).applyMatrix4(poseOf(view));
    const arrived = () => {
      this.photo = view;
      this.setLens();
    };
    this.moving.flyTo({ position, quaternion, target, field: this.fieldOf(view), arrived }, instantly);
  }

  leavePhoto() {
    if (!this.photo) return;
    this.photo = null;
    this.setLens();
    this.leftPhoto?.();
  }

  // Pixels of the canvas for one pixel of a photo that fits into the free part of it.
  scaleOf(view) {
    const [, , width, height] = this.freePart();
    return Math.min(width / view.width, height / view.height);
  }

  // Left, top, width, height in pixels of what no panel covers; all of the canvas unless set from outside.
  freePart() {
    return [0, 0, this.canvas.clientWidth, this.canvas.clientHeight];
  }

  fieldOf(view) {
    const [, fy] = view.lens;
    return (2 * Math.atan(this.canvas.clientHeight / (2 * fy * this.scaleOf(view))) * 180) / Math.PI;
  }

  setLens() {
    const { clientWidth, clientHeight } = this.canvas;
    const view = this.photo;
    this.camera.aspect = this.aspect;
    this.camera.clearViewOffset();
    if (view) {
      const [fx, fy, cx, cy] = view.lens;
      const scale = this.scaleOf(view);
      this.camera.fov = this.fieldOf(view);
      const [left, top] = this.frameOf(view);
      const [x, y] = [clientWidth / 2 - (left + cx * scale), clientHeight / 2 - (top + cy * scale)];
      this.camera.setViewOffset(clientWidth, clientHeight, x, y, clientWidth, clientHeight);
      this.camera.aspect *= fy / fx; // after it: setViewOffset sets the aspect of square pixels
    }
    this.camera.updateProjectionMatrix();
  }

  // Where the photo lies on the canvas: left, top, width, height in pixels.
  frameOf(view) {
    const scale = this.scaleOf(view);
    const [width, height] = [view.width * scale, view.height * scale];
    const [left, top, freeWidth, freeHeight] = this.freePart();
    return [left + (freeWidth - width) / 2, top + (freeHeight - height) / 2, width, height];
  }

  aim(x, y) {
    const { clientWidth, clientHeight } = this.canvas;
    this.camera.updateMatrixWorld();
    this.raycaster.setFromCamera(new THREE.Vector2((2 * x) / clientWidth - 1, 1 - (2 * y) / clientHeight), this.camera);
  }

  // Index of the camera at pixels of the canvas, or null.
  cameraAt(x, y) {
    this.aim(x, y);
    const size = { x: this.canvas.clientWidth, y: this.canvas.clientHeight };
    return this.cameras.pick(this.raycaster, this.camera, { x, y }, size);
  }

  // Where the ray through pixels of the canvas meets the surface: the mesh, or else a point; null where there is nothing.
  hitAt(x, y) {
    this.aim(x, y);
    const roots = Object.values(this.layers).filter((root) => root?.visible);
    const reach = 4 / this.shading.shared.pixelsPerUnit.value;
    const distance = this.camera.position.distanceTo(this.moving.orbit.target);
    this.raycaster.params.Points.threshold = reach * Math.max(distance, 1e-9) * this.renderer.getPixelRatio();
    const hits = this.raycaster.intersectObjects(roots, true).filter((hit) => !this.clip.hides(hit.point));
    return hits.find((each) => each.object.isMesh) ?? hits[0] ?? null;
  }

  // The canvas as it is now, as a PNG.
  picture() {
    this.draw();
    return new Promise((resolve) => this.canvas.toBlob(resolve, 'image/png'));
  }
}

// The box around nearly all points.
function mostOf(points) {
  const axes = [new THREE.Vector3(1, 0, 0), new THREE.Vector3(0, 1, 0), new THREE.Vector3(0, 0, 1)];
  const ranges = axes.map((axis) => rangeOf(points.map((point) => point.dot(axis))));
  return new THREE.Box3(...[0, 1].map((end) => new THREE.Vector3(...ranges.map((range) => range[end]))));
}

function lookingAt(position, target, up) {
  return new THREE.Quaternion().setFromRotationMatrix(new THREE.Matrix4().lookAt(position, target, up));
}

// Frusta neither hide each other nor vanish: half the distance to the nearest camera in the median, within limits.
function frustumDepth(centers, radius) {
  const sample = centers.filter((_, i) => i % Math.ceil(centers.length / 100) === 0);
  const nearest = sample.map((a) => Math.min(...centers.filter((b) => b !== a).map((b) => a.distanceTo(b))));
  nearest.sort((a, b) => a - b);
  const typical = nearest.length > 1 ? nearest[Math.floor(nearest.length / 2)] : Infinity;
  return Math.min(Math.max(0.5 * typical, 0.015 * radius), 0.12 * radius);
}
