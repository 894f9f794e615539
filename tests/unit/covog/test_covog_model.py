"""The model: what its output depends on, padded persons, sizes, and its switches."""

import pytest
import torch

from covog import acceleration
from covog_toys import batch, model
from talking.core.errors import InputError


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


# Far above double precision's rounding.
EFFECT = 1e-6


def differ(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a - b).abs().max().item()


@pytest.mark.parametrize("changed", ["pose", "image_embed", "reference_latents", "reference_pose", "sound", "scores"])
def test_prediction_depends_on_every_condition(changed):
    toy, (latents, times, given) = model(), batch()
    other = {**given, changed: given[changed].flip(-1) + 0.5}
    assert differ(toy(latents, times, **given), toy(latents, times, **other)) > EFFECT


def test_prediction_depends_on_the_face_masks_and_the_person_masks():
    toy, (latents, times, given) = model(), batch()
    first = toy(latents, times, **given)
    assert (
        differ(first, toy(latents, times, **{**given, "face_masks": [m.flip(-1) for m in given["face_masks"]]}))
        > EFFECT
    )
    assert differ(first, toy(latents, times, **{**given, "person_masks": given["person_masks"] * 0})) > EFFECT


def test_unconditional_prediction_ignores_the_reference_and_keeps_pose_and_sound():
    toy, (latents, times, given) = model(), batch()
    first = toy(latents, times, unconditional=True, **given)
    other = {**given, "image_embed": given["image_embed"] + 1, "reference_latents": given["reference_latents"] + 1}
    assert differ(first, toy(latents, times, unconditional=True, **other)) == 0
    for kept in ("pose", "sound"):
        changed = {**given, kept: given[kept].flip(-1)}
        assert differ(first, toy(latents, times, unconditional=True, **changed)) > EFFECT


def test_a_model_of_differences_begins_with_none_and_has_no_reference_unet():
    latents, times, given = batch()
    widths = {"differences": True, "pose_adaptor_channels": [4, 4, 8, 8]}
    fresh = model(alive=False, **widths)
    assert differ(fresh(latents, times, **given), torch.zeros_like(latents)) == 0
    # Poses that differ from the reference's are added to what the UNet is given at once, the same ones cancel out.
    assert fresh.encode_conditions(**given).pose.std() > 0.1
    still = {**given, "pose": given["reference_pose"][:, :, None].repeat(1, 1, 3, 1, 1)}
    assert fresh.encode_conditions(**still).pose.abs().max() == 0
    toy = model(**widths)
    assert toy.reference_unet is None
    first = toy(latents, times, **given)
    for name, counts in (("reference_latents", False), ("reference_pose", True), ("image_embed", False)):
        changed = {**given, name: given[name] + 0.5}
        assert (differ(first, toy(latents, times, **changed)) > EFFECT) == counts


def test_a_model_of_differences_needs_two_pose_encoders_of_the_same_widths():
    with pytest.raises(InputError, match="the same pose_guider_channels and pose_adaptor_channels"):
        model(differences=True)


def test_one_guide_serves_both_halves_of_guidance():
    toy, (latents, times, given) = model(), batch()
    conditioning = toy.encode_conditions(**given)
    torch.testing.assert_close(toy.denoise(latents, times, conditioning), toy(latents, times, **given))
    without = toy(latents, times, unconditional=True, **given)
    torch.testing.assert_close(toy.denoise(latents, times, conditioning.unconditional()), without)


def test_padded_persons_contribute_exactly_nothing():
    toy, (latents, times, given) = model(), batch(clips=2, people=3)
    given["present"][0, 2] = False
    padded = toy(latents, times, **given)
    rubbish = {**given, "scores": given["scores"].clone(), "face_masks": [m.clone() for m in given["face_masks"]]}
    rubbish["person_masks"] = given["person_masks"].clone()
    for part in (rubbish["scores"], rubbish["person_masks"], *rubbish["face_masks"]):
        part[0, 2] = 7.0
    assert torch.equal(toy(latents, times, **rubbish), padded)
    alone = {
        name: [m[:1, :2] for m in value]
        if name == "face_masks"
        else value[:1, :2]
        if name in ("person_masks", "present", "scores")
        else value[:1]
        for name, value in given.items()
    }
    assert differ(toy(latents[:1], times[:1], **alone), padded[:1]) < 1e-12
    everybody = {**given, "present": torch.ones_like(given["present"])}
    assert differ(toy(latents, times, **everybody)[:1], padded[:1]) > EFFECT


