"""Where the bytes of files are: a folder on this machine, or a bucket of an S3-compatible store.

Both take a file as it comes and give it back likewise, and hold no more of it in memory than a few parts. A key is
"<workspace id>/<object id>"; an object is written once, and seen only when it is whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from abc import ABC, abstractmethod
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, S3Store
from rota_chassis.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
    from pathlib import Path
    from uuid import UUID

    from obstore.store import ClientConfig, RetryConfig, S3Config
    from pydantic import SecretStr

PART_BYTES = 5 * 1024 * 1024
"""The least that S3 takes as a part of an object."""
PARTS_AT_ONCE = 2
CHUNK_BYTES = 128 * 1024
MAX_CHUNK_BYTES = 256 * 1024
ABORT_WITHIN_S = 10.0
CONNECT_WITHIN = timedelta(seconds=5)
LONGEST_REQUEST = timedelta(minutes=50)
RETRY_WITHIN = timedelta(seconds=20)
_MISSING = (NotFoundError, FileNotFoundError)


class FileStore(ABC):
    """A store of files; use `LocalFileStore` or `S3FileStore`.

    Every method raises `Unavailable` (code FILE_STORE_UNAVAILABLE) when the store does not answer or cannot take more.
    """

    @property
    @abstractmethod
    def _store(self) -> LocalStore | S3Store: ...

    @contextlib.asynccontextmanager
    async def writing(
        self, workspace_id: UUID, object_id: UUID, *, attributes: Mapping[str, str]
    ) -> AsyncIterator[Callable[[bytes], Awaitable[None]]]:
        """Write an object: within the block, with what it gives, as fast as the store takes it.

        When the block raises, or is cancelled, nothing is left of the object. Once it has ended the object is there.

        Args:
            workspace_id: Where it belongs.
            object_id: New.
            attributes: Headers that the store answers with itself, where it can.
        """
        key = _key(workspace_id, object_id)
        chunks: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(maxsize=1)
        putting: asyncio.Future[Any] = asyncio.ensure_future(self._put(key, _until_none(chunks), attributes))

        async def write(chunk: bytes | None) -> None:
            if chunks.full():
                # The store may have failed, and then nobody takes anything any more.
                handing = asyncio.ensure_future(chunks.put(chunk))
                await asyncio.wait((handing, putting), return_when=asyncio.FIRST_COMPLETED)
                if not handing.done():
                    handing.cancel()
            else:
                chunks.put_nowait(chunk)
            if putting.done():
                with _unavailable():
                    await putting

        try:
            yield write
            await write(None)
            with _unavailable():
                await asyncio.shield(putting)
            await self._settle(key)
        except BaseException:
            # Cancelling it would leave the parts that are there; being told of an error it takes them away.
            while not chunks.empty():
                chunks.get_nowait()
            chunks.put_nowait(_AbortedError())
            await asyncio.wait((putting,), timeout=ABORT_WITHIN_S)
            if putting.done():
                putting.exception()
            raise

    async def reading(self, workspace_id: UUID, object_id: UUID, *, offset: int, length: int) -> AsyncIterator[bytes]:
        """A part of an object that is there, in chunks; the store has been asked when this returns.

        Raises:
            NotFoundError, FileNotFoundError: there is no such object.
        """
        if not length:
            return _nothing()
        with _unavailable(*_MISSING):
            result = await obstore.get_async(
                self._store, _key(workspace_id, object_id), options={"range": (offset, offset + length)}
            )
        return _chunks(result.stream(min_chunk_size=CHUNK_BYTES))

    async def delete(self, workspace_id: UUID, object_id: UUID) -> None:
        """Take away an object, or what is left of one that was not written to its end; nothing when there is none."""
        with _unavailable(), contextlib.suppress(*_MISSING):
            await obstore.delete_async(self._store, _key(workspace_id, object_id))

    @abstractmethod
    async def url(self, workspace_id: UUID, object_id: UUID, *, expires_in: timedelta) -> str | None:
        """An address that anyone can get the object from for a while; None where the store has none."""

    async def _put(self, key: str, chunks: AsyncIterator[bytes], attributes: Mapping[str, str]) -> None:
        await obstore.put_async(
            self._store,
            key,
            chunks,
            attributes=self._kept(attributes),
            chunk_size=PART_BYTES,
            max_concurrency=PARTS_AT_ONCE,
        )

    @abstractmethod
    def _kept(self, attributes: Mapping[str, str]) -> Any: ...

    @abstractmethod
    async def _settle(self, key: str) -> None:
        """Return when a whole object will outlive a loss of power."""


class LocalFileStore(FileStore):
    """Files in a folder of this machine, which all replicas of the service must share.

    Args:
        folder: Made with the first file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def _store(self) -> LocalStore:
        with _unavailable():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return LocalStore(self._folder)

    async def delete(self, workspace_id: UUID, object_id: UUID) -> None:
        """Take away an object, or what is left of one that was not written to its end."""
        await super().delete(workspace_id, object_id)
        with _unavailable():
            await asyncio.to_thread(self._delete_unfinished, _key(workspace_id, object_id))

    async def url(self, workspace_id: UUID, object_id: UUID, *, expires_in: timedelta) -> str | None:  # noqa: ARG002
        """None: a folder has no addresses."""
        return None

    def _kept(self, attributes: Mapping[str, str]) -> Any:  # noqa: ARG002 (files have none)
        return None

    async def _settle(self, key: str) -> None:
        with _unavailable():
            await asyncio.to_thread(_sync, self._folder / key)

    def _delete_unfinished(self, key: str) -> None:
        path = self._folder / key
        # Until it is whole, the store writes it under its name with a number.
        for unfinished in path.parent.glob(f"{path.name}#*"):
            unfinished.unlink(missing_ok=True)


