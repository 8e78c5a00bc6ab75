"""Requests to an app without a socket."""

import asyncio
from typing import Any

import httpx
from fastapi import FastAPI


class AsgiClient:
    """A client on this machine whose requests go straight to an app; an error of the app is its answer with status 500."""

    def __init__(self, app: FastAPI, base_url: str = "http://127.0.0.1:8080") -> None:
        self.app = app
        self._base_url = base_url

    def get(self, address: str, **options: Any) -> httpx.Response:
        """Ask with GET."""
        return self.request("GET", address, **options)

    def post(self, address: str, **options: Any) -> httpx.Response:
        """Ask with POST."""
        return self.request("POST", address, **options)

    def request(self, method: str, address: str, **options: Any) -> httpx.Response:
        """Ask; options are those of httpx."""
        return asyncio.run(self._request(method, address, **options))

    async def _request(self, method: str, address: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=self._base_url) as client:
            return await client.request(method, address, **options)
