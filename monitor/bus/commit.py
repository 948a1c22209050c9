"""The one way in which a role writes anything that counts: checkpoint, outputs and acknowledgements in one script.

Steps of a commit, all inside `commit.lua`, which Redis runs to the end without anything in between:

1. the epoch is still this process's (else it was replaced: `FencedError`);
2. the checkpoint is the position this commit starts from (else `OutOfOrderError`) – or already the one it leads to, which
   means that an earlier try was applied and its reply lost: nothing is written again;
3. every output's id comes after its stream's last one, every key has the type it should have;
4. outputs, sets, acknowledgements, checkpoint.

Redis never rolls back, hence nothing is written before 1 to 3 are through. `XADD *` has no place here: the client sends
a command again when a connection breaks, and a drawn id would make that a second entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from monitor.bus.client import when_there_is_room
from monitor.bus.keys import Keys
from monitor.bus.position import START, Position

if TYPE_CHECKING:
    from redis import Redis

_SCRIPT = resources.files("monitor.bus").joinpath("commit.lua").read_text(encoding="utf-8")

Value = str | bytes | int


class Output(NamedTuple):
    """One entry for a stream. `fields` must not be empty."""

    stream: str
    position: Position
    fields: dict[str, Value]


class SetValue(NamedTuple):
    """One value: of `field` in the hash `key`, or of the string `key` if `field` is empty."""

    key: str
    field: str
    value: Value


class Ack(NamedTuple):
    """One entry of a stream that `group` is done with."""

    stream: str
    group: str
    position: Position


class FencedError(Exception):
    """Another process has taken over the role: this one must stop, and nothing it still holds counts."""


class OutOfOrderError(Exception):
    """The commit does not follow the role's checkpoint, or an output not its stream's last entry. Nothing was written."""


class Committer:
    """Commits for one role under one epoch. Make it with `take`, once, when the process starts.

    `position` is the checkpoint as this process knows it.
    """

    def __init__(self, redis: Redis, keys: Keys, role: str, epoch: int, position: Position) -> None:
        self._script = redis.register_script(_SCRIPT)
        self._role_key = keys.role(role)
        self.role = role
        self.epoch = epoch
        self.position = position

    @classmethod
    def take(cls, redis: Redis, keys: Keys, role: str) -> Committer:
        """Takes the role over: draws the next epoch, which fences whoever had it, and reads the checkpoint."""
        drawn: Any = when_there_is_room(lambda: redis.hincrby(keys.role(role), "epoch", 1))
        epoch = int(drawn)
        return cls(redis, keys, role, epoch, read_position(redis, keys, role))

    def commit(
        self, new: Position, outputs: Sequence[Output] = (), sets: Sequence[SetValue] = (), acks: Sequence[Ack] = ()
    ) -> None:
        """Moves the checkpoint to `new` and writes everything given with it, or writes nothing and raises.

        Raises:
            FencedError: the role was taken over.
            OutOfOrderError: `new` does not come after the checkpoint, or an output not after its stream's last entry.
            redis.exceptions.ConnectionError: the server cannot be reached. Calling again with the same arguments is safe.
        """
        key_numbers = {self._role_key: 1}

        def number(key: str) -> int:
            return key_numbers.setdefault(key, len(key_numbers) + 1)

        argv: list[Value] = [self.epoch, str(self.position), str(new), len(outputs)]
        for stream, position, fields in outputs:
            argv += (number(stream), str(position), len(fields))
            for field, value in fields.items():
                argv += (field, value)
        argv.append(len(sets))
        for key, field, value in sets:
            argv += (number(key), field, value)
        argv.append(len(acks))
        for stream, group, position in acks:
            argv += (number(stream), group, str(position))

        reply: Any = when_there_is_room(lambda: self._script(keys=list(key_numbers), args=argv))
        verdict, *detail = (part.decode() for part in reply)
        if verdict == "FENCED":
            raise FencedError(f"{self.role}: epoch {self.epoch} is over, {detail[0]} has begun; another process runs this role")
        if verdict == "ORDER":
            raise OutOfOrderError(
                f"{self.role}: commit {self.position} → {new} refused at checkpoint {detail[0]}: {detail[1]} is not in order"
            )
        self.position = new


def read_position(redis: Redis, keys: Keys, role: str) -> Position:
    """The checkpoint of a role, START before its first commit."""
    text: Any = redis.hget(keys.role(role), "position")
    return START if text is None else Position.parse(text)
