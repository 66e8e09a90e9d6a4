"""The broker's side of workers and beat, with the desk's own settings, when Redis is away at the wrong moment."""

from __future__ import annotations

import logging
import uuid
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from kombu import Connection, Message, Queue
from kombu.exceptions import OperationalError

from paperdesk import broker as module
from paperdesk.celery import app
from tests.faults.proxy import Proxy

ANSWER_SECONDS_MAX = 20


def test_a_worker_whose_acknowledgement_was_not_taken_does_not_go_deaf() -> None:
    """A task ends while Redis is restarting; the worker's connection is there again before it notices."""
    server = urlsplit(settings.CELERY_BROKER_URL)
    queue = Queue(f"test-{uuid.uuid4()}")
    taken: list[Message] = []
    with Proxy(server.port or 0) as proxy:
        url = server._replace(netloc=f"127.0.0.1:{proxy.port}").geturl()
        with Connection(url, transport_options=settings.CELERY_BROKER_TRANSPORT_OPTIONS) as broker:
            channel = broker.channel()
            channel.basic_qos(0, app.conf.worker_prefetch_multiplier * 1, False)  # as a solo worker sets it
            producer, bound = broker.Producer(channel), queue(channel)
            bound.declare()
            for number in range(2):
                producer.publish(number, routing_key=queue.name, serializer="json")
            with broker.Consumer(bound, channel=channel, callbacks=[lambda _, message: taken.append(message)]):
                while not taken:
                    broker.drain_events(timeout=ANSWER_SECONDS_MAX)
                proxy.refuse()
                taken[0].ack_log_error(logging.getLogger(__name__), broker.connection_errors)
                proxy.accept()
                assert not taken[0].acknowledged
                assert hears(broker, taken)


def hears(broker: Connection, taken: list[Message]) -> bool:
    """Whether it takes the next task, or notices that its connection is lost: then a worker connects anew."""
    try:
        while len(taken) < 2:
            broker.drain_events(timeout=ANSWER_SECONDS_MAX)
    except TimeoutError:
        return False
    except broker.connection_errors:
        pass
    return True


def test_a_broker_that_is_away_is_asked_again_at_once_and_never_a_second_too_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SAY_SECONDS", 0.0)
    told: list[float] = []
    with refusing_connection() as connection, pytest.raises(OperationalError):
        connection.ensure_connection(lambda _, seconds: told.append(seconds), 4)
    assert told == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_a_person_is_told_once_and_not_at_each_attempt() -> None:
    told: list[float] = []
    with refusing_connection() as connection, pytest.raises(OperationalError):
        connection.ensure_connection(lambda _, seconds: told.append(seconds), 3)
    assert len(told) == 1


def refusing_connection() -> Connection:
    """A connection as Celery's programs make theirs, to a port where nobody listens."""
    return app.connection_for_read("redis://127.0.0.1:1/0")
