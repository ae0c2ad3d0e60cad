"""A reader of the book in a browser, and a watch over what the pages do meanwhile."""

from urllib.parse import urlsplit

WIDTHS = (1280, 768, 360)
HEIGHT = 800
SECONDS = 30


def open_as(browser, address, width=1280, dark=False, **options):
    """Open an address as a reader with a screen and a theme; the page carries its `watch`.

    Other options are those of a browser's context: `has_touch`, `java_script_enabled` and so on.
    """
    context = browser.new_context(viewport={"width": width, "height": HEIGHT}, **options)
    context.set_default_timeout(SECONDS * 1000)
    if dark:
        remember(context, mode="dark", theme="dark")
    page = context.new_page()
    page.watch = Watch(page, address)
    page.goto(address, wait_until="load")
    return page


def remember(context, **choices):
    """Let a reader come back with what the pages stored for them before."""
    lines = "".join(
        f"localStorage.getItem({name!r}) ?? localStorage.setItem({name!r}, {choice!r});"
        for name, choice in choices.items()
    )
    context.add_init_script(f"try {{ {lines} }} catch {{}}")


class Watch:
    """Collects a page's messages and requests from the moment it is made.

    Attributes:
        said: Errors and warnings of the console, and errors that no script caught.
        failed: Requests that got no answer, or an answer that says no.
        abroad: Requests to anywhere but the site.
    """

    def __init__(self, page, address):
        """Watch a page that is about to open an address, whose host is the site."""
        self.said, self.failed, self.abroad = [], [], []
        self.host = urlsplit(address).netloc
        self.requested = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.said.append(f"uncaught: {error}"))
        page.on("request", self._see)
        page.on("requestfailed", self._miss)
        page.on("response", self._answer)

    def _hear(self, message):
        if message.type in ("error", "warning"):
            where = message.location.get("url", "").rpartition("/")[2]
            self.said.append(f"{message.type}: {message.text} ({where})")

    def _see(self, request):
        self.requested.append(request.url)
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss", "ftp") and parts.netloc != self.host:
            self.abroad.append(request.url)

    def _miss(self, request):
        # A request that the page itself gave up, as when it is left, is none that failed.
        if request.failure != "net::ERR_ABORTED":
            self.failed.append(f"{request.failure}: {request.url}")

    def _answer(self, response):
        if response.status >= 400:
            self.failed.append(f"{response.status}: {response.url}")

    def faults(self):
        """All that a reader's page should not do."""
        abroad = [f"leaves the site: {url}" for url in self.abroad]
        return [*self.said, *self.failed, *abroad]
