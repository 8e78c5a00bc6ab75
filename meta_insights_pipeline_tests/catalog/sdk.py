"""The lists of Meta's SDK, as the catalogue must have them."""

from facebook_business.adobjects.ad import Ad
from facebook_business.adobjects.adset import AdSet
from facebook_business.adobjects.adsinsights import AdsInsights
from facebook_business.adobjects.campaign import Campaign

from meta_insights_pipeline.catalog.levels import Level


def _values(enumeration: type) -> frozenset[str]:
    return frozenset(value for name, value in vars(enumeration).items() if not name.startswith("_"))


FIELDS = _values(AdsInsights.Field)
BREAKDOWNS = _values(AdsInsights.Breakdowns)
WINDOWS = _values(AdsInsights.ActionAttributionWindows)
LEVELS = _values(AdsInsights.Level)
STATUSES = {
    Level.CAMPAIGN: _values(Campaign.EffectiveStatus),
    Level.ADSET: _values(AdSet.EffectiveStatus),
    Level.AD: _values(Ad.EffectiveStatus),
}
