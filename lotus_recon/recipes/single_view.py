"""Photos in; depth, normals, camera, points and mesh of each out. The stages are in ``table.SINGLE_VIEW``."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lotus_recon.calibration.config import CameraConfig, OutputConfig
from lotus_recon.calibration.spec import CALIBRATION
from lotus_recon.config import Runtime
from lotus_recon.errors import InputError, ReconError
from lotus_recon.frames.config import FRAMES_FOLDER, FramesConfig
from lotus_recon.frames.spec import FRAMES
from lotus_recon.interruption import doing
from lotus_recon.io.images import Photo, expand_photos
from lotus_recon.io.intrinsics import GivenIntrinsics
from lotus_recon.io.photo_choice import chosen
from lotus_recon.models.base import Model, check_tile_fits, expect_photos, resolve_device
from lotus_recon.models.config import PredictionConfig
from lotus_recon.models.photo_spec import PHOTO_PREDICTION
from lotus_recon.models.precomputed import PrecomputedModel, check_whose, meaning_of
from lotus_recon.models.registry import check_model, fetch_model, make_model
from lotus_recon.models.registry import options_of as model_options
from lotus_recon.photo_job import PhotoJob
from lotus_recon.progress import track
from lotus_recon.recipes.base import Begin, Done, Plan, Selection, Source, StageRun, Step, run_id
from lotus_recon.recipes.config import SceneConfig, SingleViewConfig
from lotus_recon.recipes.engine import (
    check_only,
    check_stage_names,
    check_stages,
    check_wanted,
    is_made_from,
    missing_stages,
    run_stages,
)
from lotus_recon.recipes.estimates import Estimate, Pace, estimates
from lotus_recon.recipes.output_folder import OWN_FILES, check_apart, claim
from lotus_recon.recipes.table import SINGLE_VIEW
from lotus_recon.recipes.videos import foretold_work, frames_of
from lotus_recon.scene_job import SceneJob
from lotus_recon.stages import Needs, Work, options_of, stages_of
from lotus_recon.threads import in_threads, thread_count
from lotus_recon.types import Prediction
from lotus_recon.workspace import Workspace

log = logging.getLogger(__name__)

_MOST_AT_ONCE = 8  # photos that threads take through their stages: bounds memory


@dataclass(frozen=True)
class Job:
    """What to do, checked."""

    photos: tuple[PhotoJob, ...]
    config: SingleViewConfig


@dataclass(frozen=True)
class Outcome:
    """What became of one photo: ``done``, ``up to date`` or ``failed``."""

    photo: Photo
    status: str
    detail: str = ""
    doubt: str = ""  # what of the camera and the shape was guessed


@dataclass(frozen=True)
class PhotoSelection:
    """Which stages of each photo run: those that are due, ``only`` one, or all ``from_stage`` on, due or not."""

    only: str | None = None
    from_stage: str | None = None


_DUE = PhotoSelection()


def check_job(arguments: Sequence[str], config: SingleViewConfig, out: Path) -> Job:
    """The job of a command line. Raises InputError before any long work."""
    if not arguments:
        raise InputError("no photo was given; name one or more photos, folders, or patterns in quotes")
    scene = options_of(config, SceneConfig)
    photos = tuple(chosen(expand_photos(arguments), scene.include, scene.exclude))
    _refuse_nested(photos)
    prediction, runtime = options_of(config, PredictionConfig), options_of(config, Runtime)
    _check_apart(config, out, [photo.stem for photo in photos])
    _check_options(config)
    longer_edge = 0 if prediction.model == PrecomputedModel.name else options_of(config, OutputConfig).max_size
    if prediction.predictions is not None:
        check_whose(prediction.predictions, photos, meaning_of(model_options(prediction)))
    jobs = tuple(PhotoJob(photo, config, longer_edge, masks_folder=scene.masks) for photo in photos)
    check_stages(SINGLE_VIEW, jobs[0])  # the options are those of every photo
    if prediction.tiles.isdecimal():
        _check_any(jobs, _check_tiles)
    resolve_device(runtime.device)
    fetch_model(prediction.model, model_options(prediction))
    return Job(jobs, config)


def _check_apart(config: SingleViewConfig, out: Path, written: Sequence[str]) -> None:
    given = {f"--{option}": path for option, path in SingleView().given_paths(config).items()}
    check_apart(out, [*written, *OWN_FILES], given)


def _check_options(config: SingleViewConfig) -> None:
    """Raise InputError for options that no photo can be used with."""
    prediction, lens = options_of(config, PredictionConfig), options_of(config, CameraConfig)
    runtime, masks = options_of(config, Runtime), options_of(config, SceneConfig).masks
    GivenIntrinsics(lens.intrinsics, lens.focal_px, lens.focal_35mm, lens.fov_deg)
    check_model(prediction.model, runtime.device, runtime.dtype, options=model_options(prediction))
    if masks is not None and not masks.is_dir():
        raise InputError(f"masks folder {masks} does not exist")


def check_video(video: Path, config: SingleViewConfig, out: Path) -> SceneJob:
    """The job of taking frames from a video. Raises InputError before any long work."""
    job = SceneJob(video, out, config)
    _check_apart(config, out, [FRAMES_FOLDER])
    _check_options(config)
    FRAMES.check(job)
    return job


def estimates_of_video(video: SceneJob, workspace: Workspace) -> list[Estimate]:
    """What will be taken until the frames are there and worked on, at most; nothing of the frames that are there."""
    if not missing_stages(workspace, (FRAMES,), video):
        return []
    size = options_of(video.config, OutputConfig).max_size
    work = foretold_work(video, size)
    one = PhotoJob(Photo(video.source, video.source.name), video.config, size)
    device, pace = resolve_device(options_of(video.config, Runtime).device).type, Pace.load()
    found = estimates(stages_of(SINGLE_VIEW, one), one, work, device, pace)
    at_once = min(thread_count(), work.photos)
    return [
        *estimates((FRAMES,), video, work, device, pace),
        *(replace(each, seconds=each.seconds / at_once) for each in found),
    ]


def _refuse_nested(photos: Sequence[Photo]) -> None:
    """Photo ``a.jpg`` and a folder ``a`` with photos would write into each other."""
    stems = {photo.stem for photo in photos}
    for photo in photos:
        parents = {str(parent) for parent in Path(photo.stem).parents}
        if clash := parents & stems:
            raise InputError(f"{photo.path} would be written inside the output of photo {clash.pop()!r}; rename one")


def check_only_photos(job: Job, workspace: Workspace, only: str | None) -> None:
    """Raise InputError when the stage ``only`` can be run alone for none of the photos."""
    check_wanted(SINGLE_VIEW, job.photos[0], only, None)
    _check_any(job.photos, lambda photo: check_only(workspace, SINGLE_VIEW, photo, only))


def _check_any(photos: Sequence[PhotoJob], check: Callable[[PhotoJob], None]) -> None:
    """Raise the first InputError of ``check`` when it raises one for every photo."""
    problem: InputError | None = None
    for photo in photos:
        try:
            check(photo)
        except InputError as error:
            problem = problem or error
        else:
            return
    if problem is not None:
        raise problem


def _check_tiles(photo: PhotoJob) -> None:
    tiles = options_of(photo.config, PredictionConfig).tiles
    check_tile_fits(tiles, photo.info.size, photo.longer_edge, photo.label)


def run_job(job: Job, workspace: Workspace, selection: PhotoSelection = _DUE) -> list[Outcome]:
    """Run the stages of every photo that are due. A photo that cannot be used is reported; the others continue."""
    check_stage_names(SINGLE_VIEW, selection.only, selection.from_stage)
    check_wanted(SINGLE_VIEW, job.photos[0], selection.only, selection.from_stage)
    due, outcomes = due_stages(job, workspace, selection)
    photos = [photo for photo in job.photos if due.get(photo.photo)]
    with doing("the photos in work", "their running stages start again, finished stages are kept"):
        outcomes += track(_run_each(photos, due, job.config, workspace, selection), "photos", len(photos))
    order = {photo.photo: i for i, photo in enumerate(job.photos)}
    return sorted(outcomes, key=lambda outcome: order[outcome.photo])


def due_stages(
    job: Job, workspace: Workspace, selection: PhotoSelection = _DUE
) -> tuple[dict[Photo, list[str]], list[Outcome]]:
    """Names of the stages that ``run_job`` would run, by photo, and what is known of photos without any already."""
    names = [stage.name for stage in stages_of(SINGLE_VIEW, job.photos[0])]  # the options are those of every photo
    again = names[names.index(selection.from_stage) :] if selection.from_stage else []
    due, outcomes = {}, []
    for photo in job.photos:
        try:
            _ = photo.info, photo.mask  # raises for a photo that cannot even be opened, or whose mask does not fit
            _check_tiles(photo)
            missing = missing_stages(workspace, SINGLE_VIEW, photo)
        except ReconError as error:
            outcomes.append(_failed(photo.photo, error))
            continue
        due[photo.photo] = [name for name in names if name in (*missing, *again) and selection.only in (None, name)]
        if not due[photo.photo]:
            outcomes.append(Outcome(photo.photo, "up to date"))
    return due, outcomes


def estimates_of(job: Job, workspace: Workspace, selection: PhotoSelection = _DUE) -> list[Estimate]:
    """What the stages that ``run_job`` would run will take, of all photos: as many at once as there are threads."""
    due, _ = due_stages(job, workspace, selection)
    device, pace = resolve_device(options_of(job.config, Runtime).device).type, Pace.load()
    found: list[Estimate] = []
    for stage in stages_of(SINGLE_VIEW, job.photos[0]):
        photos = [photo for photo in job.photos if stage.name in due.get(photo.photo, ())]
        work = Work(len(photos), sum(photo.size[0] * photo.size[1] for photo in photos) / 1e6)
        if photos:
            (one,) = estimates([stage], photos[0], work, device, pace)
            found.append(replace(one, seconds=one.seconds / min(thread_count(), len(photos))))
    return found


def _failed(photo: Photo, error: ReconError) -> Outcome:
    log.error("%s: %s", photo.name, error)
    return Outcome(photo, "failed", str(error))


def _run_each(
    photos: Sequence[PhotoJob],
    due: Mapping[Photo, Sequence[str]],
    config: SingleViewConfig,
    workspace: Workspace,
    selection: PhotoSelection,
) -> Iterator[Outcome]:
    """Outcomes of the photos, those first that the network has to see.

    The network runs in this thread; others read the next photos, and take the last ones through their stages.
    """
    threads = min(thread_count(), _MOST_AT_ONCE)
    to_predict = [photo for photo in photos if PHOTO_PREDICTION.name in due[photo.photo]]
    others = [photo for photo in photos if PHOTO_PREDICTION.name not in due[photo.photo]]
    yield from in_threads(lambda photo: _outcome(photo, workspace, selection), _predicted(to_predict, config), threads)
    # Copies, whose pixels go when they are done.
    yield from in_threads(lambda photo: _outcome(replace(photo), workspace, selection), others, threads)


def _outcome(photo: PhotoJob, workspace: Workspace, selection: PhotoSelection) -> Outcome:
    if isinstance(photo.predicted, ReconError):
        return _failed(photo.photo, photo.predicted)
    try:
        check_only(workspace, SINGLE_VIEW, photo, selection.only)
        context = run_stages(workspace, SINGLE_VIEW, photo, selection.only, selection.from_stage)
    except ReconError as error:
        return _failed(photo.photo, error)
    if not workspace.is_finished(CALIBRATION.place(photo)):
        return Outcome(photo.photo, "done")
    calibrated = context[CALIBRATION]
    told = (f"camera from {calibrated.source}", calibrated.doubt)
    return Outcome(photo.photo, "done", "; ".join(filter(None, told)), calibrated.doubt)


def _predicted(photos: Sequence[PhotoJob], config: SingleViewConfig) -> Iterator[PhotoJob]:
    """The photos with what the network makes of them, in batches; copies, whose pixels go when they are done."""
    if not photos:
        return
    options, runtime = options_of(config, PredictionConfig), options_of(config, Runtime)
    model = make_model(options.model, model_options(options, runtime), runtime.device, runtime.dtype)
    expect_photos(model, len(photos))
    size = model.batch_size
    batches = [photos[start : start + size] for start in range(0, len(photos), size)]
    for batch in in_threads(_read, batches, 1):
        readable = [photo for photo in batch if photo.predicted is None]
        for photo, prediction in zip(readable, _predictions(readable, model, runtime.seed), strict=True):
            photo.predicted = prediction
        yield from batch


def _read(photos: Sequence[PhotoJob]) -> list[PhotoJob]:
    """Copies of the photos with their pixels, or the reason why these cannot be read."""
    batch = [replace(photo) for photo in photos]
    for photo in batch:
        try:
            _ = photo.rgb
        except ReconError as error:
            photo.predicted = error
    return batch


def _predictions(photos: Sequence[PhotoJob], model: Model, seed: int) -> list[Prediction | ReconError]:
    """A prediction, or the reason why there is none, for each photo; one bad photo does not spoil its batch."""
    try:
        images, names = [photo.rgb for photo in photos], [photo.photo.name for photo in photos]
        return list(model.predict_batch(images, seed, names)) if photos else []
    except ReconError as error:
        if len(photos) == 1:
            return [error]
        return [result for photo in photos for result in _predictions([photo], model, seed)]


# Where the keys of a manifest stand in the configuration: group and option.
_PLACES: Mapping[str, tuple[str, str]] = {
    "predictions": ("prediction", "predictions"),
    "intrinsics": ("camera", "intrinsics"),
    "masks": ("scene", "masks"),
    "model": ("prediction", "model"),
    "max_frames": ("frames", "max_frames"),
    "frame_motion": ("frames", "frame_motion"),
}


class SingleView:
    """``pipelines.single_view`` as a recipe for runners; of a video, its frames are the photos."""

    kind = "single_view"
    config_type: type[Any] = SingleViewConfig
    stage_names = tuple(stage.name for stage in SINGLE_VIEW)
    rows_are_photos = True

    @property
    def places(self) -> Mapping[str, tuple[str, str]]:
        """See ``Recipe``."""
        return _PLACES

    def check_images(self, images: Sequence[str]) -> None:
        """See ``Recipe``: anything that ``expand_photos`` takes."""

    def given_paths(self, config: Any) -> dict[str, Path | None]:
        """See ``Recipe``."""
        return {
            "predictions": options_of(config, PredictionConfig).predictions,
            "intrinsics": options_of(config, CameraConfig).intrinsics,
            "masks": options_of(config, SceneConfig).masks,
        }

    def check(self, source: Source, config: Any, selection: Selection) -> None:
        """See ``Recipe``; the frames of a video are looked at once they are there."""
        if source.video is not None:
            check_video(source.video, config, source.out)
        else:
            check_job(source.images, config, source.out)

    def plan(self, source: Source, config: Any, selection: Selection, workspace: Workspace) -> Plan:
        """See ``Recipe``."""
        if source.video is not None and not workspace.is_finished(FRAMES.place(_video_job(source, config))):
            return Plan((FRAMES.name, "photos"), (), options_of(config, FramesConfig).max_frames)
        job = check_job(_arguments(source), config, source.out)
        due, _ = due_stages(job, workspace, PhotoSelection(selection.only))
        names = [photo.photo.stem for photo in job.photos]
        run = tuple(photo.stem for photo, stages in due.items() if stages or selection.force)
        expected = tuple(estimates_of(job, workspace, PhotoSelection(selection.only))) if run else ()
        return Plan(run, tuple(name for name in names if name not in run), len(run), expected)

    def steps(self, source: Source, config: Any, selection: Selection) -> list[Step]:
        """See ``Recipe``: the photos are one step, since the network takes them in batches."""
        frames = [Step(FRAMES.name, FRAMES.needs)] if source.video is not None else []
        return [*frames, Step(self.kind, Needs(0.5, 800))]

    def run(
        self,
        source: Source,
        config: Any,
        selection: Selection,
        workspace: Workspace,
        begin: Begin,
        step: str | None = None,
    ) -> Done:
        """See ``Recipe``. A photo that fails is the scene's failure, and the others are done."""
        if source.video is not None and step in (None, FRAMES.name):
            frames_of(_video_job(source, config), workspace, selection.force, begin)
        if step == FRAMES.name:
            return Done(())
        begin(self.kind)
        return _run_photos(check_job(_arguments(source), config, source.out), selection, workspace)


