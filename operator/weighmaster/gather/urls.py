"""URLs that others hand us."""

from yarl import URL


def absolute(text: str | None, base: URL | None = None) -> URL | None:
    """An absolute URL with a host and a possible port, without its fragment; None for other text.

    ``base`` is what a relative one is relative to. Escapes are kept as they came.
    """
    if not text or len(text) > 8192 or not text.isprintable():
        return None
    try:
        url = URL(text, encoded=True)
        if base is not None:
            url = base.join(url)
        if not url.absolute or not url.host or url.port == 0:
            return None
        url.origin()
        return url.with_fragment(None)
    except ValueError:
        return None
