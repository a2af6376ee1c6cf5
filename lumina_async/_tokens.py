"""Keys derived from the write key, and what is made with them."""

import hashlib
import hmac


def derive_key(write_key: str, purpose: str) -> bytes:
    """Return a key for one purpose, which tells nothing of the write key or of the key for another purpose."""
    return hmac.digest(write_key.encode(), b"lumina." + purpose.encode(), "sha256")


def keyed_hash(key: bytes, text: str) -> str:
    """Return 64 hex digits that are the same for the same text under one key, and tell nothing of it without."""
    return hmac.new(key, text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def text_digest(text: str) -> str:
    """Return the SHA-256 of a text as 64 hex digits: what a page can make of it, which must not have a key.

    Half a surrogate pair counts as U+FFFD, as it does in a browser.
    """
    return hashlib.sha256(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()).hexdigest()
