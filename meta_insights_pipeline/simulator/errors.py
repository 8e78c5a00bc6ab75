"""Errors as Graph words them: one envelope, and a constructor for each kind that the simulator raises by itself.

Belongs here: codes, types and texts. Does not belong here: when an error applies.
"""

from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass
class GraphError(Exception):
    """An error answer of Graph."""

    message: str
    code: int
    subcode: int | None = None
    status: int = 400
    type: str = "OAuthException"
    is_transient: bool | None = None
    user_title: str | None = None
    user_message: str | None = None
    data: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message

    def body(self, trace_id: str) -> bytes:
        """Return the JSON of the answer."""
        optional = {
            "error_subcode": self.subcode,
            "is_transient": self.is_transient,
            "error_user_title": self.user_title,
            "error_user_msg": self.user_message,
            "error_data": self.data,
        }
        error: dict[str, Any] = {"message": self.message, "type": self.type, "code": self.code}
        error |= {key: value for key, value in optional.items() if value is not None}
        error["fbtrace_id"] = trace_id
        return orjson.dumps({"error": error})


def invalid_parameter(text: str, *blamed: str) -> GraphError:
    """Return the error for a parameter that cannot be served."""
    data = {"blame_field_specs": [[name] for name in blamed]} if blamed else None
    return GraphError(f"(#100) {text}", 100, data=data)


def unknown_field(name: str, param: str = "fields") -> GraphError:
    """Return the error for a field that Meta does not know."""
    text = f"{name} is not valid for {param} param. please check the documentation of the API for all valid values"
    return invalid_parameter(text, param)


def not_one_of(place: str, allowed: tuple[str, ...]) -> GraphError:
    """Return the error for a value outside an enumeration; `place` names the parameter and the index."""
    return invalid_parameter(f"{place} must be one of the following values: {', '.join(allowed)}")


def no_such_object(object_id: str, method: str = "get") -> GraphError:
    """Return the error for an object that does not exist, or not for this token."""
    text = (
        f"Unsupported {method} request. Object with ID '{object_id}' does not exist, cannot be loaded due to missing "
        "permissions, or does not support this operation. Please read the Graph API documentation"
    )
    return GraphError(text, 100, 33, type="GraphMethodException")


def not_permitted(code: int = 200) -> GraphError:
    """Return the error for an object that the token may not read: code 200, 10, or 100 without a subcode."""
    texts = {
        200: "(#200) Ad account owner has NOT grant ads_management or ads_read permission",
        10: "(#10) Application does not have permission for this action",
        100: "(#100) Missing permissions",
    }
    return GraphError(texts[code], code, status=400 if code == 100 else 403)


def unknown_alias(object_id: str) -> GraphError:
    """Return the error for a bare number or word that names nothing."""
    return GraphError(f"(#803) Some of the aliases you requested do not exist: {object_id}", 803, status=404)


def unknown_path(path: str) -> GraphError:
    """Return the error for a path with too many or unknown parts."""
    return GraphError(f"Unknown path components: {path}", 2500)


def beyond_retention() -> GraphError:
    """Return the error for a range that begins too long ago."""
    text = "(#3018) The start date of the time range cannot be beyond 37 months from the current date"
    return GraphError(text, 3018)


def invalid_cursor() -> GraphError:
    """Return the error for a cursor that cannot be read."""
    return GraphError("(#2642) Invalid cursors values", 2642)


def report_not_ready() -> GraphError:
    """Return the error for reading a report run before it is complete."""
    return GraphError(
        "Error accessing adreport job.",
        2601,
        1815107,
        is_transient=True,
        user_title="Loading Async Ads Report Failed",
        user_message="Sorry, the report cannot be loaded successfully. Please try again later.",
    )


def report_gone() -> GraphError:
    """Return the error for a report run whose result is no longer kept."""
    return GraphError("(#2601) The report run cannot be accessed or has expired.", 2601, is_transient=False)


def too_many_calls(code: int, headers: dict[str, str], subcode: int | None = 2446079) -> GraphError:
    """Return the error for an ad account whose hourly budget for a business use case, or whose score, is spent."""
    return GraphError(
        f"(#{code}) There have been too many calls from this ad-account. Please wait a bit and try again.",
        code,
        subcode,
        is_transient=False,
        user_title="Ad account has too many API calls",
        user_message="There have been too many calls from this ad account. Wait a bit and try again.",
        headers=headers,
    )
