"""ContrastiveLatents: embeddings of populations in which samples close in time, or alike in a label, lie together.

Methods: "time" contrasts samples that are close in time with others, "label" samples that are alike in a label with
others, "time_label" is the mean of both losses. Sessions have encoders of their own; with labels they share one space.

Source: van den Oord et al. 2018 (arXiv:1807.03748); Hyvärinen & Morioka 2016 (arXiv:1605.06336); Khosla et al. 2020
(arXiv:2004.11362); Dufumier et al. 2021 (arXiv:2106.08808). Details in ``_latent_training``.
Differs from the references in: early stopping looks at contiguous validation blocks, training windows keep away from
them; samples outside ``rows`` are never looked at.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import nn

from braindec import registry, train
from braindec.decoders._latent_goodness import Goodness, bits, drawn
from braindec.decoders._latent_sessions import (
    Labels,
    Scaling,
    as_labels,
    as_rows,
    as_sessions,
    parts_of,
    unwrap,
    windows_at,
)
from braindec.decoders._latent_training import LatentBatches, LatentContrast, SessionEncoders
from braindec.errors import BraindecError, did_you_mean
from braindec.stats.asked import number, whole
from braindec.stats.permutation import permutation_p
from braindec.types import FitRecord

__all__ = ["ContrastiveLatents", "Goodness"]

_METHODS = ("time", "label", "time_label")
_AT_ONCE, _VALIDATION_BATCHES, _DRAWN = 4096, 4, 2048


class ContrastiveLatents(BaseEstimator):
    """Fit encoders by contrast; ``transform`` gives one vector a sample.

    Parameters
    ----------
    method : {"time", "label", "time_label"}
    dim : int
        Length of the embedding.
    encoder : str
        A name in ``encoders``.
    preset : str
        Its size.
    encoder_options : dict, optional
        Settings that differ from the preset.
    before, after : int
        Samples before and after the one that is embedded, in its window. ``after=0`` looks at the past only.
    lag : int
        Samples at most so far apart are positives in time.
    bandwidth : float
        Of the kernel on continuous labels, in their standard deviations (of all columns together).
    temperature : float
        Divides similarities. Low ones spread samples evenly over the sphere and bend simple shapes on it; 1 keeps them
        plain, for linear read-out.
    similarity : {"cosine", "euclidean"}
        Cosine is for embeddings on a sphere; "euclidean" wants ``encoder_options={"normalise": False}``, which is set
        when the encoder has that setting.
    batch_size, batches_per_epoch, epochs, lr, weight_decay, patience
        Of the training; see :func:`braindec.train.fit`.
    validation_share : float
        Share of the samples, in contiguous blocks, that early stopping looks at; 0 with ``patience=None``.
    width : float, optional
        Bin width for Spikes, s.
    root : bool
        Take the square root of counts before they are scaled.
    seed : int
        Of first weights, batches and dropout.
    device : str
    folder : str, optional
        Checkpoints; an interrupted ``fit`` goes on from there.

    Attributes
    ----------
    encoders_ : list of nn.Module
        One a session.
    history_ : dict of array
    fit_records_ : list of FitRecord
        Samples are named "session:sample" when no ids are given.
    """

    def __init__(
        self,
        *,
        method: str = "time",
        dim: int = 6,
        encoder: str = "offset_conv",
        preset: str = "tiny",
        encoder_options: dict[str, Any] | None = None,
        before: int = 5,
        after: int = 5,
        lag: int = 5,
        bandwidth: float = 0.2,
        temperature: float = 1.0,
        similarity: str = "cosine",
        batch_size: int = 128,
        batches_per_epoch: int = 20,
        epochs: int = 15,
        lr: float = 3e-3,
        weight_decay: float = 0.01,
        patience: int | None = 5,
        validation_share: float = 0.15,
        width: float | None = None,
        root: bool = False,
        seed: int = 0,
        device: str = "cpu",
        folder: str | None = None,
    ) -> None:
        self.method, self.dim, self.encoder, self.preset = method, dim, encoder, preset
        self.encoder_options, self.before, self.after, self.lag = encoder_options, before, after, lag
        self.bandwidth, self.temperature, self.similarity = bandwidth, temperature, similarity
        self.batch_size, self.batches_per_epoch, self.epochs = batch_size, batches_per_epoch, epochs
        self.lr, self.weight_decay, self.patience = lr, weight_decay, patience
        self.validation_share, self.width, self.root = validation_share, width, root
        self.seed, self.device, self.folder = seed, device, folder

    def check(self) -> None:
        """Raise :class:`BraindecError` if an option is wrong, as far as that can be known without data."""
        if self.method not in _METHODS:
            raise BraindecError(
                f"there is no method {self.method!r}{did_you_mean(str(self.method), _METHODS)}",
                allowed=", ".join(_METHODS),
            )
        if self.similarity not in ("cosine", "euclidean"):
            raise BraindecError(f"there is no similarity {self.similarity!r}", allowed="cosine, euclidean")
        for name, least in (
            ("dim", 1),
            ("before", 0),
            ("after", 0),
            ("lag", 1),
            ("batch_size", 8),
            ("batches_per_epoch", 1),
        ):
            whole(getattr(self, name), name, least=least)
        for name in ("bandwidth", "temperature"):
            number(getattr(self, name), name, least=0, ends=False)
        number(self.validation_share, "validation_share", least=0, most=0.9)
        if self.patience is not None and not self.validation_share and self.epochs:
            raise BraindecError(
                "early stopping needs validation samples", fix="validation_share=0.15, or patience=None"
            )
        train.check_settings(epochs=self.epochs, lr=self.lr, weight_decay=self.weight_decay, patience=self.patience,
                             optimizer="adamw", schedule="constant")  # fmt: skip
        registry.get("encoders", self.encoder).settings(self.preset, **(self.encoder_options or {}))

    def fit(self, signal: Any, labels: Any = None, *, rows: Any = None, ids: Any = None) -> ContrastiveLatents:
        """Train one encoder a session.

        Parameters
        ----------
        signal : array (unit, time), Recording or Spikes, or a list of them
            Sessions; units need not be the same.
        labels : array (time,) or (time, n_columns), or a list of them, optional
            Floats are numbers (give angles as cosine and sine); whole numbers, flags and texts are classes.
        rows : array, or a list of arrays, optional
            Samples, or a mask, that may be looked at. Windows that leave them are not used.
        ids : array of str, or a list of arrays, optional
            Names of the samples for ``fit_records_``.

        Raises
        ------
        BraindecError
            If the method needs labels and there are none, shapes do not fit, or too few samples are left.
        """
        self.check()
        sessions = as_sessions(signal, width=self.width)
        single, lengths = not isinstance(signal, (list, tuple)), [s.shape[1] for s in sessions]
        wanted = self.method != "time"
        if wanted and labels is None:
            raise BraindecError(f"the method {self.method!r} needs labels", fix="pass labels=, or method='time'")
        found = as_labels(labels, lengths, single=single) if wanted else None
        reach = self.lag if self.method != "label" else 0
        window = {"before": self.before, "after": self.after}
        parts = [parts_of(r, **window, reach=reach, share=self.validation_share if self.epochs else 0.0)
                 for r in as_rows(rows, lengths, single=single)]  # fmt: skip
        least = 2 * (self.before + self.after + 1 + reach)
        if min(len(t) for t, _ in parts) < least:
            raise BraindecError(
                "too few samples to fit on", found=f"{min(len(t) for t, _ in parts)} whose window lies in what may be seen",
                allowed=f"{least} or more", fix="shorter windows, or a smaller validation_share",
            )  # fmt: skip
        self.scaling_ = [Scaling.of(v, t, root=self.root) for v, (t, _) in zip(sessions, parts, strict=True)]
        self._train([s(v) for s, v in zip(self.scaling_, sessions, strict=True)], found, parts)
        names = _names(ids, lengths, single=single)
        seen, held = ([n for own, part in zip(names, parts, strict=True) for n in own[part[k]]] for k in (0, 1))
        self.fit_records_ = [FitRecord.of("Scaling", seen), FitRecord.of(type(self).__name__, seen)]
        if held:
            self.fit_records_.append(FitRecord.of("early stopping", held, purpose="selection"))
        return self

    def transform(self, signal: Any, *, session: int | None = None) -> Any:
        """Return the embedding of every sample, (time, dim) float32, or a list of them for a list of sessions.

        Parameters
        ----------
        signal : as in :meth:`fit`
            A list as long as the one that was fitted, or a single session.
        session : int, optional
            Which encoder a single session is for; needed when several were fitted.
        """
        self._check_fitted()
        sessions = as_sessions(signal, width=self.width)
        which = self._which(len(sessions), session, single=not isinstance(signal, (list, tuple)))
        out = []
        for values, s in zip(sessions, which, strict=True):
            if len(values) != len(self.scaling_[s].mean):
                raise BraindecError(
                    f"session {s + 1} was fitted with {len(self.scaling_[s].mean)} units", found=f"{len(values)}"
                )
            scaled, encoder = self.scaling_[s](values), self.encoders_[s].eval()
            device = next(encoder.parameters()).device
            blocks = []
            with torch.no_grad():
                for start in range(0, values.shape[1], _AT_ONCE):
                    some = np.arange(start, min(start + _AT_ONCE, values.shape[1]))
                    cut = windows_at(scaled, some, before=self.before, after=self.after)
                    blocks.append(encoder(torch.from_numpy(np.ascontiguousarray(cut)).to(device)).cpu().numpy())
            out.append(np.concatenate(blocks))
        return unwrap(out, signal)

    def goodness(
        self,
        signal: Any,
        labels: Any = None,
        *,
        rows: Any = None,
        batch: int = 256,
        n_shifts: int = 99,
        session: int = 0,
    ) -> Goodness:
        """Return InfoNCE in bits on one session, with the same on positives from another time as the null.

        A sample's positive stands among ``batch`` candidates; log2(batch) minus the cross-entropy is how many bits the
        embedding says about which one it is (a lower bound of the mutual information, van den Oord et al. 2018). In the
        null, positives (of "time") or labels are turned around in time.

        Parameters
        ----------
        signal, labels : as in :meth:`fit`, one session
        rows : array, optional
            Contiguous samples to look at; held-out ones, for a value that is not flattering.
        batch : int
        n_shifts : int
        session : int
            Which encoder.
        """
        z = torch.from_numpy(self.transform(signal, session=session))
        mask = as_rows(rows, [len(z)], single=True)[0]
        z = z[mask]
        lead = self.lag + self.before + self.after
        if len(z) < max(4 * lead, batch // 4, 16):
            raise BraindecError(
                "too few samples for a goodness of fit", found=f"{len(z)}", allowed=f"{4 * lead} or more"
            )
        batch = min(whole(batch, "batch", least=8), len(z))
        values = None
        if self.method != "time":
            if labels is None:
                raise BraindecError(f"the goodness of method {self.method!r} needs labels")
            coded = as_labels(labels, [len(mask)], single=True)
            values = torch.from_numpy(self._coded(coded).values[0][mask])
        rng = np.random.default_rng([self.seed, 5])
        shifts = rng.integers(lead, len(z) - lead + 1, size=whole(n_shifts, "n_shifts", least=1))
        draws = [
            drawn(self.loss_, len(z), values, lag=self.lag, batch=batch, rng=rng)
            for _ in range(max(1, _DRAWN // batch))
        ]
        found = [bits(self.loss_, z, draws, int(s)) for s in (0, *shifts)]
        null = np.array(found[1:])
        return Goodness(found[0], math.log2(batch), null, float(permutation_p(found[0], null)))

    def _train(
        self, values: list[np.ndarray], labels: Labels | None, parts: list[tuple[np.ndarray, np.ndarray]]
    ) -> None:
        kind = "no" if labels is None else "numbers" if labels.classes is None else "classes"
        self.classes_ = None if labels is None else labels.classes
        spread = 1.0
        if kind == "numbers":
            seen = np.concatenate([v[t] for v, (t, _) in zip(labels.values, parts, strict=True)])  # type: ignore[union-attr]
            spread = float(np.sqrt(seen.var(axis=0).mean())) or 1.0
        lag = self.lag if self.method != "label" else 0
        self.loss_ = LatentContrast(lag=lag, labelled=kind, bandwidth=self.bandwidth * spread, temperature=self.temperature,
                                    similarity=self.similarity)  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            encoders = [self._build(len(v)) for v in values]
        model = SessionEncoders(encoders, [len(v) for v in values])
        coded = None if labels is None else labels.values
        options: dict[str, Any] = {"lag": lag, "paired": kind == "classes", "before": self.before, "after": self.after,
                   "batch_size": self.batch_size}  # fmt: skip
        batches = LatentBatches(values, [t for t, _ in parts], coded, **options, n_batches=self.batches_per_epoch)
        held = None
        if self.epochs and self.validation_share:
            drawn = LatentBatches(values, [v for _, v in parts], coded, **options, n_batches=_VALIDATION_BATCHES)
            held = list(drawn(torch.Generator().manual_seed(self.seed)))
        where = train.resolve_device(self.device)

        def validate(model: nn.Module, loss: nn.Module) -> dict[str, float]:
            scores = [
                loss(model(b["x"].to(where), session=b["session"].to(where)), b["y"].to(where)) for b in held or []
            ]
            return {"loss": float(torch.stack(scores).mean())}

        history = train.fit(
            model, self.loss_, batches, validate=validate if held else None, epochs=self.epochs, lr=self.lr,
            weight_decay=self.weight_decay, patience=self.patience, folder=self.folder, key=self._key(values, coded, parts),
            device=str(where), seed=self.seed, title="latents",
        )  # fmt: skip
        self.encoders_, self.history_ = list(model.encoders), history.columns()

    def _build(self, n_units: int) -> nn.Module:
        kind, options = registry.get("encoders", self.encoder), dict(self.encoder_options or {})
        if self.similarity == "euclidean" and "normalise" in inspect.signature(kind.__init__).parameters:
            options.setdefault("normalise", False)
        return kind.from_preset(
            self.preset, n_chans=n_units, n_times=self.before + 1 + self.after, dim=self.dim, **options
        )

    def _coded(self, labels: Labels) -> Labels:
        """Labels with the codes of the fitted classes."""
        if (labels.classes is None) != (self.classes_ is None):
            raise BraindecError("labels are of another kind than those that were fitted", fix="floats are numbers")
        if labels.classes is None or self.classes_ is None:
            return labels
        unknown = set(labels.classes.tolist()) - set(self.classes_.tolist())
        if unknown:
            raise BraindecError(f"the class {sorted(map(str, unknown))[0]} was not fitted")
        place = np.searchsorted(self.classes_, labels.classes)
        return Labels([place[v.astype(int)].astype(float) for v in labels.values], self.classes_)

    def _which(self, n: int, session: int | None, *, single: bool) -> list[int]:
        fitted = len(self.encoders_)
        if single and session is None and fitted > 1:
            raise BraindecError(f"{fitted} sessions were fitted: which one is this?", fix=f"session=0 to {fitted - 1}")
        if session is not None:
            if not single or not 0 <= session < fitted:
                raise BraindecError(f"there is no session {session!r}", allowed=f"0 to {fitted - 1}, for one session")
            return [int(session)]
        if n != fitted:
            raise BraindecError(f"{fitted} sessions were fitted", found=f"{n}")
        return list(range(n))

    def _key(
        self, values: list[np.ndarray], labels: list[np.ndarray] | None, parts: list[tuple[np.ndarray, np.ndarray]]
    ) -> str:
        """Names data and options, so that a checkpoint is continued by the same fit only."""
        if self.folder is None:
            return ""
        digest = hashlib.sha256(
            repr({k: v for k, v in self.get_params().items() if k not in ("folder", "device")}).encode()
        )
        for array in (*values, *(labels or []), *(p for pair in parts for p in pair)):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def _check_fitted(self) -> None:
        if not hasattr(self, "encoders_"):
            raise BraindecError(f"{type(self).__name__} is not fitted", fix="call fit first")


def _names(ids: Any, lengths: list[int], *, single: bool) -> list[np.ndarray]:
    """One array of sample names a session."""
    if ids is None:
        return [np.array([f"{s}:{i}" for i in range(n)], dtype=object) for s, n in enumerate(lengths)]
    names = [np.asarray(one, dtype=object) for one in ([ids] if single else ids)]
    if [len(n) for n in names] != lengths:
        raise BraindecError(
            "ids and samples differ in number", found=f"{[len(n) for n in names]}", allowed=f"{lengths}"
        )
    return names
