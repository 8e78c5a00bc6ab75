"""The page /docs: Swagger UI with every file from this server, so that it needs no network and keeps to a strict policy."""

from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import Response

from meta_insights_pipeline.read_api.errors import NotFoundError
from meta_insights_pipeline.read_api.http_headers import DOCS_POLICY

# The package carries Swagger UI's own files; its code, which patches FastAPI, is not used.
_PACKAGE = "fastapi_offline"
_FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
_START = """\
"use strict";
window.ui = SwaggerUIBundle({
  url: new URL("../openapi.json", document.currentScript.src).href,
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  displayRequestDuration: true,
  persistAuthorization: false,
});
"""
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Meta Insights API</title>
<link rel="icon" href="docs/favicon.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
# They change with the package alone.
_KEEP = {"Cache-Control": "public, max-age=3600"}

router = APIRouter(include_in_schema=False)


@router.get("/docs", response_class=Response)
def docs() -> Response:
    """The page."""
    headers = {"Content-Security-Policy": DOCS_POLICY, "Cache-Control": "no-cache"}
    return Response(_PAGE, media_type="text/html", headers=headers)


@router.get("/docs/start.js", response_class=Response)
def start() -> Response:
    """What the page does when it is loaded."""
    return Response(_START, media_type="text/javascript", headers=_KEEP)


@router.get("/docs/{name}", response_class=Response)
def asset(name: str) -> Response:
    """A file of Swagger UI."""
    if name not in _FILES:
        raise NotFoundError("file", name)
    content = files(_PACKAGE).joinpath("static", name).read_bytes()
    return Response(content, media_type=_FILES[name], headers=_KEEP)
