"""Why a webhook's delivery is not acknowledged; for all but a bad signature the sender comes back."""

from __future__ import annotations

from .. import _reasons as reasons
from ._bases import RequestRefused, Unavailable

__all__ = [
    "WebhookHandlerFailed",
    "WebhookInProgress",
    "WebhookStoreUnavailable",
    "WebhookVerificationFailed",
]


class WebhookStoreUnavailable(Unavailable):
    """The store that remembers deliveries cannot be asked, so that nobody can tell whether this one is done."""

    code = "WEBHOOK_STORE_UNAVAILABLE"
    text = "The webhook was received, and the store of deliveries cannot be asked right now. Try again shortly."
    reason = reasons.WEBHOOK_STORE

    def __init__(self) -> None:
        super().__init__(retry_after=5)

    def repeated(self) -> WebhookStoreUnavailable:
        return WebhookStoreUnavailable()


class WebhookVerificationFailed(RequestRefused):
    """A delivery's signature, time or body are bad; which of them, the sender is not told."""

    status = 400
    code = "WEBHOOK_VERIFICATION_FAILED"
    text = "The webhook could not be verified."
    reason = reasons.WEBHOOK_UNVERIFIED


class WebhookInProgress(RequestRefused):
    """The same delivery is being handled at this moment: whether it succeeds is not known yet."""

    status = 409
    code = "WEBHOOK_IN_PROGRESS"
    text = "This delivery is being handled already. Try again shortly."
    reason = reasons.WEBHOOK_IN_PROGRESS

    def headers(self) -> list[tuple[str, str]]:
        return [*super().headers(), ("Retry-After", "5")]


class WebhookHandlerFailed(RequestRefused):
    """A handler raised; the delivery is not done, and its repetition runs the handlers again."""

    status = 500
    code = "WEBHOOK_HANDLER_FAILED"
    text = "The webhook was received and could not be handled. Try again shortly."
    reason = reasons.WEBHOOK_HANDLER_FAILED
