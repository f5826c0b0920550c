"""ManagedSubscribe: a stream whose position is kept by the org."""

from typing import Any

from simulator.pubsub import positions
from simulator.pubsub.delivery import Stream
from simulator.pubsub.positions import ManagedSubscription
from simulator.pubsub.wire import pubsub_api_pb2 as pb
from simulator.pubsub_codes import PubSubError


class ManagedStream(Stream):
    """A ManagedSubscribe call. Commits that arrive together get one response."""

    response: Any = pb.ManagedFetchResponse
    _subscription: ManagedSubscription | None = None
    _commit: Any = None

    @property
    def subscription(self) -> ManagedSubscription:
        """The subscription that the first request named."""
        if self._subscription is None:
            raise PubSubError("subscription.fetch.request.invalid", "No subscription is named.")
        return self._subscription

    def begin(self, request: Any) -> None:
        """Reserve the subscription for this stream. Raises PubSubError."""
        self.call.note(_shown(request))
        found = self.hub.managed.find(request.subscription_id, request.developer_name)
        self.call.topic = found.topic
        found.check()
        if found.active:
            raise PubSubError(
                "managed.subscription.already.active", f"{found.name} has another client."
            )
        self.hub.org.log.expire(self.hub.clock.now())
        backlog = found.backlog(self.hub.org)
        log = self.hub.org.log
        start = found.committed or (log.begins_after if backlog else log.newest_id)
        self.start(found.topic, start, backlog)
        self.name = found.name
        self._subscription = found
        found.active = True

    def later(self, request: Any) -> None:
        """Check that the request does not change the subscription."""
        self.call.note(_shown(request))
        named = (request.subscription_id, request.developer_name)
        known = ("", self.subscription.subscription_id, self.subscription.name)
        if any(name not in known for name in named):
            raise PubSubError("subscription.fetch.request.invalid", "The subscription changed.")

    def more(self, request: Any) -> None:
        """Process credits, a commit, or both."""
        commits = request.HasField("commit_replay_id_request")
        if commits:
            self._commit = request.commit_replay_id_request
        if request.num_requested or not commits:
            super().more(request)

    def extra(self) -> Any:
        """Return the response to the last commit."""
        if self._commit is None:
            return None
        request, self._commit = self._commit, None
        answer = pb.CommitReplayResponse(
            commit_request_id=request.commit_request_id,
            replay_id=request.replay_id,
            process_time=self.hub.clock.now(),
        )
        try:
            self.subscription.committed = positions.replay_number(self.hub.org, request.replay_id)
        except PubSubError as refused:
            answer.error.code = pb.COMMIT
            answer.error.msg = refused.details
        return pb.ManagedFetchResponse(
            commit_response=answer,
            latest_replay_id=positions.replay_bytes(self.position),
            rpc_id=self.call.rpc_id,
            pending_num_requested=self.credits,
        )

    def check(self) -> None:
        """Raise PubSubError if the subscription was stopped or deleted."""
        super().check()
        self.subscription.check()

    def end(self) -> None:
        """Release the subscription for other clients."""
        if self._subscription:
            self._subscription.active = False


def _shown(request: Any) -> dict[str, Any]:
    commit = request.commit_replay_id_request
    return {
        "subscription_id": request.subscription_id,
        "developer_name": request.developer_name,
        "num_requested": request.num_requested,
        "commit_request_id": commit.commit_request_id,
        "replay_id": commit.replay_id.hex(),
    }
