"""The clients of the load test, in a process of their own that imports nothing heavy.

    python benchmarks/serving_load.py PORT < plan.json

The plan has `texts`, `seconds` or `requests`, and `clients` (each asks again as soon as it is
answered) or `rate` (requests a second that come whether the earlier ones are answered or not).
Prints JSON: requests by status, seconds that it took, and the latencies of the answered ones.
"""

import asyncio
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import uvloop

_LATE = 60.0


@dataclass
class Log:
    """What came of the requests."""

    statuses: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    def add(self, status: str, began: float) -> None:
        """Note a request."""
        self.statuses[status] += 1
        if status == "200":
            self.latencies.append(time.perf_counter() - began)


class Client:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes, log: Log) -> None:
        """Send a request and read the response."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(_LATE):
                log.add(await self._ask(request), began)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            self._streams = None
            log.add(type(error).__name__, began)

    async def _ask(self, request: bytes) -> str:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
        await reader.readexactly(length)
        if b"connection: close" in head:
            writer.close()
            self._streams = None
        return head[9:12].decode()


def requests_of(texts: list[str]) -> Iterator[bytes]:
    """Requests for one text each, again and again."""
    made = []
    for text in texts:
        body = json.dumps({"texts": [text]}).encode()
        made.append(
            b"POST /v1/models/bench/predict HTTP/1.1\r\nHost: x\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
    return itertools.cycle(made)


async def closed(port: int, plan: dict, log: Log) -> None:
    """So many clients, each of which asks again as soon as it is answered."""
    requests = requests_of(plan["texts"])
    end = time.perf_counter() + plan.get("seconds", float("inf"))
    left = itertools.repeat(None, plan.get("requests", sys.maxsize))

    async def client() -> None:
        one = Client(port)
        while time.perf_counter() < end and next(left, left) is None:
            await one.ask(next(requests), log)

    await asyncio.gather(*(client() for _ in range(plan["clients"])))


async def opened(port: int, plan: dict, log: Log) -> None:
    """Requests that come at a rate, whatever becomes of the earlier ones."""
    requests = requests_of(plan["texts"])
    free: list[Client] = []
    running: set[asyncio.Task] = set()
    began = time.perf_counter()

    async def one(request: bytes) -> None:
        client = free.pop() if free else Client(port)
        await client.ask(request, log)
        free.append(client)

    for number in range(int(plan["rate"] * plan["seconds"])):
        await asyncio.sleep(max(0.0, began + number / plan["rate"] - time.perf_counter()))
        task = asyncio.create_task(one(next(requests)))
        running.add(task)
        task.add_done_callback(running.discard)
    if running:
        await asyncio.wait(running)


async def load(port: int, plan: dict) -> dict:
    """Do what the plan says."""
    log = Log()
    began = time.perf_counter()
    await (closed if "clients" in plan else opened)(port, plan, log)
    seconds = time.perf_counter() - began
    return {"statuses": log.statuses, "seconds": seconds, "latencies": log.latencies}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(load(int(sys.argv[1]), json.load(sys.stdin)))))
