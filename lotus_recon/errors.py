"""The errors this package raises on purpose. Every message says what, where, and what is allowed."""


class ReconError(Exception):
    """Base of every error that is meant for the user: shown as one message, without a traceback."""


class InputError(ReconError):
    """The input or an option cannot be used; found before any long work (exit code 2)."""


class ModelError(ReconError):
    """A depth or normal model cannot be loaded or run."""


class SfmError(ReconError):
    """Structure from motion found no usable model."""


class AlignmentError(ReconError):
    """Predicted depth could not be brought to the scale of the scene."""


class FusionError(ReconError):
    """Depth maps could not be fused into a surface."""


class TrainingError(ReconError):
    """A training run cannot go on."""
