// The photo that was chosen, with its maps and figures, and the strip of all photos.

import { addressOf } from './parts.js';

const byId = (id) => document.getElementById(id);

export class Panel {
  // `choose(index)` is called for a photo that was asked for; `blend(share)` when it is to be laid over the scene.
  constructor({ choose, close, blend }) {
    this.choose = choose;
    this.map = 'photo';
    byId('panel-close').onclick = close;
    byId('panel-before').onclick = () => this.step(-1);
    byId('panel-next').onclick = () => this.step(1);
    byId('blend').oninput = (event) => blend(Number(event.target.value));
    this.chosen = null;
    this.views = [];
  }

  update(views, atlas, versions) {
    this.views = views;
    this.versions = versions;
    byId('strip').replaceChildren(...views.map((view, index) => this.thumbnail(view, index, atlas)));
    byId('strip').hidden = views.length < 2;
    if (this.chosen !== null) this.show(this.chosen);
  }

  thumbnail(view, index, atlas) {
    const button = document.createElement('button');
    button.className = 'thumb';
    button.title = view.name;
    button.setAttribute('aria-label', view.name);
    if (atlas.address) {
      const [column, row] = [index % atlas.columns, Math.floor(index / atlas.columns)];
      const at = (place, count) => (count > 1 ? (100 * place) / (count - 1) : 0);
      button.style.backgroundImage = `url("${atlas.address}")`;
      button.style.backgroundSize = `${100 * atlas.columns}% ${100 * atlas.rows}%`;
      button.style.backgroundPosition = `${at(column, atlas.columns)}% ${at(row, atlas.rows)}%`;
    }
    button.style.aspectRatio = Math.min(Math.max(view.width / view.height, 0.5), 2);
    button.onclick = () => this.choose(index);
    return button;
  }

  step(by) {
    if (this.views.length) this.choose((this.chosen + by + this.views.length) % this.views.length);
  }

  show(index) {
    this.chosen = index;
    const view = this.views[index];
    byId('panel').hidden = false;
    for (const id of ['panel-before', 'panel-next']) byId(id).hidden = this.views.length < 2;
    byId('panel-name').textContent = view.name;
    byId('panel-place').textContent = `${index + 1} of ${this.views.length}`;
    const names = Object.keys(view.images);
    if (!names.includes(this.map)) this.map = names[0];
    byId('panel-tabs').replaceChildren(...names.map((name) => this.tab(name, view)));
    this.showMap(view);
    byId('panel-facts').replaceChildren(...Object.entries(view.facts).flatMap(([key, value]) => [cell('dt', key), cell('dd', value)]));
    for (const [number, button] of [...byId('strip').children].entries()) button.classList.toggle('chosen', number === index);
    byId('strip').children[index]?.scrollIntoView({ block: 'nearest', inline: 'center' });
  }

  tab(name, view) {
    const button = document.createElement('button');
    button.textContent = name;
    button.dataset.map = name;
    button.onclick = () => {
      this.map = name;
      this.showMap(view);
    };
    return button;
  }

  showMap(view) {
    for (const button of byId('panel-tabs').children) button.setAttribute('aria-pressed', String(button.dataset.map === this.map));
    const image = view.images[this.map];
    byId('panel-image').hidden = !image;
    if (!image) return;
    byId('panel-image').src = this.address(image.part);
    byId('panel-image').alt = `${this.map} of ${view.name}`;
    byId('panel-legend').textContent = image.legend;
    byId('overlay').src = byId('panel-image').src;
  }

  address(part) {
    return addressOf(part, this.versions[part]);
  }

  hide() {
    this.chosen = null;
    byId('panel').hidden = true;
    for (const button of byId('strip').children) button.classList.remove('chosen');
  }
}

function cell(kind, text) {
  const element = document.createElement(kind);
  element.textContent = text;
  return element;
}
