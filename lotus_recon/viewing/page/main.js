// The page: reads what it is about, fills the scene, and connects buttons with it.

import * as THREE from 'three';
import { Panel } from './panel.js';
import { addressOf, bytesOf } from './parts.js';
import { digits, quoted, scaleFrom, withError } from './ruler.js';
import { Stage } from './stage.js';
import { LAYERS, sigmaAt } from './surface.js';

const CLICK_PX = 6; // a pointer that moved less than this between down and up was a click
const POLL_MS = 2000;
const byId = (id) => document.getElementById(id);

class Page {
  constructor(manifest) {
    this.manifest = manifest;
    this.shown = {}; // versions of the parts that are shown
    this.metresPerUnit = null;
    this.isRuling = false;
    this.stage = new Stage(byId('canvas'), byId('labels'), manifest);
    this.stage.freePart = () => freePart(byId('canvas'));
    this.stage.leftPhoto = () => this.blend(0);
    this.stage.written = (length, bar) => this.withUnit(length, bar);
    this.panel = new Panel({
      choose: (index) => this.choose(index),
      close: () => this.choose(null),
      blend: (share) => this.blend(share),
    });
    connect(this);
  }

  // Show a manifest: what is new or has another version than before.
  async update(manifest) {
    const frame = ({ up, origin }) => [...up, ...origin].join();
    if (frame(manifest) !== frame(this.manifest)) location.reload(); // a run knows what is up once it has cameras
    this.manifest = manifest;
    byId('summary').textContent = manifest.summary.join(' · ');
    byId('progress').textContent = manifest.progress ?? '';
    const { atlas, views } = manifest;
    const isFirst = !this.stage.views;
    if (isFirst || this.isNew('atlas') || views.length !== this.stage.views.length) {
      const address = atlas.part ? addressOf(atlas.part, manifest.parts[atlas.part]) : null;
      const image = address ? await textureOf(address) : null;
      this.stage.setViews(views, { ...atlas, image });
      this.panel.update(views, { ...atlas, address }, manifest.parts);
      this.shown.atlas = manifest.parts.atlas;
    }
    if (isFirst && !manifest.layers.mesh) this.stage.visible.cloud = this.stage.visible.sparse = true;
    for (const name of ['mesh', 'cloud', 'sparse']) {
      const layer = manifest.layers[name];
      if (!layer || !this.isNew(layer.part)) continue;
      const wasEmpty = !this.stage.layers.mesh && !this.stage.layers.cloud && !this.stage.layers.sparse;
      await this.stage.setLayer(name, await bytesOf(layer.part, manifest.parts[layer.part]), layer.spacing);
      this.shown[layer.part] = manifest.parts[layer.part];
      if (wasEmpty || (name === 'mesh' && !this.hasMoved)) this.stage.home(true);
      if (name === 'mesh') this.firstMesh();
      this.stage.draw();
      this.firstFrame ??= performance.now(); // milliseconds since the page was opened
      document.body.dataset.ready = [...(document.body.dataset.ready ?? '').split(' ').filter(Boolean), name].join(' ');
    }
    refresh(this);
    this.stage.redraw();
  }

  isNew(part) {
    return this.manifest.parts[part] !== undefined && this.manifest.parts[part] !== this.shown[part];
  }

  // A live scene shows points until there is a mesh, and then the mesh.
  firstMesh() {
    if (this.hadMesh) return;
    this.hadMesh = true;
    this.stage.visible.cloud = this.stage.visible.sparse = false;
    this.stage.showLayers();
  }

  choose(index) {
    this.blend(0);
    this.stage.cameras.choose(index);
    if (index === null) {
      this.panel.hide();
      this.stage.redraw();
      return;
    }
    this.panel.show(index);
    this.stage.flyToView(this.manifest.views[index]);
  }

