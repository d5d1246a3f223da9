"""Units of work: done, failed or cached; one after the other, on local workers, or one command a unit."""

from braindec.engine.recipe import Recipe, Work, load_recipe
from braindec.engine.run import RunSummary, run

__all__ = ["Recipe", "RunSummary", "Work", "load_recipe", "run"]
