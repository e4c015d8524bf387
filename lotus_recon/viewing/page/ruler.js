// Distances between two places that were clicked on, and what they say of the scale of the scene.

import * as THREE from 'three';

const P90_SIGMAS = 1.645; // a tenth of normal errors are larger than so many standard deviations

export class Ruler {
  constructor(root, labels) {
    this.root = root;
    this.labels = labels; // the element that labels are put into
    this.measures = [];
    this.start = null;
  }

  // A place on the surface and its standard deviation (null: unknown); every second one ends a measure. Returns its
  // length, or null.
  add(point, sigma) {
    this.root.add(this.dot(point));
    if (!this.start) {
      this.start = { point: point.clone(), sigma };
      return null;
    }
    const [from, to] = [this.start.point, point.clone()];
    // Nine lengths of ten are off by less; null where either end may be off by anything.
    const bar = this.start.sigma === null || sigma === null ? null : P90_SIGMAS * Math.hypot(this.start.sigma, sigma);
    this.start = null;
    const geometry = new THREE.BufferGeometry().setFromPoints([from, to]);
    const line = new THREE.Line(geometry, new THREE.LineBasicMaterial({ color: '#facc15', depthTest: false, transparent: true }));
    line.renderOrder = 2;
    this.root.add(line);
    const label = document.createElement('div');
    label.className = 'length';
    this.labels.append(label);
    const length = from.distanceTo(to);
    this.measures.push({ length, bar, middle: from.clone().add(to).multiplyScalar(0.5), label });
    return length;
  }

  dot(point) {
    const geometry = new THREE.BufferGeometry().setFromPoints([point]);
    const material = new THREE.PointsMaterial({ color: '#facc15', size: 9, sizeAttenuation: false, depthTest: false, transparent: true });
    const dot = new THREE.Points(geometry, material);
    dot.renderOrder = 2;
    return dot;
  }

  get last() {
    return this.measures.at(-1)?.length ?? null;
  }

  get lastBar() {
    return this.measures.at(-1)?.bar ?? null;
  }

  clear() {
    for (const child of this.root.children) {
      child.geometry.dispose();
      child.material.dispose();
    }
    this.root.clear();
    this.measures.forEach((measure) => measure.label.remove());
    this.measures = [];
    this.start = null;
  }

  // Put the labels beside their lines. `written` gives the text of a length and its bar.
  place(camera, width, height, written) {
    const point = new THREE.Vector3();
    for (const { length, bar, middle, label } of this.measures) {
      point.copy(middle).project(camera);
      label.hidden = Math.abs(point.z) > 1;
      label.style.left = `${(point.x * 0.5 + 0.5) * width}px`;
      label.style.top = `${(0.5 - point.y * 0.5) * height}px`;
      label.textContent = written(length, bar);
    }
  }
}

// Three or four digits: 0.01234, 1.234, 123.4.
export function digits(value) {
  if (!Number.isFinite(value) || value === 0) return '0';
  const decimals = Math.max(0, Math.min(9, 3 - Math.floor(Math.log10(Math.abs(value)))));
  return value.toFixed(decimals);
}

// 1.83 ± 0.02: as many decimals as the error has, which has one digit, or two that begin with a 1.
export function withError(value, error) {
  const power = Math.floor(Math.log10(error));
  const decimals = Math.max(0, Math.min(9, -power + (error / 10 ** power < 1.95 ? 1 : 0)));
  return `${value.toFixed(decimals)} \u00b1 ${error.toFixed(decimals)}`;
}

// The value of --scale-from for a scene of which one unit is `metres` long: the two cameras that are farthest apart,
// among those whose names its syntax can hold. Null where there are none.
export function scaleFrom(views, metres) {
  const usable = views.filter((view) => !view.name.includes(',') && view.name.trim() === view.name);
  const center = (view) => new THREE.Vector3(view.world_from_cam[3], view.world_from_cam[7], view.world_from_cam[11]);
  const first = usable[0] && farthest(usable, center(usable[0]), center);
  const second = first && farthest(usable, center(first), center);
  const distance = first ? center(first).distanceTo(center(second)) : 0;
  return distance > 0 ? `${first.name},${second.name}=${Number((distance * metres).toPrecision(6))}` : null;
}

function farthest(views, from, center) {
  return views.reduce((best, view) => (center(view).distanceTo(from) > center(best).distanceTo(from) ? view : best));
}

// As a word of a POSIX shell.
export function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
