"""File formats: which files make up a recording, and whether they are whole before anything decodes them.

mne reads many damaged files without an error (a cut BrainVision or EDF file gives a shorter recording). What a header
says is compared with what is on disk here, so that damage is one clear message.
"""

from __future__ import annotations

import re
from pathlib import Path

from braindec.errors import BraindecError, UnreadableError

# Endings of files and folders that mne.io.read_raw takes; .set and .fif may hold epochs as well.
RAW_SUFFIXES = (
    ".fif", ".fif.gz", ".edf", ".bdf", ".gdf", ".vhdr", ".ahdr", ".set", ".ds", ".sqd", ".con", ".lay", ".snirf", ".cnt", ".mff",
    ".nxe", ".hdr", ".eeg", ".mefd", ".bin", ".data", ".dat", ".dap", ".rs3", ".cdt", ".nedf", ".ns3",
)  # fmt: skip
NAMES = {
    ".fif": "FIF", ".edf": "EDF", ".bdf": "BDF", ".gdf": "GDF", ".vhdr": "BrainVision", ".set": "EEGLAB", ".ds": "CTF",
    ".sqd": "KIT", ".con": "KIT", ".lay": "Persyst", ".snirf": "SNIRF", ".cnt": "CNT", ".mff": "EGI MFF", ".hdr": "NIRX",
    ".eeg": "Nihon Kohden", ".mefd": "MEF3", ".gz": "FIF",
}  # fmt: skip
_FOREIGN = {
    ".xdf": "XDF (Lab Streaming Layer) is not read here: convert it first, e.g. with pyxdf, to arrays for the reader "
    "'arrays' (X or signal, sfreq), or with EEGLAB or MNELAB to .set or .fif",
    ".nwb": "use the reader 'nwb'", ".nii": "use the reader 'fmri'", ".gii": "use the reader 'gifti'", ".csv": "use the reader 'table'",
    ".tsv": "use the reader 'table'", ".npy": "use the reader 'arrays'", ".npz": "use the reader 'arrays'",
    ".mat": "use the reader 'arrays' (name the variables), or 'raw' for EEGLAB .set", ".vmrk": "name the .vhdr file of the recording",
    ".fdt": "name the .set file of the recording", ".meg4": "name the folder .ds of the recording",
}  # fmt: skip
MIXED = "channels differ in sampling frequency; all are given at the highest one"
_SAMPLE_BYTES = {"INT_16": 2, "INT_32": 4, "IEEE_FLOAT_32": 4, "IEEE_FLOAT_64": 8, "UINT_16": 2}


def suffix_of(path: Path) -> str:
    """Return the ending in lower case; ``.fif.gz`` and ``.nii.gz`` count as one."""
    name = path.name.lower()
    return next((s for s in (".fif.gz", ".nii.gz") if name.endswith(s)), Path(name).suffix)


def check(path: Path) -> list[str]:
    """Look at a recording before it is read; return warnings.

    Raises
    ------
    UnreadableError
        If the format is another reader's, or the file is empty, cut short, mis-named or damaged.
    """
    suffix = suffix_of(path)
    foreign = _FOREIGN.get(".nii" if suffix == ".nii.gz" else suffix)
    if path.name.endswith((".dtseries.nii", ".ptseries.nii")):
        foreign = "use the reader 'cifti'"
    if foreign:
        raise UnreadableError(
            f"{path} cannot be read by the reader 'raw' (mne.io.read_raw)", found=f"ending {suffix}", fix=foreign
        )
    if not path.exists():
        raise UnreadableError(f"there is no file {path}", fix="check the path")
    if path.is_file() and path.stat().st_size == 0:
        raise UnreadableError(f"{path} is empty (0 bytes)", fix="copy the file again from where it was recorded")
    checks = {
        ".edf": _edf,
        ".bdf": _edf,
        ".vhdr": _brainvision,
        ".lay": _persyst,
        ".fif": _magic,
        ".snirf": _magic,
        ".set": _set,
        ".sqd": _kit,
        ".con": _kit,
    }
    if suffix in checks:
        return checks[suffix](path)
    for part in companions(path):
        if part.is_file() and part.stat().st_size > 2**16 and line_ends_converted(part):
            raise _converted(part)
    return []


def companions(path: Path) -> list[Path]:
    """Return the files that a recording is made of, its own path first; for a folder, every file in it."""
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.is_file())
    suffix = suffix_of(path)
    parts = [path]
    if suffix in (".vhdr", ".ahdr"):
        header = _ini(path)
        parts += [path.parent / header[k] for k in ("DataFile", "MarkerFile") if header.get(k)]
    elif suffix in (".set", ".lay"):
        parts += [path.with_suffix(e) for e in (".fdt", ".dat") if path.with_suffix(e).is_file()]
    elif suffix in (".sqd", ".con", ".eeg"):
        stems = {path.stem, path.stem.removesuffix("_meg")}
        endings = (".elp", ".hsp", ".mrk", "_mrk.sqd", ".pnt", ".log", ".21e")
        parts += [p for s in sorted(stems) for e in endings if (p := path.parent / f"{s}{e}").is_file()]
    elif suffix.startswith(".fif"):
        stem = path.name[: -len(suffix)]
        split = re.sub(r"_split-0*1_", "_split-*_", path.name)
        extra = path.parent.glob(split) if split != path.name else path.parent.glob(f"{stem}-[0-9]*{suffix}")
        parts += sorted(p for p in extra if p != path)
    return parts