  // Lay the photo over the scene, seen through its lens.
  blend(share) {
    const overlay = byId('overlay');
    byId('blend').value = share;
    overlay.hidden = share === 0;
    overlay.style.opacity = share;
    if (share === 0 || this.panel.chosen === null) return;
    const view = this.manifest.views[this.panel.chosen];
    if (this.stage.photo !== view) this.stage.flyToView(view, true);
    const [left, top, width, height] = this.stage.frameOf(view);
    Object.assign(overlay.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
  }

  // A length, with how far nine of ten such lengths are off at most, where that is known.
  withUnit(length, bar) {
    const scale = this.metresPerUnit ?? 1;
    const unit = this.metresPerUnit === null ? this.manifest.unit : 'm';
    return `${bar === null ? digits(length * scale) : withError(length * scale, bar * scale)} ${unit}`;
  }

  clicked(x, y) {
    if (this.isRuling) {
      const hit = this.stage.hitAt(x, y);
      if (hit) this.stage.ruler.add(hit.point, sigmaAt(hit));
      refresh(this);
      this.stage.redraw();
      return;
    }
    const index = this.stage.cameraAt(x, y);
    if (index !== null) this.choose(index);
  }

  // Turn about what was double-clicked.
  focus(x, y) {
    const target = this.stage.hitAt(x, y)?.point;
    if (!target || this.isRuling) return;
    const camera = this.stage.camera;
    const position = camera.position.clone().lerp(target, 0.35);
    const quaternion = new THREE.Quaternion().setFromRotationMatrix(new THREE.Matrix4().lookAt(position, target, camera.up));
    this.stage.moving.flyTo({ position, quaternion, target, field: camera.fov });
  }

  // "This is 1.20 m", of the last measure: what the scene is to be scaled by.
  calibrate(metres) {
    const length = this.stage.ruler.last;
    this.metresPerUnit = metres > 0 && length ? metres / length : null;
    refresh(this);
    this.stage.redraw();
  }

  calibration() {
    const { manifest, metresPerUnit } = this;
    if (metresPerUnit === null) return '';
    if (manifest.scalable) {
      const value = scaleFrom(manifest.views, metresPerUnit);
      if (value) return `--scale-from ${quoted(value)}`;
    }
    return `1 ${manifest.unit} = ${digits(metresPerUnit)} m`;
  }

  async screenshot() {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(await this.stage.picture());
    link.download = 'view.png';
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
}

async function textureOf(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  const texture = new THREE.Texture(image);
  texture.generateMipmaps = false;
  texture.minFilter = THREE.LinearFilter;
  texture.needsUpdate = true;
  return texture;
}

// Left, top, width, height of what the header, tools, panel and strip leave of the canvas.
function freePart(canvas) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const boxes = ['tools', 'panel', 'strip'].map((id) => byId(id).getBoundingClientRect());
  const [tools, panel, strip] = boxes.map((box) => (box.width ? box : null));
  const bottom = (strip?.top ?? height) - 8;
  if (window.matchMedia('(max-width: 760px)').matches) return [0, 64, width, Math.max((panel?.top ?? bottom) - 72, 80)];
  const left = (tools?.right ?? 0) + 8;
  return [left, 8, Math.max((panel?.left ?? width) - 8 - left, 80), Math.max(bottom - 16, 80)];
}

// Listeners, once.
function connect(page) {
  const { stage } = page;
  let down = null;
  const place = (event) => {
    const box = byId('canvas').getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  byId('canvas').addEventListener('pointerdown', (event) => {
    down = event.isPrimary ? place(event) : null;
    page.hasMoved = true;
  });
  byId('canvas').addEventListener('pointerup', (event) => {
    const [x, y] = place(event);
    if (down && Math.hypot(x - down[0], y - down[1]) < CLICK_PX) page.clicked(x, y);
    down = null;
  });
  byId('canvas').addEventListener('dblclick', (event) => page.focus(...place(event)));
  for (const layer of LAYERS) {
    byId(`layer-${layer}`).onclick = () => {
      page.layer = layer;
      stage.shading.show(layer);
      refresh(page);
      stage.redraw();
    };
  }
  for (const name of ['mesh', 'cloud', 'sparse', 'cameras']) {
    byId(`show-${name}`).onchange = (event) => {
      stage.visible[name] = event.target.checked;
      stage.showLayers();
    };
  }
  byId('home').onclick = () => stage.home();
  byId('walk').onclick = () => {
    stage.moving.setMode(stage.moving.mode === 'walk' ? 'orbit' : 'walk');
    refresh(page);
  };
  connectPad(stage.moving);
  byId('ruler').onclick = () => {
    page.isRuling = !page.isRuling;
    refresh(page);
  };
  byId('ruler-clear').onclick = () => {
    stage.ruler.clear();
    page.calibrate(0);
  };
  byId('known').oninput = (event) => page.calibrate(Number(event.target.value));
  byId('copy-scale').onclick = () => copy(byId('scale').textContent);
  byId('clip').onclick = () => {
    stage.clip.setOn(!stage.clip.isOn);
    refresh(page);
    stage.redraw();
  };
  for (const [axis, name] of ['x', 'y', 'z'].entries()) {
    for (const side of [0, 1]) {
      byId(`clip-${name}${side}`).oninput = (event) => {
        stage.clip.move(axis, side, Number(event.target.value));
        refresh(page);
        stage.redraw();
      };
    }
  }
  byId('clip-reset').onclick = () => {
    stage.clip.reset();
    refresh(page);
    stage.redraw();
  };
  byId('copy-clip').onclick = () => copy(byId('clip-text').textContent);
  byId('screenshot').onclick = () => page.screenshot();
  byId('menu').onclick = () => byId('tools').classList.toggle('open');
}

// The arrows for walking without a keyboard.
function connectPad(moving) {
  for (const button of byId('pad').children) {
    const direction = button.dataset.direction.split(',').map(Number);
    button.onpointerdown = () => moving.push(direction);
    button.onpointerup = button.onpointerleave = button.onpointercancel = () => moving.push(null);
  }
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say('copied');
  } catch {
    say(text); // no clipboard without permission: at least it can be read
  }
}

function say(text) {
  byId('message').textContent = text;
  byId('message').hidden = false;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (byId('message').hidden = true), 2500);
}