@pytest.mark.parametrize("residual", ["keep", "released"])
def test_an_audio_block_moves_with_the_sound_inside_the_face_masks_only(residual):
    toy, (_, _, given) = model(audio_residual=residual), batch()
    hidden = torch.randn(3, 32, 4, 6).double()
    mask = given["face_masks"][1][0].sum(0)[:, None] > 0

    def heard(**changes):
        inputs = {**given, **changes}
        (audio_context, *_), _ = toy.audio_driver.encode(
            *(inputs[n] for n in ("sound", "scores", "face_masks", "present"))
        )
        return toy.audio_driver.down[0](hidden, audio_context)

    before, after = heard(), heard(sound=given["sound"].flip(-1))
    moved = (before - after).abs()
    assert (moved * mask).amax((1, 2, 3)).min() > EFFECT
    assert (moved * ~mask).max() == 0
    louder = given["scores"].clone()
    louder[:, 1] += 1
    first, second = given["face_masks"][1][0][:, :, None] > 0
    moved = (before - heard(scores=louder)).abs()
    assert (moved * second).max() > EFFECT
    assert (moved * ~second).max() == 0
    assert (moved * first).max() == 0


def test_each_persons_own_sound_moves_that_persons_face_only():
    toy, (latents, times, given) = model(), batch()
    own = given["sound"][:, None].repeat(1, 2, 1, 1, 1)
    everybodys = toy(latents, times, **given)
    torch.testing.assert_close(toy(latents, times, **{**given, "sound": own}), everybodys)
    other = own.clone()
    other[:, 1] = other[:, 1].flip(-1)
    hidden = torch.randn(3, 32, 4, 6).double()

    def heard(sound):
        (audio_context, *_), _ = toy.audio_driver.encode(sound, given["scores"], given["face_masks"], given["present"])
        return toy.audio_driver.down[0](hidden, audio_context)

    first, second = given["face_masks"][1][0][:, :, None] > 0
    moved = (heard(own) - heard(other)).abs()
    assert (moved * second).max() > EFFECT
    assert (moved * ~second).max() == 0
    assert (moved * first).max() == 0


def test_audio_driver_changes_nothing_at_initialisation_and_its_switch_removes_its_parameters():
    latents, times, given = batch()
    with_audio, without = model(alive=False), model(alive=False, audio=False)
    without.load_state_dict({n: t for n, t in with_audio.state_dict().items() if not n.startswith("audio_driver.")})
    assert torch.equal(with_audio(latents, times, **given), without(latents, times, **given))

    def count(module):
        return sum(p.numel() for p in module.parameters())

    assert count(with_audio) - count(without) == count(with_audio.audio_driver) > 10_000


def test_motion_modules_start_as_no_motion_and_couple_frames_once_alive():
    latents, times, given = batch()
    moving, still = model(alive=False), model(alive=False, motion=False)
    still.load_state_dict({n: t for n, t in moving.state_dict().items() if "motion_modules" not in n})
    assert differ(moving(latents, times, **given), still(latents, times, **given)) < 1e-12
    other = latents.clone()
    other[:, :, 2] += 1
    alive = model()
    assert differ(alive(latents, times, **given)[:, :, 0], alive(other, times, **given)[:, :, 0]) > EFFECT
    frozen = model(motion=False)
    assert differ(frozen(latents, times, **given)[:, :, 0], frozen(other, times, **given)[:, :, 0]) < 1e-12


@pytest.mark.parametrize(("height", "width", "people", "frames"), [(40, 72, 1, 1), (72, 104, 4, 2), (128, 64, 3, 5)])
def test_any_size_number_of_people_and_frames(height, width, people, frames):
    toy, (latents, times, given) = model(), batch(people=people, frames=frames, height=height, width=width)
    out = toy(latents, times, **given)
    assert out.shape == latents.shape
    assert out.isfinite().all()


@pytest.mark.parametrize("keeps", ["nothing", "products"])
def test_recomputed_blocks_give_the_same_gradients(keeps):
    toy, (latents, times, given) = model(), batch()

    def gradients(recomputes):
        toy.zero_grad()
        if recomputes:
            acceleration.recompute_blocks(toy, keeps)
        with torch.enable_grad():
            toy(latents, times, **given).square().mean().backward()
        return {n: p.grad.clone() for n, p in toy.named_parameters() if p.grad is not None}

    plain, recomputed = gradients(False), gradients(True)
    assert plain.keys() == recomputed.keys()
    assert all(differ(plain[n], recomputed[n]) <= 1e-10 * max(1.0, plain[n].abs().max()) for n in plain)
    assert any(n.startswith("reference_unet") for n in plain)


def test_without_person_masks_the_pose_is_encoded_once():
    toy, (latents, times, given) = model(person_masks=False), batch()
    first = toy(latents, times, **given)
    assert torch.equal(first, toy(latents, times, **{**given, "person_masks": given["person_masks"] * 0}))
