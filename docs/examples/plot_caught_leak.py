"""
A leak, caught
==============

Ten classes shown in blocks, and a signal that holds nothing but slow noise. Dealing windows out at random decodes it
far above chance; the audit says why.
"""

import numpy as np

from braindec import Windows, audit
from braindec.decoders.classifier import Classifier
from braindec.errors import BraindecError
from braindec.evaluate.splits import split_by
from braindec.types import Split

# %%
# Noise with a 1/f spectrum: neighbours in time are alike.
rng = np.random.default_rng(1)
n_windows, n_channels, n_times = 400, 8, 25
spectrum = np.fft.rfft(rng.standard_normal((n_channels, n_windows * n_times)))
spectrum[:, 1:] /= np.arange(1, spectrum.shape[1])
noise = np.fft.irfft(spectrum)
X = (noise / noise.std()).reshape(n_channels, n_windows, n_times).swapaxes(0, 1).astype("float32")
y = np.repeat([f"class {k}" for k in range(10)], n_windows // 10)
trials = {"trial_type": y, "onset": np.arange(n_windows) * 0.25, "run": np.ones(n_windows, int)}
windows = Windows.from_arrays(X, trials, sfreq=100.0)

# %%
# braindec does not make such a split ...
try:
    split_by(windows, "shuffled", n_folds=5)
except BraindecError as refused:
    print(refused)

# %%
# ... but scikit-learn does. Nothing was there to decode, yet:
order = rng.permutation(n_windows)
leaky = Split(np.sort(order[80:]), [], np.sort(order[:80]), by="shuffled", ids=windows.ids)
decoder = Classifier().fit(windows[leaky.train], y[leaky.train])
print("accuracy", np.mean(decoder.predict(windows[leaky.test]) == y[leaky.test]), "chance 0.1")

# %%
# The audit names the problem and the way out.
card = audit(windows, leaky, y=y)
for finding in card.at("fail", "warn"):
    print(f"{finding.level}: {finding.check}: {finding.message}\n")
