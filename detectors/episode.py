"""Episodes: a run of drifted slices is one piece of news, however long it lasts."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

QUIET_SLICES = 2
GROWTH = 2.0


class Episode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The drift that goes on, if any: what was told of it, and for how many slices it has been quiet.

    ``told`` maps each column to the largest effect that was part of a notification; empty when there is no
    episode.
    """

    told: dict[str, float] = {}
    quiet: int = 0

    @property
    def active(self) -> bool:
        """Whether an episode goes on."""
        return bool(self.told)


class News(msgspec.Struct, frozen=True):
    """What a slice adds: the episode after it, whether it began here, whether to tell somebody."""

    episode: Episode
    began: bool
    notify: bool


def follow(episode: Episode, effects: Mapping[str, float]) -> News:
    """Carry an episode on with a slice's drifted columns and their effects (empty: none drifted).

    It ends with the second quiet slice in a row. While it lasts, it is told again only when a column joins
    or when an effect has doubled since it was last told. A slice without data is not to be passed here: it
    says nothing.

    >>> news = follow(Episode(), {"age": 0.5})
    >>> news.began, follow(news.episode, {"age": 0.6}).notify, follow(news.episode, {"age": 1.1}).notify
    (True, False, True)
    """
    if not effects:
        quiet = episode.quiet + 1
        after = Episode(episode.told, quiet) if episode.active and quiet < QUIET_SLICES else Episode()
        return News(after, began=False, notify=False)
    news = {
        name: effect
        for name, effect in effects.items()
        if name not in episode.told or effect >= GROWTH * episode.told[name]
    }
    return News(Episode({**episode.told, **news}, 0), began=not episode.active, notify=bool(news))
