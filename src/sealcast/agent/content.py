"""Owns a package that a client reads through its agent: source and session, content into a descriptor."""

from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path

from sealcast.agent.sources import PackageSource, package_source
from sealcast.client.agent import AgentClient
from sealcast.messages.agent import Session

Progress = Callable[[int], None]
"""Is told how many bytes came since it was told last."""


class Content:
    """An open package; `about` is what the agent says of it, verified."""

    def __init__(self, client: AgentClient, source: PackageSource) -> None:
        """Open it; raises as `AgentClient.open`."""
        self._client, self._source = client, source
        self.about: Session = client.open(source.head)

    def write(self, sink: int, offset: int, length: int, progress: Progress | None = None) -> int:
        """Write content into a descriptor and return how much; raises what ended it early.

        What is in the sink then has been verified, chunk by chunk.
        """
        count = 0
        with closing(self._source.windows(offset, length)) as windows:
            for window in windows:
                written = self._client.copy(
                    self.about.session, window.offset, window.length, window.descriptor, sink
                )
                count += written.count
                if progress is not None:
                    progress(written.count)
                if written.error is not None:
                    raise written.error
        return count


@contextmanager
def open_content(socket: Path, place: str) -> Generator[Content, None, None]:
    """Open the package at `place`, a path or an address, through the agent at `socket`."""
    with AgentClient(socket) as client, package_source(place) as source:
        yield Content(client, source)
