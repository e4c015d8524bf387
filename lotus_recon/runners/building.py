"""From what a manifest says of a scene to a SceneJob: defaults, presets, paths, options."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from lotus_recon.config import load_config, nearest, overlaid, unknown_key
from lotus_recon.errors import InputError
from lotus_recon.frames.config import VIDEO_SUFFIXES
from lotus_recon.io.images import SUFFIXES, photos_below
from lotus_recon.options import leaves_of, nested
from lotus_recon.recipes.base import Recipe
from lotus_recon.recipes.registry import RECIPES, get_recipe
from lotus_recon.renamed import with_new_names
from lotus_recon.runners.jobs import SceneJob, check_name
from lotus_recon.workspace import fingerprint

PRESETS = ("fast", "default", "fine")
# What a scene may say; all but the first four also stand in ``defaults``.
SCENE_KEYS = (
    "name", "images", "video", "predictions", "poses", "masks", "intrinsics", "kind", "preset", "model", "max_frames",
    "frame_motion", "options",
)  # fmt: skip
_OF_ONE_SCENE = ("name", "images", "video")
# Those that stand for an option of the recipe, and those among them that are paths.
_OPTION_KEYS = ("predictions", "poses", "masks", "intrinsics", "model", "max_frames", "frame_motion")
_FILE_KEYS = frozenset({"predictions", "poses", "masks", "intrinsics"})


@dataclass
class Defaults:
    """What holds for every scene that does not say otherwise; ``final`` wins over the scenes too (command line)."""

    config_folder: Path  # with <kind>/<preset>.yaml
    shared: Mapping[str, Any] = field(default_factory=dict)
    final: Mapping[str, Any] = field(default_factory=dict)
    _configs: dict[str, Any] = field(default_factory=dict)  # built ones: scenes with equal options share one

    def with_manifest(self, shared: Mapping[str, Any], where: str) -> Defaults:
        """With the ``defaults`` of a manifest. Raises InputError for a key that is not one."""
        allowed = [key for key in SCENE_KEYS if key not in _OF_ONE_SCENE]
        for key in shared:
            if key not in allowed:
                raise InputError(f"{where}: unknown key {key!r}{nearest(str(key), allowed)}")
        _refuse_unknown_anywhere(shared.get("options") or {}, where)
        return replace(self, shared=shared)

    def with_final(self, final: Mapping[str, Any]) -> Defaults:
        """With what wins over manifest and scenes. Raises InputError for an option that there is not."""
        _refuse_unknown_anywhere(final.get("options") or {}, "--set")
        return replace(self, final=final)

    def config(self, kind: str, preset: str, layers: list[tuple[Mapping[str, Any], bool]]) -> Any:
        """The configuration of a kind: the preset, then the layers. What is optional may belong to the other kind."""
        key = fingerprint([kind, preset, [[dict(layer), optional] for layer, optional in layers]])
        if key not in self._configs:
            config = self._preset(kind, preset)
            for layer, optional in layers:
                part = _known_part(get_recipe(kind).config_type, layer) if optional else layer
                config = overlaid(config, part, "options")
            self._configs[key] = config
        return self._configs[key]

    def _preset(self, kind: str, preset: str) -> Any:
        key = f"{kind}/{preset}"
        if key not in self._configs:
            if preset not in PRESETS:
                raise InputError(f"preset {preset!r} is unknown; allowed: {', '.join(PRESETS)}")
            self._configs[key] = load_config(get_recipe(kind).config_type, self.config_folder / kind / f"{preset}.yaml")
        return self._configs[key]


def build_job(scene: Mapping[str, Any], defaults: Defaults, base: Path) -> SceneJob:
    """The job of one scene as a manifest says it, paths made absolute. Raises InputError for the first problem."""
    for key in scene:
        if key not in SCENE_KEYS:
            raise InputError(f"unknown key {key!r}{nearest(str(key), list(SCENE_KEYS))}")
    if not isinstance(scene.get("name"), str):
        raise InputError("needs a name (text)")
    check_name(scene["name"])
    said = {**defaults.shared, **scene, **defaults.final}
    if _names_a_video(said.get("images")) and said.get("video") is None:
        said["video"] = said.pop("images")
    images, video = _images(said, base), _video(said, base)
    if bool(images) == (video is not None):
        raise InputError("needs either images or a video")
    kind = said.get("kind") or _kind_for(images)
    recipe = get_recipe(kind)
    if video is None:
        recipe.check_images(images)
    config = defaults.config(kind, str(said.get("preset") or "default"), _layers(recipe, scene, defaults, base))
    return SceneJob(scene["name"], kind, config, images, video)


def _layers(
    recipe: Recipe, scene: Mapping[str, Any], defaults: Defaults, base: Path
) -> list[tuple[Mapping[str, Any], bool]]:
    """What is laid over the preset, from weak to strong, and whether it may be meant for the other kind."""
    levels = [(defaults.shared, True, base), (scene, False, base), (defaults.final, True, Path.cwd())]
    layers: list[tuple[Mapping[str, Any], bool]] = []
    for said, optional, folder in levels:
        options = said.get("options") or {}
        if not isinstance(options, Mapping):
            raise InputError("options must be a mapping of groups, such as {tsdf: {voxel_size: 0.01}}")
        layers += [(_with_full_paths(options, folder), optional), (_placed(recipe, said, folder, optional), False)]
    return [(layer, optional) for layer, optional in layers if layer]


def _placed(recipe: Recipe, said: Mapping[str, Any], base: Path, optional: bool) -> dict[str, Any]:
    """The keys of a scene that stand for options, as options of its kind."""
    places = recipe.places
    layer: dict[str, Any] = {}
    for key in _OPTION_KEYS:
        if said.get(key) is None:
            continue
        if key not in places:
            if optional:
                continue
            having = [other.kind for other in RECIPES.values() if key in other.places]
            raise InputError(f"{key} belongs to {', '.join(having)} scenes, and this is a {recipe.kind} one")
        value = str(_existing(said[key], base, key)) if key in _FILE_KEYS else said[key]
        group, option = places[key]
        layer.setdefault(group, {})[option] = value
        if key == "predictions" and "model" not in said:
            layer[group]["model"] = "precomputed"
    return layer


def _with_full_paths(options: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Options with the paths among them made absolute."""
    names = {"predictions", "poses", "masks", "intrinsics", "pairs"}
    return {
        group: {k: str((base / v).resolve()) if k in names and isinstance(v, str) else v for k, v in values.items()}
        if isinstance(values, Mapping)
        else values
        for group, values in options.items()
    }


