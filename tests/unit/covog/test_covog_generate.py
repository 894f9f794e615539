"""Generation: length, windows, seeds, sound, and who is made to speak."""

import json
from argparse import Namespace
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch

from covog import command_line, config, convert, generate
from covog.frozen_encoders import FrozenEncoders
from covog_clips import CHANNELS, HEIGHT, LAYERS, WIDTH, make
from covog_toys import TOY, model
from talking.core.errors import InputError
from talking.dataset import store
from talking.video import media

SETTINGS = config.Config(
    model=config.Model(**{**TOY, "audio_layers": LAYERS, "audio_channels": CHANNELS}),
    encoders=config.Encoders(vae="patches", image_encoder="random"),
    data=config.Data(width=64, height=40),
    generation=config.Generation(steps=2, window=6, overlap=2),
)
SIZE = (64, 40)
SHAPE = SETTINGS.data


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make(tmp_path_factory.mktemp("generation") / "toy_v0_000175to000195", frames=20)


@pytest.fixture(scope="module")
def generator():
    toy = model(audio_layers=LAYERS, audio_channels=CHANNELS).float()
    return generate.Generator(
        toy, FrozenEncoders(SETTINGS.encoders, SETTINGS.model), SETTINGS.noise, SETTINGS.generation, torch.device("cpu")
    )


@pytest.fixture(scope="module")
def script(clip):
    return generate.script_of(store.Clip(clip))


def cut(script, frames):
    return replace(script, end=frames)


@pytest.mark.parametrize("length", [1, 2, 6, 15])
@pytest.mark.parametrize("overlap", [0, 1, 5])
def test_windows_cover_every_number_of_frames(length, overlap):
    for frames in range(1, 201):
        plan = generate.windows(frames, length, overlap)
        assert plan[0][0] == 0
        assert plan[-1][1] == frames
        assert all(end - start == min(length, frames) for start, end in plan)
        for (start, end), (following, _) in pairwise(plan):
            assert start < following <= end - min(overlap, length - 1)


@pytest.mark.parametrize("frames", [1, 5, 6, 7, 13])
def test_a_video_has_as_many_frames_as_the_script(generator, script, frames):
    pictures = list(generator.video(cut(script, frames), SHAPE))
    assert len(pictures) == frames
    assert all(p.shape == (40, 64, 3) and p.dtype == np.uint8 for p in pictures)


@pytest.mark.slow
def test_lengths_1_to_200(clip, tmp_path):
    toy = model(audio=False, motion=False, block_out_channels=[32] * 4).float()
    quick = config.Generation(steps=1, window=12, overlap=3, guidance=1)
    encoders = FrozenEncoders(SETTINGS.encoders, SETTINGS.model)
    generator = generate.Generator(toy, encoders, SETTINGS.noise, quick, torch.device("cpu"))
    long = generate.script_of(store.Clip(make(tmp_path / "toy_v1_000000to000200", frames=200)))
    for frames in (1, 12, 13, 22, 200):
        assert sum(1 for _ in generator.video(cut(long, frames), config.Data(width=72, height=16))) == frames


def test_an_untrained_model_of_differences_repeats_the_reference_picture_and_a_trained_one_does_not(script):
    toy = config.Model(**{**TOY, "latent_channels": 12, "differences": True, "pose_adaptor_channels": [4, 4, 8, 8]})
    encoders, shorter = FrozenEncoders(SETTINGS.encoders, toy), cut(script, 8)
    placed = generate.Placement.fit((script.reference.shape[1], script.reference.shape[0]), SIZE).picture(
        script.reference
    )
    pictures = torch.from_numpy(placed).permute(2, 0, 1)[None]
    repeated = encoders.decode(encoders.encode(pictures)[0])[0].permute(1, 2, 0).numpy()
    for alive in (False, True):
        network = model(alive=alive, **vars(toy) | {"audio": False}).float()
        generator = generate.Generator(network, encoders, SETTINGS.noise, SETTINGS.generation, torch.device("cpu"))
        made = np.stack(list(generator.video(shorter, SHAPE)))
        assert (np.abs(made.astype(int) - repeated).max() <= 1) != alive


