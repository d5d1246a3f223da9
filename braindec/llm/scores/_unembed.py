"""From directions in the residual stream to logits of tokens: the unembedding with the final norm folded in.

A norm divides by a scale that depends on the whole residual stream; directions are read up to that scale. What the norm
does to every input alike is folded in: it subtracts the mean over units (where it is a layer norm) and multiplies by its
gain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from braindec.errors import BraindecError

if TYPE_CHECKING:
    from braindec.llm.load import LanguageModel

__all__ = ["centres", "gain_of", "lens_logits", "token_names", "unembedding_of"]


def unembedding_of(lm: LanguageModel, *, fold: bool = True) -> torch.Tensor:
    """Return the logits that each direction of the residual stream gives, (token, unit), float32.

    Parameters
    ----------
    lm : LanguageModel
    fold : bool
        Fold the gain and the centring of the final norm into it.

    Raises
    ------
    BraindecError
        If the model has no linear unembedding.
    """
    from braindec.llm.architecture import is_linear, weight_of

    head = lm.architecture.unembedding
    if head is None or not is_linear(head):
        raise BraindecError(f"{lm.name} has no linear map from the residual stream to tokens",
                            fix="scores that read logits need a model with a language-modelling head")  # fmt: skip
    weight = weight_of(head).detach().float()
    norm = lm.architecture.final_norm
    if weight.shape[1] != lm.architecture.hidden_size:
        raise BraindecError(f"the unembedding of {lm.name} does not read the residual stream",
                            found=f"{weight.shape[1]} inputs, {lm.architecture.hidden_size} units")  # fmt: skip
    _check_direct(lm)
    if not fold or norm is None:
        return weight
    weight = weight * gain_of(norm, weight.shape[1]).to(weight)
    return weight - weight.mean(dim=1, keepdim=True) if centres(norm, weight.shape[1]) else weight


def _check_direct(lm: LanguageModel) -> None:
    """Raise unless norm and unembedding are all that stands between the last layer and the order of the logits."""
    from braindec.llm.extract import iterate_activations

    tokens = [[(7 * k + 3) % lm.vocab_size for k in range(6)]]
    last = lm.n_layers - 1
    batch = next(iter(iterate_activations(lm, tokens, sites=("resid_post",), layers=[last])))
    ours = lens_logits(lm, batch.values[last, "resid_post"])[0]
    theirs = lm.logits(batch.tokens)[0].to(ours)
    both = torch.stack([ours, theirs]).argsort(dim=-1).argsort(dim=-1).double()
    both -= both.mean(dim=-1, keepdim=True)
    agreement = torch.nn.functional.cosine_similarity(both[0], both[1], dim=-1)
    if float(agreement.min()) < 0.99:
        raise BraindecError(f"between the residual stream and the tokens of {lm.name} stands more than a norm and a linear map",
                            found=f"rank correlation of logits {float(agreement.min()):.2f}")  # fmt: skip


def gain_of(norm: torch.nn.Module, width: int) -> torch.Tensor:
    """Return the gain of a norm, (unit,), found by what it does to +1 and -1: some norms multiply by 1 + weight."""
    device = next(norm.parameters()).device
    signs = torch.ones(width, device=device)
    signs[1::2] = -1.0  # mean 0 and mean square 1 (to 1 / width): both kinds of norm leave it as it is
    with torch.no_grad():
        there = norm(signs[None, None].to(next(norm.parameters()).dtype)).float()
        back = norm(-signs[None, None].to(next(norm.parameters()).dtype)).float()
    return ((there - back) / 2)[0, 0] * signs


def centres(norm: torch.nn.Module, width: int) -> bool:
    """Whether a norm subtracts the mean over units: a shifted input then gives the same output."""
    parameter = next(norm.parameters())
    probe = torch.linspace(-1, 1, width, device=parameter.device, dtype=parameter.dtype)[None, None]
    with torch.no_grad():
        return bool(torch.allclose(norm(probe).float(), norm(probe + 2.0).float(), atol=1e-3, rtol=1e-3))


def lens_logits(lm: LanguageModel, hidden: torch.Tensor) -> torch.Tensor:
    """Return the logits (..., token) that the model would give if ``hidden`` (..., unit) were its last layer's output."""
    from braindec.llm.architecture import is_linear

    head, norm = lm.architecture.unembedding, lm.architecture.final_norm
    if head is None or not is_linear(head):
        raise BraindecError(f"{lm.name} has no linear map from the residual stream to tokens",
                            fix="scores that read logits need a model with a language-modelling head")  # fmt: skip
    with torch.no_grad():
        hidden = hidden.to(next(head.parameters()))
        return head(hidden if norm is None else norm(hidden)).float()


def token_names(lm: LanguageModel, ids: list[int]) -> list[str]:
    """Return tokens as text; what cannot be printed (line ends, control characters) as its escape."""
    return ["".join(c if c.isprintable() else _escape(c) for c in lm.tokenizer.decode([int(i)])) for i in ids]


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
