"""What a browser is told about the page's files: what the page may load and talk to, and how long to keep them. Pure.

The local gateway sends these; infra/page.yaml says the same to CloudFront, and a test holds the two together.
"""

from collections.abc import Iterable
from pathlib import PurePosixPath
from urllib.parse import urlsplit

CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/plain; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    "": "text/plain; charset=utf-8",  # LICENSE
}
# Kept, but asked about each time: a new release shows at once, and an unchanged file costs an answer without a body.
CACHE = "no-cache"
CACHE_NEVER = "no-store"
HEADERS = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
# Pictures for the README.
NOT_SERVED = frozenset({"screenshots"})


def content_security_policy(connect: Iterable[str], pictures: Iterable[str] = ()) -> str:
    """The page's Content-Security-Policy (W3C CSP Level 3).

    Parameters
    ----------
    connect : origins that it may call besides its own: the API's, the file store's, the issuer's.
    pictures : origins of map tiles; none by default.
    """
    directives = {
        "default-src": ["'self'"],
        "script-src": ["'self'", "'wasm-unsafe-eval'"],  # SHA-256 is WebAssembly
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:", "blob:", *pictures],
        "connect-src": ["'self'", *connect],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
    return "; ".join(f"{name} {' '.join(sources)}" for name, sources in directives.items())


def content_type(path: str) -> str | None:
    """Of a file of the page; None where it is none that is served."""
    place = PurePosixPath(path)
    hidden = any(part.startswith(".") for part in place.parts)
    return None if hidden or place.parts[0] in NOT_SERVED else CONTENT_TYPES.get(place.suffix)


def origin(address: str) -> str:
    """Scheme, host and port of an address, as a policy's source."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