def line_ends_converted(path: Path, *, start: int = 0) -> bool:
    """Say whether a binary file went through a conversion of line ends: every line feed then follows a carriage return."""
    with path.open("rb") as file:
        file.seek(start)
        block = file.read(2**21)
    feeds = block.count(b"\n")
    return feeds >= 64 and feeds == block.count(b"\r\n")


def _converted(path: Path) -> UnreadableError:
    return UnreadableError(
        f"{path} was damaged by a conversion of line ends (LF to CRLF)",
        found=f"every line feed of this binary file follows a carriage return; {path.stat().st_size} bytes",
        fix="copy the file again in binary mode (git: mark it binary in .gitattributes; ftp: type binary)",
    )


def _edf(path: Path) -> list[str]:
    kind = "BDF" if suffix_of(path) == ".bdf" else "EDF"
    size, labels = path.stat().st_size, []
    with path.open("rb") as file:
        head = file.read(256)
        magic = (b"\xffBIOSEMI",) if kind == "BDF" else (b"0       ",)
        if not head.startswith(magic):
            raise UnreadableError(
                f"{path} is not a {kind} file", found=f"it starts with {head[:24]!r}",
                fix="the ending does not fit the content, or the file is damaged: check where it comes from",
            )  # fmt: skip
        try:
            n_header, n_records, n_channels = int(head[184:192]), int(head[236:244]), int(head[252:256])
            labels = [file.read(16) for _ in range(n_channels)]
            file.seek(256 + 216 * n_channels)
            samples = [int(file.read(8)) for _ in range(n_channels)]
        except ValueError as error:
            converted = line_ends_converted(path)
            raise _converted(path) if converted else _short(path, f"the header ends early ({size} bytes)") from error
    rates = {n for n, label in zip(samples, labels, strict=True) if b"Annotations" not in label}
    mixed = [f"{path.name}: {MIXED}"] if len(rates) > 1 else []
    expected = n_header + n_records * sum(samples) * (3 if kind == "BDF" else 2)
    if n_records < 0:
        return [*mixed, f"{path.name}: the recording was not closed: its length is taken from its size"]
    if size == expected:
        return mixed
    if line_ends_converted(path, start=n_header):
        raise _converted(path)
    if size < expected:
        raise _short(path, f"{size} bytes, the header promises {expected} ({n_records} records)")
    return [*mixed, f"{path.name}: {size - expected} bytes more than its header says; they are not read"]


def _short(path: Path, found: str) -> UnreadableError:
    return UnreadableError(f"{path} was cut short", found=found, fix="copy the file again from where it was recorded")


def _ini(path: Path) -> dict[str, str]:
    """Key=value lines of a BrainVision or Persyst header; keys of all sections together."""
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    pairs = [line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith(";")]
    header = {k.strip(): v.strip() for k, v in pairs}
    base = path.stem
    return {k: v.replace("$b", base) for k, v in header.items()}


def _brainvision(path: Path) -> list[str]:
    header = _ini(path)
    if "DataFile" not in header or "NumberOfChannels" not in header or "SamplingInterval" not in header:
        raise UnreadableError(
            f"{path} is not a whole BrainVision header", found="DataFile, NumberOfChannels or SamplingInterval is missing",
            fix="the file was cut short or is something else: copy it again",
        )  # fmt: skip
    n_channels = int(header["NumberOfChannels"])
    described = sum(bool(re.fullmatch(r"Ch\d+", k)) for k in header)
    if described < n_channels:
        raise _short(path, f"{described} of {n_channels} channels are described")
    data = path.parent / header["DataFile"]
    if not data.is_file():
        raise UnreadableError(
            f"the data file of {path} is not there", found=f"{header['DataFile']} is missing in {path.parent}",
            fix="copy the .eeg file beside its header; a renamed file must be renamed in the header too (DataFile=)",
        )  # fmt: skip
    size = data.stat().st_size
    if size == 0:
        raise UnreadableError(f"{data} is empty (0 bytes)", fix="copy the file again from where it was recorded")
    if header.get("DataFormat", "BINARY").upper() == "BINARY":
        if line_ends_converted(data):
            raise _converted(data)
        frame = n_channels * _SAMPLE_BYTES.get(header.get("BinaryFormat", "").upper(), 1)
        points = int(header["DataPoints"]) if header.get("DataPoints", "").isdigit() else None
        if size % frame or (points and size < points * frame):
            promised = (
                f"the header promises {points * frame}" if points else f"no whole number of samples of {frame} bytes"
            )
            raise _short(data, f"{size} bytes, {promised}")
    marker = path.parent / header["MarkerFile"] if header.get("MarkerFile") else None
    return [] if marker is None else _markers(marker)


