// How one moves: orbiting, walking, and flights to a pose.

import * as THREE from 'three';
import { OrbitControls } from 'three/addons/controls/OrbitControls.js';

const FLIGHT_MS = 700;
const TURN_RAD_PER_PX = 0.004;
const STEPS = { w: [0, 1], s: [0, -1], a: [-1, 0], d: [1, 0], arrowup: [0, 1], arrowdown: [0, -1], arrowleft: [-1, 0], arrowright: [1, 0] };

export class Moving {
  // `changed` is called whenever the picture has to be drawn again; `left` when the user moves away from a photo.
  constructor(camera, canvas, changed, left) {
    this.camera = camera;
    this.canvas = canvas;
    this.changed = changed;
    this.left = left;
    this.radius = 1; // of the scene: sets the pace
    this.mode = 'orbit';
    this.keys = new Set();
    this.orbit = new OrbitControls(camera, canvas);
    this.orbit.zoomToCursor = true;
    this.orbit.addEventListener('change', () => {
      this.interrupted(); // by a drag or the wheel, not by a click
      changed();
    });
    canvas.addEventListener('pointermove', (event) => this.looked(event));
    canvas.addEventListener('pointerup', () => (this.seenAt = null));
    canvas.addEventListener('wheel', (event) => this.rolled(event), { passive: false });
    window.addEventListener('keydown', (event) => this.pressed(event));
    window.addEventListener('keyup', (event) => this.keys.delete(event.key.toLowerCase()));
    window.addEventListener('blur', () => this.keys.clear());
  }

  setMode(mode) {
    this.interrupted();
    this.mode = mode;
    this.orbit.enabled = mode === 'orbit';
    if (mode === 'orbit') this.aimAhead(this.orbit.target.distanceTo(this.camera.position));
  }

  // Whether the cameras of the scene agree with the clock: a frame has to be drawn.
  get isBusy() {
    return Boolean(this.flight) || this.keys.size > 0 || Boolean(this.pushed);
  }

  // Orbit about what is `distance` ahead.
  aimAhead(distance) {
    const ahead = this.camera.getWorldDirection(new THREE.Vector3());
    this.orbit.target.copy(this.camera.position).addScaledVector(ahead, distance || this.radius);
  }

  // Fly to a position and quaternion; `target` is what is orbited from there, `field` the vertical angle in degrees.
  flyTo({ position, quaternion, target, field, arrived }, instantly = false) {
    const from = { position: this.camera.position.clone(), quaternion: this.camera.quaternion.clone(), field: this.camera.fov };
    this.flight = { from, to: { position, quaternion, field }, target, arrived, start: performance.now() };
    if (instantly) this.flight.start = -Infinity;
    this.step(performance.now());
    this.changed();
  }

  // To be called for every frame that is drawn, with the time in milliseconds.
  step(now) {
    if (this.flight) this.fly(now);
    const seconds = Math.min((now - (this.last ?? now)) / 1000, 0.1);
    this.last = this.isBusy ? now : undefined;
    if (this.mode === 'walk') this.walk(seconds);
  }

  fly(now) {
    const { from, to, target, arrived, start } = this.flight;
    const share = Math.min((now - start) / FLIGHT_MS, 1);
    const eased = share * share * (3 - 2 * share);
    this.camera.position.lerpVectors(from.position, to.position, eased);
    this.camera.quaternion.slerpQuaternions(from.quaternion, to.quaternion, eased);
    this.camera.fov = from.field + (to.field - from.field) * eased;
    this.camera.updateProjectionMatrix();
    if (share < 1) return;
    this.flight = null;
    this.orbit.target.copy(target);
    arrived?.();
  }

  interrupted() {
    this.flight = null;
    this.left();
  }

  looked(event) {
    const [dx, dy] = this.seenAt ? [event.clientX - this.seenAt[0], event.clientY - this.seenAt[1]] : [0, 0];
    this.seenAt = event.buttons ? [event.clientX, event.clientY] : null; // movementX is not there for fingers
    if (this.mode !== 'walk' || !event.buttons) return;
    this.interrupted();
    const { up } = this.camera;
    const right = new THREE.Vector3(1, 0, 0).applyQuaternion(this.camera.quaternion);
    const turn = new THREE.Quaternion().setFromAxisAngle(up, dx * TURN_RAD_PER_PX);
    const nod = new THREE.Quaternion().setFromAxisAngle(right, dy * TURN_RAD_PER_PX);
    const ahead = this.camera.getWorldDirection(new THREE.Vector3()).applyQuaternion(nod);
    if (Math.abs(ahead.dot(up)) > 0.99) ahead.applyQuaternion(nod.invert());
    ahead.applyQuaternion(turn);
    this.camera.lookAt(ahead.add(this.camera.position));
    this.changed();
  }

  rolled(event) {
    if (this.mode !== 'walk') return;
    event.preventDefault();
    this.interrupted();
    this.go([0, -Math.sign(event.deltaY)], 0.2);
    this.changed();
  }

  pressed(event) {
    const key = event.key.toLowerCase();
    const typing = event.target.closest?.('input, textarea, button, select');
    if (this.mode !== 'walk' || !(key in STEPS) || typing || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.interrupted();
    this.keys.add(key);
    this.changed();
  }

  // Buttons on the screen do what keys do; null stops.
  push(direction) {
    this.interrupted();
    this.pushed = direction;
    this.changed();
  }

  walk(seconds) {
    for (const key of this.keys) this.go(STEPS[key], seconds);
    if (this.pushed) this.go(this.pushed, seconds);
  }

  go([right, ahead], seconds) {
    const pace = 0.6 * this.radius * seconds;
    const step = new THREE.Vector3(right * pace, 0, -ahead * pace).applyQuaternion(this.camera.quaternion);
    this.camera.position.add(step);
  }
}
