"""What opens addresses of the web, and nothing else."""

from __future__ import annotations

import functools
import ssl
import urllib.request
from urllib.parse import urlsplit

from lth.errors import DataError

SCHEMES = ("http", "https")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows 10 redirects at most, to web addresses alone."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if urlsplit(newurl).scheme not in SCHEMES:
            raise DataError("redirected to what is no web address", at=req.full_url, value=newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@functools.cache
def _trust() -> ssl.SSLContext:
    """Returns what https is checked against: read once a process, for it takes longer than to fetch a small file."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def opener() -> urllib.request.OpenerDirector:
    """Returns what opens http and https alone, by the proxies that http_proxy, https_proxy and no_proxy name."""
    director = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=_trust()),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        director.add_handler(handler)
    return director
