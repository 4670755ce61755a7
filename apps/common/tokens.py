"""Tokens that machines show in place of an account."""

import hmac


def bearer_matches(authorization: str, token: str) -> bool:
    """Whether the header `Authorization: Bearer …` carries `token`; compared in constant time. An empty token admits nobody."""
    scheme, _, shown = authorization.partition(" ")
    same = hmac.compare_digest(shown.strip().encode("utf-8", "surrogateescape"), token.encode())
    return bool(token) and scheme.lower() == "bearer" and same
