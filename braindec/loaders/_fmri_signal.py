"""Voxel and parcel time series of a 4-D NIfTI file, read volume by volume; only path and selection are kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from braindec.errors import UnreadableError
from braindec.types import Signal

__all__ = ["NiftiSignal", "image_values", "open_image", "open_volumes", "orthonormal"]

_BLOCK = 16_000_000  # voxels decoded at once


def open_image(path: str | Path) -> Any:
    """Open an image with nibabel; only its header is read.

    Raises
    ------
    UnreadableError
        If it is empty, damaged or no volume image.
    """
    path = Path(path)
    name = path.name.lower()
    if not path.is_file():
        raise UnreadableError(f"there is no image {path}", fix="check the path")
    if path.stat().st_size == 0:
        raise UnreadableError(f"{path} is empty (0 bytes)", fix="copy the file again from where it was recorded")
    if name.endswith((".gii", ".gii.gz")) or re.search(r"\.[a-z]*(series|scalar|label|conn)\.nii(\.gz)?$", name):
        kind = "gifti" if ".gii" in name else "cifti"
        runs = ".dtseries.nii or .ptseries.nii" if kind == "cifti" else ".func.gii"
        raise UnreadableError(
            f"{path} holds surface data, which the reader fmri does not read",
            allowed="volumes: .nii, .nii.gz",
            fix=f"use the reader {kind} (for runs: {runs}), or the volume of the same run (fMRIPrep: "
            "space-MNI152NLin2009cAsym_..._bold.nii.gz)",
        )
    try:
        image = nib.load(path)
        _ = image.shape, image.affine, image.header
    except Exception as error:  # nibabel, gzip and zlib each raise their own
        raise UnreadableError(
            f"{path} cannot be read as NIfTI (tried nibabel.load)",
            found=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
            fix="the file is damaged, cut short or of another kind: copy it again",
        ) from error
    if not isinstance(image, nib.spatialimages.SpatialImage) or isinstance(image, nib.Cifti2Image):
        raise UnreadableError(f"{path} is not a volume image", found=type(image).__name__, allowed=".nii, .nii.gz")
    return image


def image_values(image: Any, path: str | Path) -> np.ndarray:
    """Return all numbers of a mask, map or label image.

    Raises
    ------
    UnreadableError
        If the file ends early, is damaged, or holds no real numbers (RGB, complex).
    """
    try:
        values = np.asarray(image.dataobj)
    except Exception as error:  # gzip, zlib and nibabel each raise their own
        raise UnreadableError(
            f"{path} cannot be read to its end", found=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
            fix="the file is damaged or was cut short: copy it again",
        ) from error  # fmt: skip
    if values.dtype.kind not in "iufb":
        raise UnreadableError(
            f"{path} holds no real numbers", found=f"dtype {values.dtype}", allowed="a mask, map or label image"
        )
    return values


def open_volumes(path: str | Path) -> Any:
    """Open a 4-D image and check that all of it is there.

    Raises
    ------
    UnreadableError
        If it has no time axis, or was cut short.
    """
    image = open_image(path)
    shape = image.shape
    if len(shape) != 4 or shape[3] < 2:
        raise UnreadableError(
            f"{path} is not a time series of volumes",
            found=f"shape {shape}: " + ("one volume" if len(shape) <= 4 else f"{len(shape)} axes"),
            allowed="a 4-D image (x, y, z, volume)",
            fix="name the _bold image, not a mask, an average or an anatomical image",
        )
    _check_whole(Path(path), image)
    return image


def _check_whole(path: Path, image: Any) -> None:
    """Compare the size of the file with what its header promises; only what looks short is decoded."""
    header = getattr(image, "header", None)
    offset = int(header.get_data_offset()) if hasattr(header, "get_data_offset") else 0
    expected = offset + int(np.prod(image.shape)) * image.get_data_dtype().itemsize
    if path.suffix == ".gz":
        with path.open("rb") as file:
            file.seek(-4, 2)
            found = int.from_bytes(file.read(4), "little")  # the length before compression, modulo 2^32
        if found == expected % 2**32:
            return
        try:
            np.asanyarray(image.dataobj[..., -1])
            return
        except Exception as error:
            raise _short(path, "the compressed data end early") from error
    if path.suffix == ".nii" and path.stat().st_size < expected:
        raise _short(path, f"{path.stat().st_size} bytes, the header promises {expected}")


def _short(path: Path, found: str) -> UnreadableError:
    return UnreadableError(f"{path} was cut short", found=found, fix="copy the file again from where it was recorded")


class NiftiSignal(Signal):
    """Time series of voxels, or means of parcels, of some volumes of a 4-D image; float32.

    Parameters
    ----------
    path : str or Path
        The image.
    voxels : array of int, shape (n_voxels,)
        Places in the volume (index into its Fortran-ordered flat array, the order of the file), parcel after parcel.
    starts : array of int, shape (n_parcels,), optional
        First place of each parcel in ``voxels``; one channel a voxel when it is left out.
    first, last : int
        Volumes ``first`` to ``last`` (not included) are the samples.
    confounds : array of shape (n_volumes, n_confounds), optional
        Centred columns that are regressed out of every channel by least squares over the whole run; the mean stays.
    """

    slow = True

    def __init__(
        self,
        path: str | Path,
        voxels: np.ndarray,
        *,
        starts: np.ndarray | None = None,
        first: int = 0,
        last: int,
        confounds: np.ndarray | None = None,
    ) -> None:
        self.path, self.voxels, self.starts = str(path), np.asarray(voxels, dtype=np.int64), starts
        self.first, self.last, self.confounds = int(first), int(last), confounds
        self.shape = (len(voxels) if starts is None else len(starts), self.last - self.first)

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        stop = self.shape[1] if stop is None else min(stop, self.shape[1])
        if self.confounds is not None:
            return self._cleaned()[channels, start:stop].copy()
        return self._raw(channels, start, stop)

    def _cleaned(self) -> np.ndarray:
        """All channels of the run with the confounds regressed out; kept, since a part needs the whole run."""
        clean = self.__dict__.get("_open_clean")
        if clean is None:
            clean = self._raw(slice(None), 0, self.shape[1])
            basis = orthonormal(np.asarray(self.confounds, dtype=np.float64))
            for row in range(0, len(clean), 4096):
                block = clean[row : row + 4096].astype(np.float64)
                clean[row : row + 4096] = block - (block @ basis) @ basis.T
            self._open_clean = clean
        return clean

    def _raw(self, channels: slice | np.ndarray, start: int, stop: int) -> np.ndarray:
        source = self._source()
        voxels, starts = self.voxels, self.starts
        if starts is None:
            voxels = voxels[channels]
        n_rows = len(voxels) if starts is None else len(starts)
        out = np.empty((n_rows, max(0, stop - start)), dtype=np.float32)
        step = max(1, _BLOCK // int(np.prod(source.shape[:3])))
        for begin in range(start, stop, step):
            end = min(begin + step, stop)
            block = self._volumes(source, self.first + begin, self.first + end)[voxels]  # (voxel, volume)
            if starts is not None:
                counts = np.diff(np.r_[starts, len(voxels)])[:, None]
                block = np.add.reduceat(block.astype(np.float64), starts, axis=0) / counts
            out[:, begin - start : end - start] = block
        return out if starts is None else out[channels]

    def _volumes(self, source: Any, first: int, last: int) -> np.ndarray:
        try:
            block = np.asarray(source[..., first:last])
        except Exception as error:  # a damaged compressed file fails here
            raise UnreadableError(
                f"{self.path} cannot be read to its end",
                found=f"volumes {first} to {last}: {type(error).__name__}: {error}",
                fix="the file is damaged: copy it again",
            ) from error
        return block.reshape(-1, block.shape[-1], order="F")  # a view: nibabel gives the order of the file

    def _source(self) -> Any:
        source = self.__dict__.get("_open_source")
        if source is None:
            source = self._open_source = open_image(self.path or "").dataobj
        return source


def orthonormal(confounds: np.ndarray) -> np.ndarray:
    """An orthonormal basis (n_volumes, rank) of the columns; columns that others already span are left out."""
    u, s, _ = np.linalg.svd(confounds, full_matrices=False)
    return u[:, s > s.max(initial=0) * max(confounds.shape) * np.finfo(float).eps]
