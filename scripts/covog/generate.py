"""Generation: from a reference picture, poses, sound and speaking scores to a video of any length, window by window."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from covog import conditions, data, diffusion, hearing, warping
from covog.conditions import People, Placement
from covog.config import Data, Generation, Noise
from covog.frozen_encoders import FrozenEncoders
from covog.model import CovOG
from covog.precision import DTYPES, as_dtype
from talking.core.errors import InputError
from talking.dataset import store
from talking.video import encoding, media

# Scores set by hand: clearly speaking and clearly listening, in TalkNet's logits.
SPEAKS, LISTENS = 4.0, -4.0


@dataclass
class Script:
    """The inputs of a generated video: conditions for each frame, and the reference picture with its pose.

    `people` and `sound` (f, layers, channels), or (f, p, layers, channels) of each person's own speech, have the same frames, of which [start, end) are generated; `reference` (h, w, 3) uint8 and the `people` of the
    reference, of which frame `reference_frame` is used; `source` is the (width, height) in whose px the people are.
    """

    people: People
    sound: np.ndarray
    source: tuple[int, int]
    reference: np.ndarray
    reference_people: People
    reference_frame: int
    start: int
    end: int

    @property
    def frames(self) -> int:
        """Number of frames to generate."""
        return self.end - self.start


def script_of(clip: store.Clip, sound_clip: store.Clip | None = None, reference_frame: int = 0) -> Script:
    """Return the script of a data set's clip, with the sound of another one if given: as long as the shorter of the two.

    Who speaks is decided by this clip's scores, or, where each person has their own sound, by those of the clip that the sound is
    of; `spoken_by` changes that. Raises InputError if the sound is of another number of people.
    """
    heard, people = sound_clip or clip, People.of(clip)
    sound = np.asarray(heard.sound, dtype=np.float32)
    if sound.ndim == 4:
        if heard.people != clip.people:
            raise InputError(
                f"{heard.path} has the speech of {heard.people} people, {clip.path} has {clip.people}; take a clip with as many people."
            )
        people = replace(people, scores=heard.scores)
    reference = clip.pictures_at(np.array([reference_frame]))[0]
    frames = min(clip.frames, len(sound))
    return Script(people, sound, (clip.width, clip.height), reference, people, reference_frame, 0, frames)


def script_of_files(reference: Path, poses: Path, sound: Path, scores: Path) -> Script:
    """Return the script of loose files: a picture whose pose is the first one's, `poses.npz` and `sound.npz` as in a clip's
    folder, in px of the picture, and a table (csv) of raw speaking scores with the columns frame, person, score.

    Raises InputError that names the file if one cannot be read or has fewer frames than the sound.
    """
    picture = cv2.imread(str(reference), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise InputError(f"{reference} cannot be read as a picture; give a PNG or JPEG file.")
    try:
        with np.load(poses, allow_pickle=False) as file:
            arrays = [file[name] for name in ("keypoints", "scores", "boxes", "valid")]
        with np.load(sound, allow_pickle=False) as file:
            heard = file["sound"].astype(np.float32)
        table = pd.read_csv(scores).pivot(index="frame", columns="person", values="score")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{poses}, {sound} or {scores} cannot be read ({error}).") from error
    speaking = table.reindex(index=range(len(heard)), columns=range(arrays[0].shape[1])).to_numpy()
    if len(arrays[0]) < len(heard) or np.isnan(speaking).any():
        raise InputError(
            f"{poses} and {scores} must have the {len(heard)} frames of {sound}, for each of their people."
        )
    people = People(*arrays, np.full((*arrays[3].shape, 4), np.nan), speaking)
    height, width = picture.shape[:2]
    return Script(people, heard, (width, height), picture, people, 0, 0, len(heard))


def spoken_by(script: Script, turns: list[tuple[int, int, int]]) -> Script:
    """Return the script with exactly these (person, start, end) turns as speech.

    Where each person has their own sound, a turn has that of whoever spoke in its frames, and listeners that of whoever did
    least. Raises InputError if there is no such person.
    """
    were, sound = script.people.scores, script.sound
    scores = np.full_like(were, LISTENS)
    for person, start, end in turns:
        if not 0 <= person < scores.shape[1]:
            raise InputError(f"there is no person {person}: the clip has persons 0 to {scores.shape[1] - 1}.")
        scores[start:end, person] = SPEAKS
    if sound.ndim == 4:
        frames = np.arange(min(len(sound), len(scores)))
        voice, silence = (sound[frames, which[frames]][:, None] for which in (were.argmax(axis=1), were.argmin(axis=1)))
        sound = np.where((scores[frames] == SPEAKS)[..., None, None], voice, silence)
    return replace(script, people=replace(script.people, scores=scores), sound=sound)


def as_shown(script: Script, lips: str, hears: hearing.Hearing | None) -> Script:
    """Return the script with lips as the model gets them: `drawn`, `heard` or else none.

    Raises InputError if they are to be heard and there is no map that hears, or one of other sound.
    """
    if lips == "drawn":
        return script
    still = script.reference_people
    if lips == "heard":
        if hears is None:
            raise InputError(f"there is no {hearing.FILE} beside the weights; train the model again.")
        frames = np.arange(script.start, script.end)
        people = hears.heard(script.people, script.sound, frames, still, script.reference_frame)
        return replace(script, people=people)
    people, still = map(conditions.without_lips, (script.people, still))
    return replace(script, people=people, reference_people=still)


def windows(frames: int, length: int, overlap: int) -> list[tuple[int, int]]:
    """Return the windows [start, end) that cover `frames` frames, each next one beginning `overlap` frames before the end.

    The last one begins earlier rather than being shorter, so that all but a short video's only one have the same length.
    """
    if frames <= length:
        return [(0, frames)]
    step = length - min(overlap, length - 1)
    starts = list(range(0, frames - length, step)) + [frames - length]
    return [(start, start + length) for start in starts]


class Generator:
    """A model with its frozen networks, ready to generate; the model is on the device and in the settings' precision."""

    def __init__(
        self,
        model: CovOG,
        encoders: FrozenEncoders,
        noise: Noise,
        settings: Generation,
        device: torch.device,
        hears: hearing.Hearing | None = None,
    ) -> None:
        """Take the networks, and the map from sound to lips where lips are heard."""
        if settings.window > model.config.motion_max_frames and model.config.motion:
            raise InputError(
                f"generation.window is {settings.window}, the motion modules can number {model.config.motion_max_frames} frames."
            )
        self.dtype = DTYPES[settings.precision]
        self.model, self.encoders = model.eval(), encoders.to(device)
        self.noise, self.settings, self.device, self.hears = noise, settings, device, hears

    def video(self, script: Script, shape: Data, seed: int = 0) -> Iterator[np.ndarray]:
        """Yield as many RGB pictures (h, w, 3) uint8 as the script has frames, in the size and fitted as in training.

        Lips of the poses are drawn, heard or left out as `shape.lips` says. Overlaps are held to the window before and cross-faded in pixels. The same
        seed gives the same video.
        """
        size = (shape.width, shape.height)
        placement = Placement.fit(script.source, size, shape.fit)
        reference = self._reference(script, size, shape.fit)
        script = as_shown(script, shape.lips, self.hears)
        held_latents, held_pictures, before = None, None, None
        plan = windows(script.frames, self.settings.window, self.settings.overlap)
        for number, (start, end) in enumerate(tqdm(plan, desc="generating", unit=" windows")):
            shared = 0 if before is None else before[1] - start
            known = None if before is None else held_latents[:, :, -shared:]
            frames = script.start + np.arange(start, end)
            guided = self._conditions(script, frames, placement, reference)
            if shape.warped and self.model.config.differences:
                guided["reference_latents"] = self._moved(script, frames, placement, guided, shape)
            latents = self.sample(guided, end - start, size, known, diffusion.generator(seed, number))
            pictures = self._pictures(latents)
            if shared:
                pictures[:shared] = cross_faded(held_pictures, pictures[:shared])
            # The frames that the next window shares are finished there.
            following = plan[number + 1][0] if number + 1 < len(plan) else end
            yield from pictures[: following - start].round().astype(np.uint8)
            held_latents, held_pictures, before = latents, pictures[following - start :], (start, end)

    def _reference(self, script: Script, size: tuple[int, int], way: str) -> dict[str, torch.Tensor]:
        height, width = script.reference.shape[:2]
        placed = Placement.fit((width, height), size, way)
        picture = torch.from_numpy(placed.picture(script.reference)).permute(2, 0, 1)[None].to(self.device)
        pose = conditions.pose_pictures(script.reference_people, np.array([script.reference_frame]), placed)
        return {
            "image_embed": self.encoders.image_embeds(picture).float()[:, None],
            "reference_latents": self.encoders.encode(picture)[0].float(),
            "reference_pose": torch.from_numpy(pose).permute(0, 3, 1, 2).to(self.device).float() / 255,
        }

    def _conditions(
        self, script: Script, frames: np.ndarray, placement: Placement, reference: dict[str, torch.Tensor]
    ) -> dict:
        batch = data.collate([conditions.steer(script.people, script.sound, frames, 0, placement)])
        on = {
            "pose": batch["pose"].float().to(self.device) / 255,
            "person_masks": batch["person_masks"].float().to(self.device),
            "present": batch["present"].to(self.device),
        } | reference
        if self.model.audio_driver is not None:
            on |= {name: batch[name].to(self.device) for name in ("sound", "scores")}
            on["face_masks"] = [mask.to(self.device) for mask in batch["face_masks"]]
        return on

    def _moved(
        self, script: Script, frames: np.ndarray, placement: Placement, guided: dict[str, torch.Tensor], shape: Data
    ) -> torch.Tensor:
        size = script.reference.shape[1::-1]
        of = Placement.fit(size, (shape.width, shape.height), shape.fit)
        flow = warping.flow(script.people, frames, placement, script.reference_people, script.reference_frame, of)
        on = torch.from_numpy(flow)[None].to(self.device)
        return warping.warped(guided["reference_latents"], on, self.encoders)

    @torch.no_grad()
    def sample(
        self, guided: dict, frames: int, size: tuple[int, int], known: torch.Tensor | None, random: torch.Generator
    ) -> torch.Tensor:
        """Return a window's latents (1, c, f, h, w); its first frames are held to `known` ones if given, but of a model of differences, which has no noise to hold."""
        # Conditions are encoded once for all steps and both halves of guidance.
        conditioning = self.model.encode_conditions(
            **{name: as_dtype(value, self.dtype) for name, value in guided.items()}
        )
        if self.model.config.differences:
            reference = guided["reference_latents"]
            latents, start = diffusion.from_reference(reference, frames)
            made = self.model.denoise(latents.to(self.dtype), start, conditioning)
            return diffusion.with_difference(made.float(), reference)
        schedule = diffusion.scheduler(self.noise)
        schedule.set_timesteps(self.settings.steps)
        channels = self.model.config.latent_channels
        shape = (1, channels, frames, *(side // conditions.LATENT_CELL for side in size[::-1]))
        noise = torch.randn(shape, generator=random).to(self.device)
        latents = noise.clone()
        unconditional = conditioning.unconditional()
        for step in schedule.timesteps:
            at = step.to(self.device)[None]
            if known is not None:
                # Known frames enter each step as noisy as the step expects its input to be, with the noise they began with.
                count = known.shape[2]
                latents[:, :, :count] = schedule.add_noise(known, noise[:, :, :count], at)
            prediction = self.model.denoise(latents.to(self.dtype), at, conditioning).float()
            if self.settings.guidance != 1:
                free = self.model.denoise(latents.to(self.dtype), at, unconditional).float()
                prediction = diffusion.guided(prediction, free, self.settings.guidance, self.settings.guidance_rescale)
            latents = schedule.step(prediction, step, latents).prev_sample
        return latents

    def _pictures(self, latents: torch.Tensor) -> np.ndarray:
        """Return a window's pictures (f, h, w, 3) as float32, decoded a frame at a time to save memory."""
        frames = latents[0].transpose(0, 1).split(1)
        decoded = torch.cat([self.encoders.decode(frame) for frame in frames])
        return decoded.permute(0, 2, 3, 1).cpu().numpy().astype(np.float32)


def cross_faded(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return pictures (f, h, w, 3) that go over from `old` to `new` in equal steps."""
    share = (np.arange(len(new), dtype=np.float32) + 1) / (len(new) + 1)
    return old + share[:, None, None, None] * (new - old)


def write(
    path: Path,
    generator: Generator,
    script: Script,
    shape: Data,
    samples: np.ndarray | None,
    seed: int,
) -> int:
    """Generate a video with its sound (samples at 16 kHz, cut or filled to its length); return the number of frames."""
    if samples is not None:
        samples = samples[script.start * media.SAMPLES_PER_FRAME :]
        length = script.frames * media.SAMPLES_PER_FRAME
        samples = np.pad(samples[:length], (0, max(0, length - len(samples))))
    return encoding.encode(path, generator.video(script, shape, seed), samples)
