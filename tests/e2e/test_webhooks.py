"""A receiver hears of a real job, in order and verified, while the farm's parts are killed."""

from __future__ import annotations

import signal

from integration.webhooks.receiver import receiving
from services.process import wait_until
from watching import running, until

from enginehouse.client import Client
from enginehouse.states import JobState, Phase
from enginehouse.webhooks import DeliveryState
from farm.embedded import EmbeddedFarm
from zoo.fetch import model_path


def test_a_job_s_events_while_scheduler_and_redis_are_killed(farm: EmbeddedFarm, client: Client, seed: int) -> None:
    with receiving() as receiver:
        hook = client.webhooks.create(receiver.url, ["job.*", "build.*"])
        receiver.secret = hook.secret
        start = client.events_page(limit=1).newest
        model = client.models.push(model_path("ppocr-rec"))
        job = client.jobs.submit(model=model.id, targets=["openvino:fp32"], seed=seed)
        running(client, job.builds[0].id, Phase.VERIFY)
        for part in ("scheduler", "redis"):
            farm.kill(part, signal.SIGKILL)
        assert client.jobs.wait(job, timeout=120).state is JobState.SUCCEEDED
        wait_until(lambda: "job.succeeded" in receiver.kinds, 60, "the job's end at the receiver")
        wanted = [
            event.id for event in client.events_page(start, 500, ["job.*", "build.*"]).items if event.job == job.id
        ]
        heard = [int(got.event["sequence"]) for got in receiver.got if got.event["data"]["job"] == job.id]
        assert list(dict.fromkeys(heard)) == wanted
        assert all(got.verified for got in receiver.got)
        until(lambda: client.webhooks.get(hook.id).pending == 0, "everything is on record")
        assert client.webhooks.deliveries(hook.id, DeliveryState.DEAD).items == []
        client.webhooks.delete(hook.id)