def test_an_untrained_model_moves_the_reference_picture_where_the_poses_are_if_asked(script):
    toy = config.Model(
        **{**TOY, "latent_channels": 192, "differences": True, "pose_adaptor_channels": [4, 4, 8, 8], "audio": False}
    )
    encoders = FrozenEncoders(SETTINGS.encoders, toy)
    network = model(alive=False, **vars(toy)).float()
    generator = generate.Generator(network, encoders, SETTINGS.noise, SETTINGS.generation, torch.device("cpu"))
    people = script.people
    moved = people.keypoints.copy()
    # Everybody moves to the right from the fourth frame on, by an eighth of the picture.
    moved[3:, :, :, 0] += WIDTH / 8
    moving = replace(cut(script, 5), people=replace(people, keypoints=moved), reference_people=people)
    made = np.stack(list(generator.video(moving, replace(SHAPE, warped=True)))).astype(float)
    alone = np.stack(list(generator.video(moving, SHAPE))).astype(float)
    assert np.abs(alone - alone[0]).max() == 0
    # Only heads move, which are a small part of the picture.
    of_first = np.abs(made - alone[0]).max(axis=(1, 2, 3))
    assert of_first[0] <= 3 < 20 < min(of_first[3:]), of_first


def test_a_seed_gives_the_same_video_and_another_one_another(generator, script):
    one, same, other = (np.stack(list(generator.video(cut(script, 8), SHAPE, seed))) for seed in (3, 3, 4))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_scores_and_sound_change_the_video(generator, script):
    shorter = cut(script, 4)
    first = np.stack(list(generator.video(shorter, SHAPE))).astype(float)
    others = [
        generate.spoken_by(shorter, [(1, 0, 4)]),
        replace(shorter, sound=shorter.sound + 3),
    ]
    for other in others:
        assert np.abs(np.stack(list(generator.video(other, SHAPE))) - first).max() > 0


def test_known_frames_enter_each_step_at_its_noise_level(generator, script, monkeypatch):
    seen = []
    schedule = generate.diffusion.scheduler(SETTINGS.noise)
    whole = generator.model.denoise
    monkeypatch.setattr(generator.model, "denoise", lambda x, t, g: (seen.append((x.clone(), t)), whole(x, t, g))[1])
    known = torch.randn(1, 4, 2, 5, 8) * 50
    guided = generator._conditions(
        script, np.arange(6), generate.Placement.fit((96, 64), SIZE), generator._reference(script, SIZE, "bars")
    )
    generator.sample(guided, 6, SIZE, known, generate.diffusion.generator(1))
    for latents, at in seen:
        alpha = schedule.alphas_cumprod[at].item()
        noise = latents[:, :, :2] - alpha**0.5 * known
        assert noise.std().item() == pytest.approx((1 - alpha) ** 0.5, rel=0.2)


def test_overlaps_are_faded_over():
    old, new = np.zeros((3, 2, 2, 3), dtype=np.float32), np.full((3, 2, 2, 3), 8, dtype=np.float32)
    assert generate.cross_faded(old, new)[:, 0, 0, 0].tolist() == [2, 4, 6]


def test_somebody_else_speaks(script):
    scores = generate.spoken_by(script, [(1, 0, 5), (0, 5, 20)]).people.scores
    assert (scores[:5] == [generate.LISTENS, generate.SPEAKS]).all()
    assert (scores[5:] == [generate.SPEAKS, generate.LISTENS]).all()
    assert command_line.turns(["1:0-5", "0:5-20"]) == [(1, 0, 5), (0, 5, 20)]
    with pytest.raises(InputError, match="no person 2"):
        generate.spoken_by(script, [(2, 0, 5)])
    with pytest.raises(InputError, match="--who 1-5"):
        command_line.turns(["1-5"])


