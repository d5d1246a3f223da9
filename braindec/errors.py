"""One kind of error for everything a user can put right: what was asked, what was found, what is allowed, the fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BraindecError(Exception):
    """A problem that the user can put right; the command line prints it without a traceback.

    Parameters
    ----------
    asked : str
        What was asked for, with the name, path or value.
    found : str, optional
        What was found instead (shape, value, file).
    allowed : str, optional
        What would have been accepted.
    fix : str, optional
        The next thing to do.
    """

    def __init__(
        self, asked: str, *, found: str | None = None, allowed: str | None = None, fix: str | None = None
    ) -> None:
        self.asked, self.found, self.allowed, self.fix = asked, found, allowed, fix
        lines = [asked]
        lines += [f"  found:   {found}"] if found else []
        lines += [f"  allowed: {allowed}"] if allowed else []
        lines += [f"  fix:     {fix}"] if fix else []
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple:
        return _rebuild, (type(self), self.asked, self.found, self.allowed, self.fix)


def _rebuild(
    kind: type[BraindecError], asked: str, found: str | None, allowed: str | None, fix: str | None
) -> BraindecError:
    return kind(asked, found=found, allowed=allowed, fix=fix)


class UnreadableError(BraindecError):
    """A file or folder that cannot be read as a recording or a stimulus set."""


class MissingExtraError(BraindecError):
    """An optional package is needed; the message has the line that installs it."""

    @classmethod
    def of(cls, package: str, extra: str, what: str) -> MissingExtraError:
        """Build the error for ``what`` needing ``package`` from the extra ``extra``."""
        return cls(
            f"{what} needs the package {package!r}, which is not installed",
            fix=f"pip install 'braindec[{extra}]'",
        )


def nearest(name: str, options: Iterable[str], *, n: int = 3) -> list[str]:
    """Return up to ``n`` of ``options`` that look like ``name`` (case is ignored), best first."""
    table = {str(o).lower(): str(o) for o in options}
    return [table[k] for k in difflib.get_close_matches(str(name).lower(), list(table), n=n, cutoff=0.5)]


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` or an empty string when nothing is near."""
    near = nearest(name, options, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
