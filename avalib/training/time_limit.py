"""Training within a time limit: the number of epochs that fits."""

import logging
from dataclasses import replace
from pathlib import Path

from avalib.training.existing_run import RunExistsError, format_refusal, load_run_of_same_settings
from avalib.training.train_config import TrainConfig
from avalib.utils.plurals import format_count

logger = logging.getLogger(__name__)

MAX_OVERRUN = 0.1  # of the limit, by which the last epoch may end later: a limit is "about" so many minutes


def limit_epochs(
    config: TrainConfig, minutes: float | None, minutes_per_epoch: float, folder: str | Path, existing: str = "stop"
) -> TrainConfig:
    """Set the recipe's epochs to what fits into a time limit.

    A run in `folder` of the same settings keeps its own number of epochs, whatever was timed now, if it is finished, if
    it was started with the same limit, if existing is "continue", or if its remaining epochs fit.

    Parameters
    ----------
    config : TrainConfig
    minutes : float or None
        About how long the epochs may take, without the validations; by the estimate a tenth longer at most. None: all
        of the recipe's epochs.
    minutes_per_epoch : float
        See CostEstimate.minutes_per_epoch.
    folder : str or Path
        The folder of the training.
    existing : str
        See existing_run.CHOICES.

    Returns
    -------
    TrainConfig
        With at least one epoch.

    Raises
    ------
    RunExistsError
        An unfinished run does not fit, and existing is "stop".
    """
    if minutes is None:
        return config
    if not minutes > 0:
        raise ValueError(f"minutes={minutes!r}: expected a number above 0, or None for all of the recipe's epochs")
    recipe_epochs = config.recipe.epochs
    fitting = int(minutes * (1 + MAX_OVERRUN) / max(minutes_per_epoch, 1e-9))
    epochs = max(1, min(recipe_epochs, fitting))
    # a run that was started keeps its number of epochs, as its learning rates depend on it
    saved = load_run_of_same_settings(folder, config)
    if saved is not None:
        remaining_minutes = (saved.epochs - saved.epoch) * minutes_per_epoch
        keeps_epochs = saved.is_finished or saved.minutes == minutes or existing == "continue"
        if keeps_epochs or remaining_minutes <= minutes:
            logger.info(f"{folder} holds {saved.describe()}: it is resumed, or used as it is")
            recipe = replace(config.recipe, epochs=saved.epochs)
            return replace(config, recipe=recipe, minutes=saved.minutes)
        if existing != "new":
            needed = f"about {remaining_minutes:.0f} remaining"
            available = f"{minutes:g}, which is {format_count(epochs, 'epoch')} in total,"
            raise RunExistsError(format_refusal(folder, saved, {"minutes of training": (needed, available)}))
    logger.info(
        f"minutes={minutes:g}: {epochs} of the recipe's {recipe_epochs} epochs ({minutes_per_epoch:.1f} minutes each "
        "on this machine)"
    )
    return replace(config, recipe=replace(config.recipe, epochs=epochs), minutes=minutes)
