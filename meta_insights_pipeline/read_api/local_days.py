"""Which days it is for whoever asks: beside the file and the question all that an answer about `days=7` depends on."""

from collections import OrderedDict
from datetime import date, datetime
from functools import lru_cache
from urllib.parse import parse_qsl

from meta_insights_pipeline.warehouse.reading.period import today_in
from meta_insights_pipeline.warehouse.reading.reference import ReferenceBook

# No time zone is off UTC by anything but quarters of an hour, so that days begin at these alone.
_SLOT_SECONDS = 900
_MOST = 1024
# What names its days, or the moment from which they are counted.
_ABSOLUTE = frozenset({"as_of", "date_from"})


class LocalDays:
    """The day that it is in each time zone of the accounts that somebody sees; for one thread."""

    def __init__(self, references: ReferenceBook) -> None:
        """Know nothing yet.

        Args:
            references: The accounts of the published files.
        """
        self._references = references
        self._known: OrderedDict[tuple[str, frozenset[str] | None, int], tuple[date, ...]] = OrderedDict()

    def of(self, identity: str, accounts: frozenset[str] | None, query: str, now: datetime) -> tuple[date, ...] | None:
        """What an answer depends on; nothing when its days are named. None when the accounts of the file are not known yet.

        Args:
            identity: Of the published file.
            accounts: Those that whoever asks sees; None for all.
            query: Of the question.
            now: The moment.
        """
        if _names_its_days(query):
            return ()
        key = identity, accounts, int(now.timestamp() // _SLOT_SECONDS)
        if key not in self._known:
            reference = self._references.known_of(identity)
            if reference is None:
                return None
            # One after the other: of two accounts it may be the same two days and the other way round.
            zones = sorted(zone for zone in reference.zones(accounts) if zone is not None)
            # The day of UTC stands in for zones that are not known.
            self._known[key] = (now.date(), *(today_in([zone], now).newest for zone in zones))
            while len(self._known) > _MOST:
                self._known.popitem(last=False)
        return self._known[key]


@lru_cache(maxsize=4096)
def _names_its_days(query: str) -> bool:
    return not _ABSOLUTE.isdisjoint(name for name, _ in parse_qsl(query, keep_blank_values=True))
