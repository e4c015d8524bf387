"""The files of COLMAP models, made safe before pycolmap reads them: binary ones are walked from record to record.

pycolmap does not notice that a file has ended: of one that was cut it reads for ever, or takes garbage for cameras. The
layouts are those of COLMAP's src/colmap/scene/reconstruction_io_binary.cc, version 4 and before; all little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path

from lotus_recon.errors import InputError

# The position after the record that begins at a position. Raises ValueError or struct.error past the end.
_Record = Callable[[bytes, int], int]

_FIELDS_BEFORE_NAME = 9  # in the line of a photo in images.txt

_COUNT = struct.Struct("<Q")
_CAMERA = struct.Struct("<IiQQ")  # id, model, width, height; the parameters follow
_RIG = struct.Struct("<II")  # id, number of sensors; they follow, the reference sensor first
_SENSOR = struct.Struct("<iI")  # kind, id
_POSE = struct.Struct("<7d")
_FRAME = struct.Struct("<II7dI")  # id, rig, pose, number of data ids, which follow
_DATA_ID = struct.Struct("<iIQ")
_IMAGE = struct.Struct("<I7dI")  # id, pose, camera; name and features follow
_FEATURE = struct.Struct("<ddQ")  # x, y, point
_POINT = struct.Struct("<Q3d3BdQ")  # id, position, colour, error, length of the track, which follows
_TRACK_ELEMENT = struct.Struct("<II")


def check_whole(folder: Path, parameters_of_model: Mapping[int, int]) -> None:
    """Raise InputError, naming the file, when a binary file of a COLMAP model is cut.

    ``parameters_of_model``: how many parameters each camera model has, by its number.
    """

    def camera(data: bytes, start: int) -> int:
        model = _CAMERA.unpack_from(data, start)[1]
        return start + _CAMERA.size + 8 * parameters_of_model[model]

    for name, record in {"cameras": camera, **_RECORDS}.items():
        path = folder / f"{name}.bin"
        if path.is_file():
            _check_file(path, record)


def name_photos_by_line(images_txt: str) -> tuple[dict[str, str], str]:
    """The photo names in the text of an images.txt by stand-ins without spaces, and the text with those instead.

    A photo has two lines: number, quaternion, translation, camera, and as the rest its name; then its features,
    which may be none. Comments and empty lines stand before the first of the two.
    """
    names: dict[str, str] = {}
    lines, is_features = images_txt.replace("\r\n", "\n").split("\n"), False  # a name may have other ends of lines
    for index, line in enumerate(lines):
        if is_features:
            is_features = False
        elif line.strip() and not line.lstrip().startswith("#"):
            is_features = True
            fields = line.split(maxsplit=_FIELDS_BEFORE_NAME)
            if len(fields) > _FIELDS_BEFORE_NAME:
                names[f"{index}.stand-in"] = fields[-1].rstrip()
                lines[index] = " ".join([*fields[:-1], f"{index}.stand-in"])
    return names, "\n".join(lines) + "\n"


def _check_file(path: Path, record: _Record) -> None:
    data = path.read_bytes()
    count, position = 0, _COUNT.size
    try:
        (count,) = _COUNT.unpack_from(data)
        for _ in range(count):
            position = record(data, position)
            if position > len(data):
                break
    except KeyError as error:
        raise InputError(f"{path} names the camera model {error}, which pycolmap does not know") from None
    except (struct.error, ValueError):
        position = len(data) + 1
    if position > len(data):
        raise InputError(f"{path} is cut: it has {len(data)} bytes, too few for its {count} records; copy it again")


def _rig(data: bytes, start: int) -> int:
    _, sensors = _RIG.unpack_from(data, start)
    position = start + _RIG.size + min(sensors, 1) * _SENSOR.size
    for _ in range(1, sensors):
        has_pose = data[position + _SENSOR.size : position + _SENSOR.size + 1]
        if not has_pose:
            raise ValueError("past the end")
        position += _SENSOR.size + 1 + (_POSE.size if has_pose[0] else 0)
    return position


def _frame(data: bytes, start: int) -> int:
    return start + _FRAME.size + _FRAME.unpack_from(data, start)[-1] * _DATA_ID.size


def _image(data: bytes, start: int) -> int:
    end_of_name = data.index(b"\0", start + _IMAGE.size)
    (features,) = _COUNT.unpack_from(data, end_of_name + 1)
    return end_of_name + 1 + _COUNT.size + features * _FEATURE.size


def _point(data: bytes, start: int) -> int:
    return start + _POINT.size + _POINT.unpack_from(data, start)[-1] * _TRACK_ELEMENT.size


_RECORDS: dict[str, _Record] = {"rigs": _rig, "frames": _frame, "images": _image, "points3D": _point}