def claim_photos(job: Job, workspace: Workspace, force: bool) -> None:
    """Write down that the folder of each photo is its own; see ``output_folder.claim``."""
    by_stem = {photo.photo.stem: photo for photo in job.photos}
    owners = {stem: str(photo.photo.path.resolve()) for stem, photo in by_stem.items()}
    claim(workspace, job.config, owners, force, lambda stem: is_made_from(workspace, SINGLE_VIEW, by_stem[stem]))


def _run_photos(job: Job, selection: Selection, workspace: Workspace) -> Done:
    claim_photos(job, workspace, selection.force)
    places = {photo.photo.stem: [stage.place(photo) for stage in stages_of(SINGLE_VIEW, photo)] for photo in job.photos}
    if selection.force:
        for place in itertools.chain.from_iterable(places.values()):
            workspace.invalidate(place)
    before = {stem: [run_id(workspace, place) for place in own] for stem, own in places.items()}
    outcomes = run_job(job, workspace, PhotoSelection(selection.only))
    rows = [
        StageRun.of(workspace, stem, own, before[stem])
        for stem, own in places.items()
        if all(workspace.is_finished(place) for place in own)
    ]
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    message = (f"{len(failed)} of {len(outcomes)} photos: {failed[0].detail}",) if failed else ()
    return Done(tuple(rows), message, {"photos": len(outcomes) - len(failed)})


def _video_job(source: Source, config: SingleViewConfig) -> SceneJob:
    assert source.video is not None  # by the callers
    return SceneJob(source.video, source.out, config)


def _arguments(source: Source) -> tuple[str, ...]:
    return source.images if source.video is None else (str(source.out / FRAMES_FOLDER),)