class S3FileStore(FileStore):
    """Objects in a bucket.

    Args:
        bucket: With what it takes to get at it.
    """

    def __init__(self, bucket: S3Store) -> None:
        self._bucket = bucket

    @property
    def _store(self) -> S3Store:
        return self._bucket

    async def url(self, workspace_id: UUID, object_id: UUID, *, expires_in: timedelta) -> str | None:
        """An address that anyone can get the object from for a while."""
        with _unavailable():
            return await obstore.sign_async(self._bucket, "GET", _key(workspace_id, object_id), expires_in)

    async def _settle(self, _key: str) -> None:
        """S3 answers for what it has acknowledged."""

    def _kept(self, attributes: Mapping[str, str]) -> Any:
        return dict(attributes)


def bucket(
    name: str,
    *,
    endpoint: str | None,
    region: str,
    access_key_id: SecretStr | None,
    secret_access_key: SecretStr | None,
) -> S3Store:
    """A bucket.

    Args:
        name: Its name.
        endpoint: URL of the store; None for Amazon's own.
        region: Where it is.
        access_key_id: None, together with the secret, asks the machine for credentials.
        secret_access_key: Proves the key.
    """
    config: S3Config = {"region": region}
    if endpoint is not None:
        config["endpoint"] = endpoint
    if access_key_id is not None and secret_access_key is not None:
        config["access_key_id"] = access_key_id.get_secret_value()
        config["secret_access_key"] = secret_access_key.get_secret_value()
    options: ClientConfig = {
        "allow_http": endpoint is not None and endpoint.startswith("http://"),
        "connect_timeout": CONNECT_WITHIN,
        # Of a whole request, the content of an answer included.
        "timeout": LONGEST_REQUEST,
    }
    retry: RetryConfig = {"max_retries": 3, "retry_timeout": RETRY_WITHIN}
    return S3Store(name, config=config, client_options=options, retry_config=retry)


class _AbortedError(Exception):
    """Whoever writes an object has given up."""


async def _until_none(chunks: asyncio.Queue[bytes | Exception | None]) -> AsyncIterator[bytes]:
    while (chunk := await chunks.get()) is not None:
        if isinstance(chunk, Exception):
            raise chunk
        yield chunk


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


async def _chunks(stream: Any) -> AsyncIterator[bytes]:
    with _unavailable():
        async for found in stream:
            whole = memoryview(found)
            for start in range(0, len(whole), MAX_CHUNK_BYTES):
                yield bytes(whole[start : start + MAX_CHUNK_BYTES])


def _key(workspace_id: UUID, object_id: UUID) -> str:
    return f"{workspace_id}/{object_id}"


def _sync(path: Path) -> None:
    for each in (path, path.parent):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _unavailable(*apart_from: type[Exception]) -> Iterator[None]:
    try:
        yield
    except apart_from:
        raise
    except (BaseError, OSError) as error:
        raise Unavailable(
            "The store of files does not answer now; try again shortly.", code="FILE_STORE_UNAVAILABLE"
        ) from error
