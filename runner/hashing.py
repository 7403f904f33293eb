"""SHA-256 and SHA-1 without OpenSSL, whose loading costs a warm run 2 ms."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import sha1, sha256
else:
    try:  # the interpreter's own implementations, as hashlib itself falls back to: 3.12 and later
        from _sha1 import sha1

        from _sha2 import sha256
    except ImportError:
        try:  # 3.11
            from _sha1 import sha1
            from _sha256 import sha256
        except ImportError:  # an interpreter that is built without them
            from hashlib import sha1, sha256

__all__ = ["sha1", "sha256"]
