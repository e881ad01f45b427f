"""A TCP port in front of one or more servers: it takes turns among those that answer, and can be made slow."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

from farm.ports import LOOPBACK

_CHUNK = 65_536
_CONNECT_S = 2.0
_CLOSING_S = 0.05


class Link:
    """Runs in a thread of its own until ``close``. ``delay_s`` holds back everything that passes, either way."""

    def __init__(self, *ports: int) -> None:
        self.delay_s = 0.0
        self._ports = ports
        self._turn = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="link", daemon=True)
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, LOOPBACK, 0), self._loop)
        self._server = starting.result()
        self.port: int = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Cut every connection and end."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(_CLOSING_S)  # what was closed is let go of in the loop's next rounds

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await self._reach()
            if there is None:
                return
            up = asyncio.ensure_future(self._pass(reader, there[1]))
            down = asyncio.ensure_future(self._pass(there[0], writer))
            try:
                await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (up, down):
                    task.cancel()
                there[1].close()
        finally:
            writer.close()

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """The next server that takes a connection."""
        self._turn += 1
        for step in range(len(self._ports)):
            port = self._ports[(self._turn + step) % len(self._ports)]
            with suppress(OSError, TimeoutError):
                return await asyncio.wait_for(asyncio.open_connection(LOOPBACK, port), _CONNECT_S)
        return None

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(data)
                await writer.drain()
