"""Containers as an attempt sees them: whether its payload runs in one, in which image, and why it cannot."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Optional, Union

from commands.context import Capacity, Sandboxes
from pilot import imagename
from pilot.attempts.directory import AttemptDirectory
from pilot.attempts.own_places import belongs, own_places
from pilot.attempts.slots import Slot
from pilot.binds import Bind, parse_bind
from pilot.codes import AttemptCode
from pilot.errors import InvalidInput, PilotageError, Refusal
from pilot.payloads.payload import InnerElement, Launch, Payload
from pilot.payloads.slot_users import SlotUsers
from pilot.persist import persist
from pilot.policy import SitesWord
from pilot.protocol import InputFile, JobSpec, Lease, Settings
from pilot.singularity.argv import ContainerPlan
from pilot.singularity.element import ContainerElement
from pilot.singularity.images import Held, ImageCache, Pause
from pilot.singularity.probe import Cannot
from pilot.singularity.pulling import Puller
from pilot.singularity.runtime import Runtime
from pilot.states import Outcome

_NOT_HERE = AttemptCode.NO_CONTAINER.value


class NoContainer(PilotageError):
    """The attempt cannot have its container: not here, or nowhere, which `outcome` says."""

    def __init__(self, message: str, outcome: Outcome = Outcome.NODE_FAULT, code: str = "") -> None:
        super().__init__(message)
        self.outcome = outcome
        self.code = code or (AttemptCode.IMAGE.value if outcome is Outcome.INPUT_ERROR else "")


@dataclass(frozen=True)
class Contained:
    """The container of one attempt, with its image held until it has ended."""

    plan: ContainerPlan
    held: Optional[Held] = None

    def release(self) -> None:
        """The payload is over."""
        if self.held is not None:
            self.held.release()


@dataclass(frozen=True)
class Containers:
    """For all attempts of a pilot. `find` tries the runtime out, once."""

    settings: Settings
    word: SitesWord
    find: Callable[[], Union[Runtime, Cannot]]
    element: ContainerElement
    images: ImageCache
    sandboxes: Sandboxes
    random: Callable[[], float]
    problem: str = ""  # why this pilot runs no container though its node could
    cache: Optional[Path] = None  # where other things are kept on the node

    def image_of(self, spec: JobSpec) -> Optional[imagename.ImageName]:
        """The image that a payload runs in: its job's, else the queue's; None when it runs without container.

        Raises `NoContainer` when it must not run here.
        """
        policy = self.settings.containers
        name = spec.container or (self.settings.image if policy == "required" else "")
        if not name:
            if policy == "required":
                raise NoContainer("payloads run in containers here, and neither the job nor the queue names an image")
            return None
        if policy == "refused":
            raise NoContainer("it needs a container, and this queue runs none", Outcome.INPUT_ERROR, _NOT_HERE)
        if spec.container and not self.settings.job_images and spec.container != self.settings.image:
            problem = "it names an image, and payloads run in the queue's own image here"
            raise NoContainer(problem, Outcome.INPUT_ERROR, _NOT_HERE)
        if not self.word.allows_image(name):
            problem_of_site = f"the site's policy does not let payloads run in the image {name}"
            raise NoContainer(problem_of_site, Outcome.INPUT_ERROR if spec.container else Outcome.NODE_FAULT)
        try:
            return imagename.parse(name)
        except InvalidInput as problem:
            raise NoContainer(f"the queue's image: {problem}") from problem

    def prepare(self, lease: Lease, slot: Slot, place: AttemptDirectory, pause: Pause) -> Optional[Contained]:
        """What is to be started, None for a payload without container. `pause` waits and says whether to stop.

        Raises `NoContainer`, `Stopped`.
        """
        name = self.image_of(lease.spec)
        if name is None:
            return None
        found = Cannot(self.problem) if self.problem else self.find()
        if isinstance(found, Cannot):
            raise NoContainer(f"it needs a container, and this pilot can run none: {found.why}")
        unclean = [sign for sign in ",:" if sign in str(place.root)]
        if unclean:
            raise NoContainer(f"no bind can say the work directory {place.root}: it has a {unclean[0]!r} in its name")
        binds = self.binds()
        image, held = self._image(name, found, lease, place, pause)
        plan = ContainerPlan(
            runtime=found,
            image=image,
            root=place.root,
            binds=binds,
            unpack=found.squashfs == "unpacked" and not image.is_dir(),
            gpus=bool(slot.gpus),
            own=frozenset(lease.spec.environment),
        )
        return Contained(plan, held)

    def _image(
        self, name: imagename.ImageName, runtime: Runtime, lease: Lease, place: AttemptDirectory, pause: Pause
    ) -> tuple[Path, Optional[Held]]:
        """Where the image is, once it is on the node."""
        file = brought(lease.spec)
        try:
            if name.kind == "registry":
                held = self._pulled(name.text, runtime, place, pause)
                return held.path, held
            if file is not None:
                held = self.images.hold(file.sha256, self._fetching(lease, file, pause), pause, lasting=True)
                return held.path, held
        except (Refusal, InvalidInput) as problem:
            raise NoContainer(f"the image {name.text!r} cannot be had: {problem}", Outcome.INPUT_ERROR) from problem
        except (PilotageError, OSError) as problem:
            raise NoContainer(f"the image {name.text} cannot be had here: {problem}") from problem
        image = Path(os.path.realpath(name.text)) if name.kind == "path" else place.job / name.text
        if not image.exists():
            raise NoContainer(f"the image {name.text} is not on this node", blame(name.text, lease.spec))
        if name.kind == "path" and self._opens_the_account(image, lease, place):
            why = "holds what is the pilot's account's, or is among it, and payloads are kept from each other here"
            raise NoContainer(f"the image {name.text} {why}", Outcome.INPUT_ERROR, _NOT_HERE)
        if name.kind == "input" and image.is_dir():
            make_mount_points(image)
        return image, None

    def _opens_the_account(self, image: Path, lease: Lease, place: AttemptDirectory) -> bool:
        """Whether a job would see more by this image of the node than a container is to show it."""
        if self.settings.containers != "required" or lease.spec.container in (None, self.settings.image):
            return False
        caches = [self.images.place, *([self.cache] if self.cache else ())]
        return belongs(image, own_places(place.root.parent.parent, self.element.host, caches), os.getuid())

    def _pulled(self, uri: str, runtime: Runtime, place: AttemptDirectory, pause: Pause) -> Held:
        puller = Puller(runtime, place.root / "pull", self.element.host, self.images.bound)
        try:
            return self.images.hold(uri, lambda target: puller.pull(uri, target, pause), pause, "@sha256:" in uri)
        finally:
            shutil.rmtree(puller.place, ignore_errors=True)  # it is no payload's to see

    def _fetching(self, lease: Lease, file: InputFile, pause: Pause) -> Callable[[Path], None]:
        def fetch(target: Path) -> None:
            persist(lambda: self.sandboxes.fetch(lease, file.sha256, file.size, target), pause, self.random)

        return fetch

    def binds(self) -> tuple[Bind, ...]:
        """The queue's binds that are here. Raises `NoContainer` for one that must be and is not."""
        binds = present(self.settings.bind, os.path.exists)
        for bind in binds:
            if not self.word.allows_path(bind.source):
                raise NoContainer(f"the site's policy does not let payloads see {bind.source}")
        return binds


