"""Owns reading a server's no: what it says, when to come back, and whether another server may do better."""

from typing import TYPE_CHECKING

from sealcast.client import limits
from sealcast.core.errors import FormatError, RefusedError
from sealcast.messages.encoding import decode
from sealcast.messages.problems import Problem, problem_name

if TYPE_CHECKING:
    from sealcast.client.transfer import Reply

USE_NONCE = "use-nonce"
NOT_A_KEY_SERVER = "not-a-key-server"
OTHER_SERVER_STATUS = 500
"""From this HTTP status on the fault is the server's, and another server may do better."""


def is_server_fault(refusal: RefusedError) -> bool:
    """Whether a no is none of a key server's decisions, so that another one may say yes."""
    return refusal.status >= OTHER_SERVER_STATUS or refusal.type == NOT_A_KEY_SERVER


def refusal_of(server: str, reply: "Reply") -> RefusedError:
    """Return a server's no; one without problem details still names the server and the status."""
    retry_after_s = reply.retry_after_s
    if retry_after_s is not None:
        retry_after_s = min(retry_after_s, limits.RETRY_AFTER_S_MAX)
    try:
        problem = decode(reply.body, Problem)
    except FormatError:
        return RefusedError(
            NOT_A_KEY_SERVER if reply.status < OTHER_SERVER_STATUS else "internal",
            f"{server} answered HTTP {reply.status} without a reason: is it a key server?",
            reply.status,
            retry_after_s=retry_after_s,
        )
    return RefusedError(
        problem_name(problem.type),
        " ".join((problem.detail or problem.title).split()),
        reply.status,
        retry_after_s=retry_after_s,
    )