def _markers(path: Path) -> list[str]:
    if not path.is_file():
        return [f"the marker file {path.name} is not there: no events are read from it"]
    lines = path.read_bytes().decode("utf-8-sig", errors="replace").splitlines()
    if not any("[marker infos]" in line.lower() for line in lines):
        raise _short(path, f"no section [Marker Infos] in {path.stat().st_size} bytes")
    last = next((line for line in reversed(lines) if line.strip()), "")
    if last.startswith("Mk") and len(last.split(",")) < 5:
        raise _short(path, f"the last line is {last!r}")
    if last.startswith("M") and not re.match(r"Mk\d+=", last):
        raise _short(path, f"the last line is {last!r}")
    return []


def _persyst(path: Path) -> list[str]:
    header = {k.lower(): v for k, v in _ini(path).items()}
    if not {"datatype", "waveformcount", "samplingrate"} <= set(header):
        raise UnreadableError(
            f"{path} is not a Persyst header", found="DataType, WaveformCount or SamplingRate is missing",
            fix="the file was cut short or is something else: copy it again",
        )  # fmt: skip
    name = re.split(r"[\\/]", header.get("file", ""))[-1]
    data = path.parent / name
    if not data.is_file():
        raise UnreadableError(f"the data file of {path} is not there", found=f"{name} is missing in {path.parent}",
                              fix="copy the .dat file beside its .lay file")  # fmt: skip
    frame = int(header["waveformcount"]) * {"0": 2, "7": 4}.get(header["datatype"], 1)
    if data.stat().st_size == 0 or data.stat().st_size % frame:
        raise _short(data, f"{data.stat().st_size} bytes, no whole number of samples of {frame} bytes")
    return []


def _magic(path: Path) -> list[str]:
    """FIF starts with a file id tag (kind 100), SNIRF is HDF5."""
    with path.open("rb") as file:
        head = file.read(8)
    wanted = {".fif": b"\x00\x00\x00d", ".snirf": b"\x89HDF\r\n\x1a\n"}[suffix_of(path)]
    if not head.startswith(wanted):
        if suffix_of(path) == ".snirf" or line_ends_converted(path) or head[:4].isascii():
            raise UnreadableError(
                f"{path} is not a {NAMES[suffix_of(path)]} file", found=f"it starts with {head!r}",
                fix="the ending does not fit the content, or the file is damaged: check where it comes from",
            )  # fmt: skip
    return []


def _kit(path: Path) -> list[str]:
    """KIT: a directory of parts (offset, bytes an item, items there may be, items); mne fills missing samples with zeros."""
    if line_ends_converted(path):
        raise _converted(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(16)
        n_entries = int.from_bytes(first[12:16], "little")
        table = file.read(16 * max(0, min(n_entries, 256) - 1))
    if len(first) < 16 or not 9 <= n_entries <= 256 or len(table) < 16 * (n_entries - 1):
        raise UnreadableError(
            f"{path} is not a whole KIT file", found=f"{size} bytes, a directory of {n_entries} parts",
            fix="the ending does not fit the content, or the file was cut short: copy it again",
        )  # fmt: skip
    samples = table[16 * 8 : 16 * 9]  # entry 9 of the directory: the continuous samples
    offset, width, count = (int.from_bytes(samples[k : k + 4], "little") for k in (0, 4, 12))
    if offset + width * count > size:
        raise _short(path, f"{size} bytes, the samples end at byte {offset + width * count}")
    return []


def _set(path: Path) -> list[str]:
    """EEGLAB: a MATLAB file of version 5 or 7.3; a data file beside it must be whole (checked when it is read)."""
    with path.open("rb") as file:
        head = file.read(520)
    if head.startswith((b"\x89HDF", b"MATLAB")) or head[512:].startswith(b"\x89HDF"):
        return []
    raise UnreadableError(
        f"{path} is not an EEGLAB .set file", found=f"it starts with {head[:16]!r}", allowed="a MATLAB file (version 5 or 7.3)",
        fix="the ending does not fit the content, or the file is damaged: check where it comes from",
    )  # fmt: skip


def explain(error: BaseException, path: Path, tried: str) -> BraindecError:
    """Turn whatever a reading function raised into one clear error that names the reader tried."""
    if isinstance(error, BraindecError):
        return error
    said = " ".join(str(error).split()) or type(error).__name__
    fix = "the file is damaged, cut short, or of another kind: copy it again, or open it in the program that wrote it"
    if isinstance(error, FileNotFoundError):
        fix = "a part of the recording is missing: copy it beside the others"
    elif isinstance(error, (ImportError, ModuleNotFoundError)):
        fix = f"this format needs a package: pip install {getattr(error, 'name', None) or 'the package named above'}"
    kind = NAMES.get(suffix_of(path), suffix_of(path) or "file")
    return UnreadableError(
        f"{path} cannot be read as {kind} (tried {tried})", found=f"{type(error).__name__}: {said[:300]}", fix=fix
    )