def test_somebody_else_who_speaks_has_the_voice_of_who_did(tmp_path):
    clips = []
    for number, frames in enumerate((20, 15)):
        folder = make(tmp_path / f"toy_v{number}_000175to{175 + frames:06d}", frames=frames)
        # In the first clip person 1 speaks, in the other one person 0 after eight frames.
        speaks = np.zeros((frames, 2), dtype=bool)
        speaks[: 8 if number else None, 1] = True
        speaks[8 if number else frames :, 0] = True
        heard = np.tile(speaks[..., None, None], (1, 1, LAYERS, CHANNELS)) * (number + 1)
        np.savez(folder / "sound.npz", sound=heard.astype(np.float16))
        speakers = json.loads((folder / "speakers.json").read_text())
        for person, scores in zip(speakers["people"], np.where(speaks, 3.0, -2.0).T.tolist(), strict=True):
            person["speaking_score"] = scores
        (folder / "speakers.json").write_text(json.dumps(speakers))
        clips.append(store.Clip(folder))
    changed = generate.spoken_by(generate.script_of(clips[0]), [(0, 3, 9)])
    wanted = np.zeros((20, 2))
    wanted[3:9, 0] = 1
    np.testing.assert_array_equal(changed.sound, np.tile(wanted[..., None, None], (1, 1, LAYERS, CHANNELS)))
    # The voices of another clip come with its scores, by which they are told apart.
    borrowed = generate.script_of(*clips)
    assert borrowed.frames == 15
    np.testing.assert_array_equal(borrowed.people.scores, clips[1].scores)
    turned = generate.spoken_by(borrowed, [(1, 0, 15)])
    assert (turned.sound[:, 1] == 2).all() and not turned.sound[:, 0].any()


@pytest.fixture
def weights(generator, tmp_path):
    convert.write_model(generator.model, tmp_path / "weights.safetensors")
    config.save(SETTINGS, tmp_path / "config.yaml")
    names = "clip sound_clip reference poses sound audio scores frames lips picture dataset".split()
    return Namespace(
        weights=tmp_path / "weights.safetensors", config=tmp_path / "config.yaml", out=tmp_path / "out.mp4",
        reference_frame=0, who=[], seed=0, **dict.fromkeys(names),
    )  # fmt: skip


def test_command_line_writes_a_video_with_sound_of_the_very_length(weights, clip):
    weights.clip, weights.frames = clip, 9
    command_line.generate(weights)
    assert media.size_and_length(weights.out) == (64, 40, 9)
    assert len(list(media.frames(weights.out))) == 9
    import av

    with av.open(str(weights.out)) as container:
        assert len(container.streams.audio) == 1
    weights.frames = 21
    with pytest.raises(InputError, match="the inputs have 1 to 20 frames"):
        command_line.generate(weights)


def test_loose_files_give_the_clips_video(weights, generator, clip, script, tmp_path):
    with pytest.raises(InputError, match="give --clip, --picture"):
        command_line.generate(weights)
    cv2.imwrite(str(tmp_path / "reference.png"), script.reference[..., ::-1])
    scores = json.loads((clip / "speakers.json").read_text())["people"]
    rows = [f"{f},{p['person']},{s}" for p in scores for f, s in enumerate(p["speaking_score"])]
    (tmp_path / "scores.csv").write_text("\n".join(["frame,person,score", *rows]))
    files = [tmp_path / "reference.png", clip / "poses.npz", clip / "sound.npz", tmp_path / "scores.csv"]
    loose = generate.script_of_files(*files)
    assert loose.source == (WIDTH, HEIGHT)
    assert np.array_equal(loose.people.scores, script.people.scores)
    ours, theirs = (np.stack(list(generator.video(cut(s, 3), SHAPE))).astype(int) for s in (loose, script))
    # Only the person masks differ: without face tracks they are the bodies alone.
    assert ours.shape == theirs.shape
    (tmp_path / "scores.csv").write_text("\n".join(["frame,person,score", *rows[:5]]))
    with pytest.raises(InputError, match="must have the 20 frames"):
        generate.script_of_files(*files)
    with pytest.raises(InputError, match=r"none\.png cannot be read as a picture"):
        generate.script_of_files(tmp_path / "none.png", *files[1:])


def test_windows_longer_than_the_position_code_are_refused():
    with pytest.raises(InputError, match="can number 24 frames"):
        generate.Generator(
            model(),
            FrozenEncoders(SETTINGS.encoders, SETTINGS.model),
            SETTINGS.noise,
            config.Generation(window=25),
            torch.device("cpu"),
        )


def test_the_image_encoder_sees_the_whole_picture_or_its_centre():
    wide = torch.randint(0, 255, (1, 3, 40, 80), dtype=torch.uint8)
    whole, centre = (
        FrozenEncoders(config.Encoders(vae="patches", image_encoder="random", image_crop=crop), SETTINGS.model)
        for crop in ("whole", "centre")
    )
    torch.testing.assert_close(centre.image_embeds(wide), whole.image_embeds(wide[..., 20:60]))
    assert (centre.image_embeds(wide) - whole.image_embeds(wide)).abs().max() > 1e-3
