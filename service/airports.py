"""The time zone of every airport that the sample of flights departs from or arrives at.

A schedule gives local times of two places: an arrival of 08:19 in Houston is an hour later than 08:19 in Newark.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

__all__ = ["HOME", "ZONE_OF_AIRPORT", "zone_of"]

HOME = ZoneInfo("America/New_York")

_AIRPORTS_OF_ZONE = {
    "America/New_York": (
        "ALB ATL AVL BDL BOS BTV BUF BWI CAE CHS CLE CLT CMH CVG DAY DCA EWR FLL GSO GSP IAD JAX LGA MCO MHT MIA MYR "
        "ORF PBI PHL PIT PVD PWM RDU RIC ROC RSW SAV SYR TPA TYS"
    ),
    "America/Detroit": "DTW GRR TVC",
    "America/Indiana/Indianapolis": "IND SBN",
    "America/Kentucky/Louisville": "SDF",
    "America/Chicago": "AUS BNA DFW DSM HOU IAH MCI MDW MEM MKE MSN MSP MSY OKC OMA ORD SAT STL TUL XNA",
    "America/Denver": "BZN DEN EGE HDN JAC MTJ SLC",
    "America/Phoenix": "PHX",
    "America/Los_Angeles": "LAS LAX PDX SAN SEA SFO SNA",
    "America/Anchorage": "ANC",
    "Pacific/Honolulu": "HNL",
    "America/Puerto_Rico": "BQN SJU",
    "America/St_Thomas": "STT",
}

ZONE_OF_AIRPORT = {airport: zone for zone, airports in _AIRPORTS_OF_ZONE.items() for airport in airports.split()}


def zone_of(airport: str) -> ZoneInfo:
    """Return the IANA zone of `airport` (three letters, IATA).

    Raises
    ------
    ValueError
        for an airport that the sample does not fly to.
    """
    try:
        return ZoneInfo(ZONE_OF_AIRPORT[airport])
    except KeyError:
        raise ValueError(f"airport = {airport!r}: not in the sample; add its zone to service/airports.py") from None
