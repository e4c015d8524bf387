// A box in the axes of the scene; what is outside is not shown.

import * as THREE from 'three';

const AXES = ['x', 'y', 'z'];

export class ClipBox {
  constructor(root, origin) {
    this.origin = origin;
    this.bounds = new THREE.Box3(new THREE.Vector3(-1, -1, -1), new THREE.Vector3(1, 1, 1));
    this.box = this.bounds.clone();
    this.isOn = false;
    this.helper = new THREE.Box3Helper(this.box, '#38bdf8');
    this.helper.visible = false;
    root.add(this.helper);
    this.planes = AXES.flatMap((_, axis) =>
      [1, -1].map((sign) => new THREE.Plane(new THREE.Vector3().setComponent(axis, sign), 0)),
    );
  }

  // The box of all there is, in which the sliders move.
  setBounds(bounds) {
    const untouched = this.box.equals(this.bounds);
    this.bounds.copy(bounds);
    if (untouched) this.box.copy(bounds);
  }

  setOn(isOn) {
    this.isOn = isOn;
    this.helper.visible = isOn;
  }

  // `side` 0 is the lower and 1 the upper end of an axis, `share` where it is in the bounds.
  move(axis, side, share) {
    const low = this.bounds.min.getComponent(axis);
    const size = this.bounds.max.getComponent(axis) - low;
    const [first, second] = side === 0 ? [this.box.min, this.box.max] : [this.box.max, this.box.min];
    first.setComponent(axis, low + share * size);
    const wrong = side === 0 ? first.getComponent(axis) > second.getComponent(axis) : first.getComponent(axis) < second.getComponent(axis);
    if (wrong) second.setComponent(axis, first.getComponent(axis));
  }

  shares() {
    const size = this.bounds.getSize(new THREE.Vector3());
    const share = (corner, axis) =>
      (corner.getComponent(axis) - this.bounds.min.getComponent(axis)) / Math.max(size.getComponent(axis), 1e-12);
    return AXES.map((_, axis) => [share(this.box.min, axis), share(this.box.max, axis)]);
  }

  reset() {
    this.box.copy(this.bounds);
  }

  // The planes of the renderer.
  active() {
    if (!this.isOn) return [];
    this.planes.forEach((plane, number) => {
      const axis = Math.floor(number / 2);
      const [sign, corner] = number % 2 === 0 ? [-1, this.box.min] : [1, this.box.max];
      plane.constant = sign * corner.getComponent(axis);
    });
    return this.planes;
  }

  hides(point) {
    return this.isOn && !this.box.containsPoint(point);
  }

  // x0,y0,z0,x1,y1,z1 in the axes of the scene, with the digits that its size deserves.
  text() {
    const size = Math.max(...this.bounds.getSize(new THREE.Vector3()).toArray());
    const digits = Math.max(0, 4 - Math.ceil(Math.log10(Math.max(size, 1e-9))));
    const numbers = [this.box.min, this.box.max].flatMap((corner) => corner.toArray());
    return numbers.map((value, i) => (value + this.origin[i % 3]).toFixed(Math.min(digits, 9))).join(',');
  }
}