// Buttons and texts as the state is.
function refresh(page) {
  const { stage, manifest } = page;
  const layer = page.layer ?? 'colour';
  for (const name of LAYERS) byId(`layer-${name}`).setAttribute('aria-pressed', String(name === layer));
  byId('layer-error').disabled = !stage.hasErrors;
  for (const name of ['mesh', 'cloud', 'sparse']) {
    byId(`show-${name}`).checked = stage.visible[name];
    byId(`show-${name}`).disabled = !manifest.layers[name];
  }
  const isWalking = stage.moving.mode === 'walk';
  byId('walk').setAttribute('aria-pressed', String(isWalking));
  byId('pad').hidden = !isWalking;
  byId('ruler').setAttribute('aria-pressed', String(page.isRuling));
  byId('ruler-box').hidden = !page.isRuling;
  document.body.classList.toggle('ruling', page.isRuling);
  const { last } = stage.ruler;
  byId('measured').textContent = last === null ? 'Click two places on the surface.' : page.withUnit(last, stage.ruler.lastBar);
  byId('bar-hint').hidden = stage.ruler.lastBar === null;
  byId('calibrate').hidden = last === null;
  byId('scale').textContent = page.calibration();
  byId('copy-scale').hidden = page.metresPerUnit === null;
  byId('scale-hint').textContent = page.metresPerUnit !== null ? manifest.scale_hint : '';
  byId('clip').setAttribute('aria-pressed', String(stage.clip.isOn));
  byId('clip-box').hidden = !stage.clip.isOn;
  byId('clip-text').textContent = stage.clip.text();
  stage.clip.shares().forEach((shares, axis) => shares.forEach((share, side) => (byId(`clip-${'xyz'[axis]}${side}`).value = share)));
  showLegend(page, layer);
}

function showLegend({ stage, manifest }, layer) {
  const colors = manifest.palettes[layer];
  byId('legend').hidden = !colors;
  if (!colors) return;
  byId('legend-bar').style.background = `linear-gradient(to right, ${colors.map((rgb) => `rgb(${rgb.join(',')})`).join(',')})`;
  const [name, ...ends] = legendOf(stage.shading.shared, manifest, layer);
  byId('legend-low').textContent = ends[0];
  byId('legend-high').textContent = ends[1];
  byId('legend-name').textContent = name;
}

// What a layer shows, with its unit, and the values at both ends of its colours.
function legendOf(shared, manifest, layer) {
  if (layer === 'height') {
    const offset = manifest.origin.reduce((sum, value, axis) => sum + value * manifest.up[axis], 0);
    return [`height, ${manifest.unit}`, ...shared.heights.value.toArray().map((value) => digits(value + offset))];
  }
  if (layer === 'error') {
    const [unit, factor] = manifest.unit === 'm' ? ['cm', 100] : [manifest.unit, 1];
    const ends = shared.errors.value.toArray().map((value) => Number((value * factor).toPrecision(2)));
    return [`error, one standard deviation in ${unit}, logarithmic; grey: unknown`, ...ends];
  }
  return ['confidence', '0', '1'];
}

async function live(page) {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    try {
      const answer = await fetch('scene.json', { cache: 'no-store' });
      if (answer.ok) await page.update(await answer.json());
      byId('lost').hidden = answer.ok;
    } catch {
      byId('lost').hidden = false;
    }
  }
}

const manifest = JSON.parse(byId('manifest').textContent);
try {
  const page = new Page(manifest);
  window.page = page;
  page.update(manifest).then(() => {
    document.body.dataset.done = 'yes';
    if (manifest.live) live(page);
  });
} catch (error) {
  say(`This browser cannot show it in 3D (WebGL 2 is needed): ${error.message}`);
}
