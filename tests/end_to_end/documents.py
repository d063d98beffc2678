"""Small documents to import, made for these tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"


def request(name: str, body: str = "") -> dict[str, Any]:
    """Return a request item with a saved response."""
    return {
        "name": name,
        "request": {
            "method": "POST",
            "url": {"raw": f"https://api.example/{name}", "path": [name]},
            "header": [{"key": "Accept", "value": "application/json"}],
            "body": {"mode": "raw", "raw": body},
        },
        "response": [{"name": f"{name} works", "code": 200, "body": body, "header": []}],
    }


def collection(folders: int = 2, requests: int = 3, body: str = "{}") -> dict[str, Any]:
    """Return a collection v2.1 of `folders` times `requests` requests."""
    return {
        "info": {"name": "Shop", "schema": SCHEMA, "x-team": "billing"},
        "item": [
            {
                "name": f"Folder {folder}",
                "item": [request(f"r{folder}-{number}", body) for number in range(requests)],
            }
            for folder in range(folders)
        ],
    }


def write(folder: Path, document: Any, name: str = "shop.json") -> Path:
    """Write a document as a JSON file and return its path."""
    path = folder / name
    path.write_text(json.dumps(document), encoding="utf-8")
    return path