def all_isolated(settings: Settings, tags: Sequence[str]) -> bool:
    """Whether no payload here can look at another, as every one has a container that was seen to hide the rest."""
    return settings.containers == "required" and imagename.ISOLATES in tags


def nameless(users: Optional[SlotUsers], known: Callable[[int], object]) -> str:
    """Why containers cannot be run as the users of the slots; `known` raises `KeyError` for one without account."""
    uid = 0
    try:
        for uid in [user.uid for user in users.free] if users is not None else ():
            known(uid)
    except KeyError:
        return f"the runtime asks for accounts, and user {uid} has none: name accounts in `slot_users`"
    return ""


def offerable(capacity: Capacity, containers: Optional[Containers]) -> Capacity:
    """Without the tags of containers where this pilot runs none."""
    if containers is None or not containers.problem:
        return capacity
    return replace(capacity, tags=tuple(tag for tag in capacity.tags if tag not in imagename.PROVED))


def brought(spec: JobSpec) -> Optional[InputFile]:
    """The input that is the image, as one file. It goes to the images, and not into the job's directory."""
    return next((file for file in spec.inputs if spec.container and file.name == spec.container), None)


def blame(image: str, spec: JobSpec) -> Outcome:
    """Whose fault it is that an image is not there: the job's that names it, unless it is in a file system that nodes
    mount, or the queue's own."""
    return Outcome.INPUT_ERROR if image == spec.container and not image.startswith("/cvmfs/") else Outcome.NODE_FAULT


def make_mount_points(image: Path) -> None:
    """Empty folders do not travel, and a runtime mounts what it must into those of an image."""
    for place in ("dev", "etc", "proc", "sys", "tmp", "var/tmp"):
        (image / place).mkdir(mode=0o755, parents=True, exist_ok=True)


def inputs_of(spec: JobSpec) -> tuple[InputFile, ...]:
    """The inputs that go into the job's directory."""
    image = brought(spec)
    return tuple(file for file in spec.inputs if file is not image)


def prepare(
    containers: Optional[Containers], lease: Lease, slot: Slot, place: AttemptDirectory, pause: Pause
) -> Optional[Contained]:
    """The container of an attempt, None where it runs without. Raises `NoContainer`, `Stopped`."""
    if containers is not None:
        return containers.prepare(lease, slot, place, pause)
    if lease.spec.container:
        raise NoContainer("it needs a container, and this pilot can run none")
    return None


def seen_by(containers: Optional[Containers], spec: JobSpec) -> Optional[tuple[Bind, ...]]:
    """What of the node a payload sees in its container; None for one without, which sees what its user may."""
    if containers is None:
        return () if spec.container else None
    try:
        return containers.binds() if containers.image_of(spec) is not None else None
    except NoContainer:  # it will not run
        return ()


def start(
    element: InnerElement, containers: Optional[Containers], contained: Optional[Contained], launch: Launch
) -> Payload:
    """Start the payload, in its container where it has one. Raises `CannotStart`."""
    if contained is None or containers is None:
        return element.start(launch)
    return containers.element.start(launch, contained.plan)


def present(texts: Sequence[str], exists: Callable[[str], bool]) -> tuple[Bind, ...]:
    """The binds whose source exists. Raises `NoContainer` for one that is not optional and does not."""
    found = []
    for text in texts:
        try:
            bind = parse_bind(text)
        except InvalidInput as problem:
            raise NoContainer(f"the queue's binds: {problem}") from problem
        if exists(bind.source):
            found.append(bind)
        elif not bind.optional:
            raise NoContainer(f"payloads are to see {bind.source}, and it does not exist on this node")
    return tuple(found)
