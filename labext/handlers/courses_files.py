"""What students ask of the files of a course, below courses/ID/."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

from jupyter_server.auth.decorator import authorized
from tornado import web

from labext.courses.desk import acts, news, versions
from labext.courses.desk.place import Place
from labext.courses.errors import CourseError
from labext.courses.git import GitError
from labext.errors import ApiError
from labext.handlers.base import SamepageHandler
from labext.handlers.courses import Service, unknown

T = TypeVar("T")
_MOST_PATHS = 500
_MOST_PATH_CHARS = 4096
# What was asked for is not there: 404. All else could work at another moment: 409.
_NOT_THERE = frozenset({"no_such_file", "no_such_cell"})


class CourseFileHandler(SamepageHandler):
    """What they share: the body, and errors as answers."""

    def initialize(self, service: Service) -> None:
        """Service: the courses. Errors: ApiError when they could not be set up."""
        self._service = service

    async def _look(self, course_id: str, read: Callable[[Place], T]) -> T:
        with self._told(course_id):
            return await self._service().desk.look(course_id, read)

    async def _act(self, course_id: str, do: Callable[[Place], T]) -> T:
        with self._told(course_id):
            return await self._service().desk.act(course_id, do)

    @contextlib.contextmanager
    def _told(self, course_id: str) -> Iterator[None]:
        try:
            yield
        except KeyError as err:
            raise unknown(course_id) from err
        except CourseError as err:
            status = 404 if err.code in _NOT_THERE else 409
            raise ApiError(status, err.code, err.message, err.fix) from err
        except TimeoutError as err:
            raise ApiError(
                504, "too_slow", "The disk took too long to answer.", "Try again in a while."
            ) from err
        except GitError as err:
            self.log.error("Samepage courses: %s: %s", course_id, err)
            raise ApiError(
                500,
                "git_failed",
                "The course's git data could not be read; nothing was done.",
                "Press Pull now: it repairs them. If it stays, show your operator the log.",
            ) from err
        except OSError as err:
            raise ApiError(
                409,
                "cannot_write",
                f"It could not be done: {err.strerror or err}.",
                "Check free space and that your home folder can be written.",
            ) from err

    def _body(self) -> dict[str, Any]:
        body = self.get_json_body()
        if body is not None and not isinstance(body, dict):
            raise _bad("The body must be a JSON object.")
        return body or {}

    def _text(self, body: dict[str, Any], name: str) -> str:
        value = body.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= _MOST_PATH_CHARS:
            raise _bad(f"{name} must be a text.")
        return value

    def _paths(self, body: dict[str, Any]) -> list[str] | None:
        paths = body.get("paths")
        if paths is None:
            return None
        if not (
            isinstance(paths, list)
            and len(paths) <= _MOST_PATHS
            and all(isinstance(path, str) and len(path) <= _MOST_PATH_CHARS for path in paths)
        ):
            raise _bad(f"paths must be a list of at most {_MOST_PATHS} texts.")
        return paths


def _bad(message: str) -> ApiError:
    return ApiError(400, "bad_request", message, "See docs/openapi.yml.")


class NewsHandler(CourseFileHandler):
    """Asked for after each pull."""

    _track_activity = False

    @web.authenticated
    @authorized
    async def get(self, course_id: str) -> None:
        """The last pulls with their files."""
        self.finish(asdict(await self._look(course_id, news.read)))


class SeenHandler(CourseFileHandler):
    """The student has looked at news."""

    @web.authenticated
    @authorized
    async def post(self, course_id: str) -> None:
        """Of `paths`, or of everything; answers the news after that."""
        paths = self._paths(self._body())
        await self._look(course_id, partial(news.mark, paths=paths))
        self.finish(asdict(await self._look(course_id, news.read)))


class EditingHandler(CourseFileHandler):
    """A browser tab tells which files it has unsaved; again every minute, so no activity."""

    _track_activity = False

    @web.authenticated
    @authorized
    def post(self, course_id: str) -> None:
        """These, relative to the course's folder, and no others."""
        service, body = self._service(), self._body()
        if not service.knows(course_id):
            raise unknown(course_id)
        service.editing.tell(
            course_id, self._text(body, "client"), self._paths(body) or [], time.monotonic()
        )
        self.set_status(204)
        self.finish()


class DiffHandler(CourseFileHandler):
    """The versions of a file."""

    @web.authenticated
    @authorized
    async def get(self, course_id: str) -> None:
        """Yours, the teacher's and the one both came from."""
        path = self.get_query_argument("path", "", strip=False)
        self.finish(asdict(await self._look(course_id, partial(versions.compare, path=path))))


class TakeHandler(CourseFileHandler):
    """The course's version of a file, or of one cell."""

    @web.authenticated
    @authorized
    async def post(self, course_id: str) -> None:
        """Of a cell when `row` is given, with the compared versions as `yours`, `teachers`."""
        body = self._body()
        path, row = self._text(body, "path"), body.get("row")
        if row is None:
            done = await self._act(course_id, partial(acts.take, path=path))
        else:
            if not isinstance(row, int) or isinstance(row, bool):
                raise _bad("row must be a number.")
            choice = acts.CellChoice(
                row=row, yours=self._text(body, "yours"), teachers=self._text(body, "teachers")
            )
            done = await self._act(course_id, partial(acts.take_cell, path=path, choice=choice))
        self.finish(asdict(done))


class CopyHandler(CourseFileHandler):
    """A fresh copy."""

    @web.authenticated
    @authorized
    async def post(self, course_id: str) -> None:
        """The course's version beside the student's."""
        path = self._text(self._body(), "path")
        self.finish(asdict(await self._act(course_id, partial(acts.copy, path=path))))


class MergeHandler(CourseFileHandler):
    """A document was being edited while a pull changed its file."""

    @web.authenticated
    @authorized
    async def post(self, course_id: str) -> None:
        """Merge the unsaved `content` into the file."""
        body = self._body()
        content = body.get("content")
        if not isinstance(content, str):
            raise _bad("content must be a text.")
        known = body.get("known")
        if known is not None and not isinstance(known, str):
            raise _bad("known must be a SHA-256 in hexadecimal digits.")
        path = self._text(body, "path")
        merge = partial(acts.merge_unsaved, path=path, unsaved=content.encode(), known=known)
        self.finish(asdict(await self._act(course_id, merge)))


class UndoHandler(CourseFileHandler):
    """A pull was not wanted."""

    @web.authenticated
    @authorized
    async def post(self, course_id: str) -> None:
        """Put the files of a pull back."""
        pull = self._text(self._body(), "pull")
        self.finish(asdict(await self._act(course_id, partial(acts.undo, snapshot=pull))))


class RedoHandler(CourseFileHandler):
    """A pull is wanted after all."""

    @web.authenticated
    @authorized
    async def post(self, course_id: str) -> None:
        """Take the undoing of a pull back."""
        pull = self._text(self._body(), "pull")
        self.finish(asdict(await self._act(course_id, partial(acts.redo, snapshot=pull))))
