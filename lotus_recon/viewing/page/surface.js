// Meshes and point clouds: from GLB to objects whose one material shows any of the layers.

import * as THREE from 'three';
import { GLTFLoader } from 'three/addons/loaders/GLTFLoader.js';

export const LAYERS = ['colour', 'grey', 'normals', 'height', 'confidence', 'error'];

const VERTEX = `
attribute vec4 _srgb_confidence;
attribute float _sigma;
uniform float spacing, pixelsPerUnit;
varying vec4 vTint;
varying float vSigma, vIsKnown;
varying vec2 vUv;
varying vec3 vNormalInWorld, vWorld;
#include <clipping_planes_pars_vertex>
void main() {
  vTint = _srgb_confidence;
  vSigma = _sigma;
  vIsKnown = _sigma > 0.0 ? 1.0 : 0.0;
  vUv = uv;
  vec4 world = modelMatrix * vec4(position, 1.0);
  vec4 mvPosition = viewMatrix * world;
  vWorld = world.xyz;
  vNormalInWorld = mat3(modelMatrix) * normal;  // the nodes scale evenly
  gl_Position = projectionMatrix * mvPosition;
  gl_PointSize = clamp(1.6 * spacing * pixelsPerUnit / max(-mvPosition.z, 1e-6), 1.5, 14.0);
  #include <clipping_planes_vertex>
}`;

const FRAGMENT = `
uniform int layer;
uniform bool textured;
uniform sampler2D map, heightColors, confidenceColors, errorColors;
uniform vec3 up;
uniform vec2 heights, errors;
varying vec4 vTint;
varying float vSigma, vIsKnown;
varying vec2 vUv;
varying vec3 vNormalInWorld, vWorld;
#include <clipping_planes_pars_fragment>
vec3 lit(vec3 normal, vec3 toEye) {
  float facing = abs(dot(normal, toEye));
  float fromAbove = max(dot(normal, normalize(up + 0.4 * toEye)), 0.0);
  return (0.16 + 0.5 * facing + 0.3 * fromAbove) * vec3(0.97, 0.98, 1.0);
}
void main() {
  #include <clipping_planes_fragment>
  vec3 normal = normalize(vNormalInWorld + vec3(1e-9));
  vec3 toEye = normalize(cameraPosition - vWorld);
  vec3 color = textured ? texture2D(map, vUv).rgb : vTint.rgb;
  if (layer == 1) color = lit(normal, toEye);
  if (layer == 2) color = 0.5 + 0.5 * normal;
  if (layer == 3) {
    float share = (dot(vWorld, up) - heights.x) / max(heights.y - heights.x, 1e-9);
    color = texture2D(heightColors, vec2(clamp(share, 0.0, 1.0), 0.5)).rgb * (0.55 + 0.45 * lit(normal, toEye));
  }
  if (layer == 4) color = texture2D(confidenceColors, vec2(vTint.a, 0.5)).rgb;
  if (layer == 5) {
    float share = log(max(vSigma, 1e-30) / errors.x) / max(log(errors.y / errors.x), 1e-9);
    color = vIsKnown < 0.999 ? vec3(0.45) : texture2D(errorColors, vec2(clamp(share, 0.0, 1.0), 0.5)).rgb;
  }
  gl_FragColor = vec4(color, 1.0);
}`;

// What the materials of a scene share: the layer, the ranges of heights and errors, colours.
export class Shading {
  constructor(up, palettes) {
    this.shared = {
      layer: { value: 0 },
      up: { value: up },
      heights: { value: new THREE.Vector2(0, 1) },
      heightColors: { value: ramp(palettes.height) },
      confidenceColors: { value: ramp(palettes.confidence) },
      errors: { value: new THREE.Vector2(1, 1) },
      errorColors: { value: ramp(palettes.error) },
      pixelsPerUnit: { value: 1 },
    };
  }

  show(layer) {
    this.shared.layer.value = LAYERS.indexOf(layer);
  }

  material(map, spacing = 0) {
    return new THREE.ShaderMaterial({
      vertexShader: VERTEX,
      fragmentShader: FRAGMENT,
      clipping: true,
      uniforms: { ...this.shared, map: { value: map }, textured: { value: Boolean(map) }, spacing: { value: spacing } },
    });
  }
}

// A texture of one row from colours [[r, g, b], ...] of 8 bits.
function ramp(colors) {
  const data = new Uint8Array(colors.flatMap(([r, g, b]) => [r, g, b, 255]));
  const texture = new THREE.DataTexture(data, colors.length, 1);
  texture.minFilter = texture.magFilter = THREE.LinearFilter;
  texture.needsUpdate = true;
  return texture;
}

// The objects of a GLB (Uint8Array), a mesh or points, with the material of the layers.
export async function loadGlb(data, shading, spacing) {
  const root = (await new GLTFLoader().parseAsync(data.buffer, '')).scene;
  root.traverse((object) => {
    if (!object.isMesh && !object.isPoints) return;
    const map = object.material.map ?? null;
    if (map) {
      map.colorSpace = THREE.NoColorSpace; // photos are shown as they are: no conversion there, none back
      map.anisotropy = 4;
    }
    object.material = shading.material(map, spacing);
  });
  root.updateMatrixWorld(true);
  return root;
}

// Some of the vertices of an object, in world axes.
export function verticesOf(root) {
  const points = [];
  root.traverse((object) => {
    const position = object.geometry?.getAttribute('position');
    const step = position ? Math.max(1, Math.floor(position.count / 20000)) : 1;
    for (let i = 0; i < (position?.count ?? 0); i += step) {
      points.push(new THREE.Vector3().fromBufferAttribute(position, i).applyMatrix4(object.matrixWorld));
    }
  });
  return points;
}

// The standard deviations of the places of vertices of an object, of those where they are known.
export function sigmasOf(root) {
  const known = [];
  root?.traverse((object) => {
    const sigma = object.geometry?.getAttribute('_sigma');
    for (let i = 0; i < (sigma?.count ?? 0); i++) if (sigma.getX(i) > 0) known.push(sigma.getX(i));
  });
  return known;
}

// That of the vertex nearest to where a ray met a surface; null where it is unknown, and on points.
export function sigmaAt({ object, face, point }) {
  const { _sigma: sigma, position } = object.geometry.attributes;
  if (!face || !sigma) return null;
  const away = (corner) => new THREE.Vector3().fromBufferAttribute(position, corner).applyMatrix4(object.matrixWorld).distanceTo(point);
  const nearest = [face.a, face.b, face.c].reduce((best, corner) => (away(corner) < away(best) ? corner : best));
  return sigma.getX(nearest) > 0 ? sigma.getX(nearest) : null;
}

// The 2nd and 98th percentile: what lies apart does not count.
export function rangeOf(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return [0.02, 0.98].map((share) => sorted[Math.floor(share * (sorted.length - 1))]);
}

export function dispose(root) {
  root.traverse((object) => {
    object.geometry?.dispose();
    object.material?.uniforms?.map?.value?.dispose();
    object.material?.dispose();
  });
}