def _images(said: Mapping[str, Any], base: Path) -> tuple[str, ...]:
    given = said.get("images")
    if given is None:
        return ()
    listed = given if isinstance(given, list) else [given]
    if not listed or not all(isinstance(one, str) and one for one in listed):
        raise InputError("images must be a folder, a photo, a pattern or a list of them")
    return tuple(_one_image(one, base) for one in listed)


def _one_image(given: str, base: Path) -> str:
    if "\0" in given:
        raise InputError("images has a NUL character")
    path = Path(given).expanduser()
    full = path if path.is_absolute() else base / path
    if full.is_dir():
        if not has_photos(full):
            raise InputError(f"there are no photos in {full}")
    elif full.is_file():
        if full.suffix.lower() not in SUFFIXES:
            raise InputError(f"{full} is not a photo; allowed suffixes: {', '.join(sorted(SUFFIXES))}")
    elif not (glob.has_magic(str(full)) and any(glob.iglob(str(full), recursive=True))):
        raise InputError(f"images {full} does not exist")
    return str(full)


def _names_a_video(images: Any) -> bool:
    return isinstance(images, str) and Path(images).suffix.lower() in VIDEO_SUFFIXES


def _video(said: Mapping[str, Any], base: Path) -> Path | None:
    if said.get("video") is None:
        return None
    video = _existing(said["video"], base, "video")
    if not video.is_file() or video.suffix.lower() not in VIDEO_SUFFIXES:
        raise InputError(f"video {video} is not a video file; allowed suffixes: {', '.join(sorted(VIDEO_SUFFIXES))}")
    return video


def _existing(given: Any, base: Path, what: str) -> Path:
    if not isinstance(given, str) or not given or "\0" in given:
        raise InputError(f"{what} must be a path, not {given!r}")
    path = (base / Path(given).expanduser()).resolve()
    if not path.exists():
        raise InputError(f"{what} {path} does not exist")
    return path


def _kind_for(images: tuple[str, ...]) -> str:
    """A folder of several photos is one scene; anything else is photos to be taken one by one."""
    if not images:
        return "multi_view"
    return "multi_view" if len(images) == 1 and has_photos(Path(images[0]), 2) else "single_view"


def has_photos(folder: Path, least: int = 1) -> bool:
    """Whether a folder and its sub-folders hold at least so many photos; outputs of ours are none."""
    return folder.is_dir() and len(list(islice(photos_below(folder), least))) == least


def videos_in(folder: Path) -> list[Path]:
    """Videos that lie in a folder, sorted."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)


def _known_part(config_type: type[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a kind has; the others are those of the other kind."""
    leaves = leaves_of(with_new_names(config_type, options, "options"))
    return nested((path, value) for path, value in leaves if not unknown_key(config_type, nested([(path, value)])))


def _refuse_unknown_anywhere(options: Any, where: str) -> None:
    """Raise InputError for an option that neither kind has, or a value that one of them refuses."""
    if not isinstance(options, Mapping) or not all(isinstance(values, Mapping) for values in options.values()):
        raise InputError(f"{where}: options must be a mapping of groups, such as {{tsdf: {{voxel_size: 0.01}}}}")
    config_types = [recipe.config_type for recipe in RECIPES.values()]
    for leaf in leaves_of(options):
        ones = [with_new_names(kind, nested([leaf]), where) for kind in config_types]
        wrong = [unknown_key(kind, one) for kind, one in zip(config_types, ones, strict=True)]
        if all(wrong):
            raise InputError(f"{where}: {wrong[0]}")
        for kind, one, unknown in zip(config_types, ones, wrong, strict=True):
            if not unknown:
                overlaid(kind(), one, where)
