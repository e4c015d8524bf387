#!/usr/bin/env bash
# Puts lotus_recon/viewing/page/*.js and three.js into one classic script, lotus_recon/viewing/bundle/viewer.js, with
# three.js's licence on top. Needs node and npm; run it after a change of the sources, and commit what it writes.
set -euo pipefail

cd "$(dirname "$0")/.."
page=lotus_recon/viewing/page
out=lotus_recon/viewing/bundle/viewer.js
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$page"/*.js "$page"/package.json "$page"/package-lock.json "$work"
(cd "$work" && npm ci --silent --no-audit --no-fund)
# The test of the page compares this with the sources, without node.
sources=$(cat $(ls "$page"/*.js "$page"/package-lock.json | LC_ALL=C sort) | sha256sum | cut -d ' ' -f 1)
{
    printf '/* sources: %s\nthree.js:\n\n' "$sources"
    cat "$work/node_modules/three/LICENSE"
    printf '\n*/\n'
    (cd "$work" && npx esbuild main.js --bundle --minify --format=iife --target=es2022 --charset=ascii --legal-comments=none)
} >"$work/viewer.js"
mv "$work/viewer.js" "$out"
cp "$work/node_modules/three/LICENSE" "$(dirname "$out")/LICENSE.three.txt"
echo "$out: $(wc -c <"$out") bytes"
