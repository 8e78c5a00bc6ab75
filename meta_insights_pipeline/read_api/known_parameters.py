"""No parameter is passed over in silence: one that a route does not have is a 422 that names the one that may be meant."""

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

# A client that is so much in error needs no more.
_MOST_TOLD = 10
_LONGEST_NAME = 64
# By what a route calls, since routes themselves cannot be keys.
_known: WeakKeyDictionary[Callable[..., Any], tuple[str, ...]] = WeakKeyDictionary()


async def only_known_parameters(request: Request) -> None:
    """A dependency of routes, behind the one that tells who asks.

    Raises:
        RequestValidationError: 422, a parameter in the query that the route does not have.
    """
    if not request.scope["query_string"]:
        return
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    known = parameters_of(route)
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise RequestValidationError([_error(name[:_LONGEST_NAME], known) for name in unknown[:_MOST_TOLD]])


def parameters_of(route: APIRoute) -> tuple[str, ...]:
    """The names of the parameters that a route takes in its query."""
    if route.endpoint not in _known:
        _known[route.endpoint] = tuple(dict.fromkeys(_names(route.dependant)))
    return _known[route.endpoint]


def _names(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for each in dependant.dependencies:
        yield from _names(each)


def _error(name: str, known: tuple[str, ...]) -> dict[str, object]:
    near = get_close_matches(name.lower(), known, 1)
    if near:
        sentence = f"There is no such parameter here; {near[0]} is the nearest."
    elif known:
        sentence = f"There is no such parameter here; there are {', '.join(known)}."
    else:
        sentence = "Nothing is asked for by parameters here; leave them out."
    return {"type": "extra_forbidden", "loc": ("query", name), "msg": sentence}
