"""Words that were said, and none that were not."""

import numpy as np
import pandas as pd
import pytest

import spoken
from spoken import sound_of
from talking.clips import understanding
from talking.core import tables
from talking.core.errors import InputError
from talking.sound import voice
from talking.speech import hallucinations, recognition, words
from talking.speech.recognition import Heard
from talking.video import encoding, media

pytestmark = pytest.mark.slow


def plain(transcript):
    return [hallucinations.plain(word) for word in transcript["word"]]


@pytest.fixture(scope="module")
def base():
    """The packaged Whisper base, loaded once."""
    return recognition.Recogniser(recognition.packaged("whisper_base"), temperatures=words.Settings().temperatures)


@pytest.fixture
def transcribe(base, monkeypatch):
    """Transcription by a recogniser that has heard nothing before."""

    def run(wav, voices=None):
        base._languages = recognition.Languages()
        monkeypatch.setitem(words.MODELS, "whisper_base", lambda _settings: base)
        return words.transcribe(wav, voice.detect(wav) if voices is None else voices)

    return run


def test_people_who_talk_over_each_other_give_no_loop(shared, tmp_path, transcribe):
    """The likeliest text of this interview repeats one phrase to its end; a drawn one is what was said."""
    transcript, pieces = transcribe(sound_of(shared / "data/real/interview.mp4", tmp_path / "a.wav"))
    heard = plain(transcript)
    assert hallucinations.repeats(heard)[0] < hallucinations.LOOP
    assert {"interview", "ahead", "waiting", "superstar"} & set(heard)
    assert len(heard) > 30
    assert pieces["temperature"].max() > 0
    assert pieces["understood"].all()


def test_pieces_read_at_once_are_read_as_alone_and_repeated_at_once_on_a_gpu(shared, tmp_path, base, monkeypatch):
    sound = media.sound(sound_of(shared / "data/filmed/sample.mp4", tmp_path / "a.wav"))
    loop = media.sound(sound_of(shared / "data/real/interview.mp4", tmp_path / "b.wav"))
    pieces = [sound[: 6 * 16000], sound[6 * 16000 : 12 * 16000], loop]
    heard = {}
    for batch, on_gpu in ((1, False), (3, False), (3, True)):
        monkeypatch.setattr(base, "_languages", recognition.Languages())
        monkeypatch.setattr(base, "_batch", batch)
        monkeypatch.setattr(base, "_on_gpu", on_gpu)
        # The last one, which is slow to read, is compared with nothing.
        heard[batch, on_gpu] = base(pieces if batch == 3 else pieces[:2])
    for together in (heard[3, False], heard[3, True]):
        # The last one is drawn, alone or with others.
        for one, other in zip(heard[1, False], together[:2], strict=True):
            assert (one.text, one.language, one.temperature) == (other.text, other.language, other.temperature)
            assert [w["start_s"] for w in one.words] == pytest.approx([w["start_s"] for w in other.words], abs=0.05)
        assert together[2].words


def test_german_is_written_as_german(shared, tmp_path, transcribe):
    transcript, pieces = transcribe(sound_of(shared / "data/odd/german_speech.mp4", tmp_path / "a.wav"))
    assert set(pieces["language"]) == {"de"}
    assert {"guten", "tag", "ich", "freue", "mich", "sehr", "zukunft", "stadt", "sprechen"} <= set(plain(transcript))


def test_music_and_noise_taken_for_voices_give_no_words(tmp_path, transcribe):
    """Chords with vibrato, then hiss; the voice table says that somebody talks all the time."""
    rng = np.random.default_rng(0)
    seconds = np.arange(8 * media.SOUND_HZ) / media.SOUND_HZ
    vibrato = np.cumsum(1 + 0.01 * np.sin(2 * np.pi * 5.5 * seconds)) / media.SOUND_HZ
    chord = sum(np.sin(2 * np.pi * hz * h * vibrato) / h for hz in (220, 277, 330) for h in range(1, 8))
    music = 0.05 * chord * np.exp(-2 * (seconds % 0.5))
    for name, samples in {"music": music, "noise": rng.normal(0, 0.1, seconds.size)}.items():
        encoding.write_sound(tmp_path / f"{name}.wav", samples)
        frames = np.arange(200)
        heard = pd.DataFrame({"frame": frames, "voice": 0.6, "loudness_db": -20.0})
        transcript, pieces = transcribe(tmp_path / f"{name}.wav", heard)
        assert transcript.empty, name
        assert not pieces["understood"].any(), name
        tables.write("pieces", pieces, tmp_path / "pieces.parquet")


def heard(text, seconds=10.0, **measures):
    """Return what a recogniser might have heard: the text's words, evenly over the seconds."""
    said = text.split()
    step = seconds / max(len(said), 1)
    timed = [{"word": w, "start_s": i * step, "end_s": (i + 1) * step, "confidence": 0.8} for i, w in enumerate(said)]
    facts = dict(language="en", language_probability=1.0, log_probability=-0.3, no_speech=0.1)
    return Heard(10.0, text, **(facts | measures), compression_ratio=1.0, temperature=0.0, words=timed)


TALK = "well I think that we should go there before the shops close because they will not open again"


@pytest.mark.parametrize(
    ("found", "voice_level", "reason"),
    [
        (heard(TALK), 0.9, ""),
        (heard(TALK, log_probability=-1.2), 0.9, "unclear"),
        (heard(TALK, log_probability=-0.7), 0.9, ""),
        (heard(TALK, log_probability=-0.7), 0.3, "unclear"),
        (heard(TALK, log_probability=-0.7, language_probability=0.3), 0.9, "other_language"),
        (heard("No, I didn't. " * 8), 0.9, "repetition"),
        (heard("no no no no no no"), 0.9, "repetition"),
        (heard("No, no. No, I did not. No, I did not. You did, and you know it well."), 0.9, ""),
        (heard("Subtitles by the Amara.org community"), 0.9, "phrase"),
        (heard("Untertitel der Amara.org-Community"), 0.9, "phrase"),
        (heard("Thank you for watching!"), 0.3, "phrase"),
        (heard("Thank you."), 0.9, ""),
        (heard(TALK, seconds=0.5), 0.9, "timing"),
        (heard("..."), 0.9, "no_speech"),
        (heard(""), 0.9, "no_speech"),
    ],
)
def test_a_piece_that_was_not_understood_says_why_and_has_no_words(found, voice_level, reason):
    row, said = words._judged(found, 0, 250, np.full(250, voice_level), words.Settings())
    assert row["reason"] == reason
    assert row["understood"] == (reason == "")
    assert bool(said) == (reason == "")


def test_words_heaped_on_one_moment_are_left_out():
    found = heard(TALK)
    for word in found.words[10:]:
        word["start_s"] = word["end_s"] = found.words[9]["end_s"]
    row, said = words._judged(found, 0, 250, np.full(250, 0.9), words.Settings())
    assert row["understood"]
    assert [w["word"] for w in said] == TALK.split()[: len(said)]
    assert 6 <= len(said) <= 10


@pytest.mark.parametrize(
    ("said", "most", "length"),
    [("a b c", 1, 1), ("a a a b", 3, 1), ("x a b c a b c a b c a b c y", 4, 3), ("", 0, 1), ("a b a b a", 2, 2)],
)
def test_loops_are_counted_up_to_eight_words(said, most, length):
    assert hallucinations.repeats(said.split()) == (most, length)


def test_a_script_of_three_bytes_a_letter_is_not_repetitive():
    hindi = "मैं आज सुबह बाज़ार गया था और वहाँ से ताज़ी सब्ज़ियाँ और कुछ फल लेकर घर लौट आया फिर हमने साथ में चाय पी"
    assert not hallucinations.is_repetitive(hindi, hindi.split())


def test_a_loop_in_a_script_without_spaces_is_noticed_and_a_syllable_said_five_times_is_not():
    # As read of a real video, and compressed less than Whisper's own threshold asks.
    loop = "我家里只削掉牛肝牛肝牛肝有很多的" + 25 * "罐"
    assert hallucinations.compression_ratio(loop) < hallucinations.MAX_COMPRESSION_RATIO
    assert hallucinations.is_repetitive(loop, loop.split())
    said = "对对对对对我也是这么想的"
    assert not hallucinations.is_repetitive(said, said.split())
    assert hallucinations.compression_ratio("धन्यवाद " * 20) > hallucinations.MAX_COMPRESSION_RATIO


def test_a_jingle_and_a_short_answer_follow_the_video_and_a_clear_change_of_language_does_not():
    jingle, german, short, french = {"cy": 0.4, "de": 0.3, "en": 0.3}, {"de": 0.97, "en": 0.03}, {"en": 0.6, "de": 0.4}, {"fr": 0.95, "de": 0.02}  # fmt: skip
    found = recognition.Languages()([jingle, german, german, short, french], [2, 20, 20, 1, 8])
    assert [language for language, _ in found] == ["de", "de", "de", "de", "fr"]
    assert found[0][1] > 0.8


def test_one_doubtful_piece_alone_stays_doubtful_and_earlier_pieces_count():
    languages = recognition.Languages()
    assert languages([{"ru": 0.6, "fr": 0.4}], [1.0]) == [("ru", pytest.approx(0.6))]
    languages = recognition.Languages()
    languages([{"fr": 0.99, "en": 0.01}], [60.0])
    assert languages([{"ru": 0.6, "fr": 0.4}], [1.0])[0][0] == "fr"


def test_an_unheard_end_is_heard_as_a_piece_of_its_own(tmp_path, monkeypatch):
    """A reading that stops after 6 of 20 s is followed by one of the rest."""
    encoding.write_sound(tmp_path / "a.wav", np.zeros(20 * media.SOUND_HZ))
    lengths = []

    def recognise(pieces):
        lengths.extend(piece.size / media.SOUND_HZ for piece in pieces)
        out = [heard(TALK, seconds=5.0) for _ in pieces]
        for one, piece in zip(out, pieces, strict=True):
            one.end_s = min(6.0, piece.size / media.SOUND_HZ)
        return out

    monkeypatch.setitem(words.MODELS, "whisper_base", lambda _settings: recognise)
    voices = pd.DataFrame({"frame": range(500), "voice": 0.9, "loudness_db": -20.0})
    transcript, pieces = words.transcribe(tmp_path / "a.wav", voices)
    assert lengths == [20, 14, 8, 2]
    assert pieces["start_s"].tolist() == [0, 6, 12, 18]
    assert pieces["end_s"].tolist() == [6, 12, 18, 20]
    assert transcript["start_s"].is_monotonic_increasing


def test_what_was_not_understood_of_a_clip_is_measured():
    pieces = pd.DataFrame(
        [(0, 4, "en", True, ""), (4, 10, "th", False, "unclear"), (10, 12, "de", True, ""), (12, 20, "en", False, "no_speech")],
        columns=["start_s", "end_s", "language", "understood", "reason"],
    )  # fmt: skip
    said = pd.DataFrame({"word": ["a", "b"], "start_s": [1.0, 11.0], "end_s": [2.0, 11.5], "confidence": [0.4, 0.8]})
    clips = pd.DataFrame(
        {"clip": ["whole", "end", "silent"], "start_frame": [0, 200, 350], "end_frame": [500, 300, 400]}
    )
    found = understanding.measure(clips, said, pieces).set_index("clip")
    assert found["not_understood_share"].tolist() == pytest.approx([0.5, 0.5, np.nan], nan_ok=True)
    assert found["words_confidence"].tolist() == pytest.approx([0.6, 0.8, np.nan], nan_ok=True)
    assert found["language"].tolist() == ["en", "de", ""]
    assert found["not_understood_s"].tolist() == [[4, 10], [0, 2], []]


def test_a_language_that_the_model_does_not_know_is_named():
    from talking.core.errors import InputError

    with pytest.raises(InputError, match=r"words\.language is 'xx'"):
        recognition.Recogniser(recognition.packaged("whisper_base"), "xx")


@pytest.fixture(scope="module")
def film(shared, tmp_path_factory):
    """The sound of a film with a voice from off screen, and its true turns."""
    return spoken.film(shared, tmp_path_factory.mktemp("film"))


@pytest.fixture(scope="module")
def transcript(film):
    transcript, pieces = words.transcribe(film[0], voice.detect(film[0]))
    assert set(pieces["language"]) == {"en"}
    assert pieces["understood"].all()
    return transcript


def test_a_film_is_transcribed_and_its_words_lie_in_their_sentences(transcript, film):
    text = (
        "good morning shall we start with the budget yes i think the numbers for october look better than we expected"
    )
    heard = ["".join(c for c in word.lower() if c.isalnum()) for word in transcript["word"]]
    assert sum(a == b for a, b in zip(heard, text.split(), strict=False)) >= 19
    for row in transcript.itertuples():
        assert any(row.start_s > t.start_s - 0.2 and row.end_s < t.end_s + 0.2 for t in film[1])
    assert (transcript["end_s"] - transcript["start_s"]).min() >= 0.05
    assert (transcript["start_s"].to_numpy()[1:] >= transcript["end_s"].to_numpy()[:-1] - 1e-9).all()


def test_long_speech_is_cut_into_pieces_where_the_voice_is_weakest():
    settings = words.Settings(longest_piece_s=10.0)
    probability = np.full(1000, 0.9)
    probability[[200, 420, 640]] = 0.6
    voices_ = pd.DataFrame({"frame": range(1000), "voice": probability, "loudness_db": -20.0})
    pieces = words._pieces(voices_, settings)
    assert pieces == [(0, 200), (200, 420), (420, 640), (640, pieces[3][1]), *pieces[4:]]
    assert pieces[-1][1] == 1000
    assert all(end - start <= 250 for start, end in pieces)


def test_words_that_lie_in_silence_or_have_no_time_are_mended():
    voiced = np.zeros(100, dtype=bool)
    voiced[10:40] = True
    found = [
        {"word": "one", "start_s": 0.0, "end_s": 1.0, "confidence": 1.0},
        {"word": "two", "start_s": 1.0, "end_s": 1.0, "confidence": 1.0},
        {"word": "ghost", "start_s": 3.0, "end_s": 3.5, "confidence": 0.2},
    ]
    timed = words._timed(found, 0.0, 4.0, voiced.astype(float), words.Settings())
    assert [w["word"] for w in timed] == ["one", "two"]
    assert timed[0]["start_s"] == 0.4
    assert timed[0]["end_s"] == timed[1]["start_s"] == 0.5
    assert timed[1]["end_s"] == 1.0


def test_a_folder_without_a_whisper_model_is_named(tmp_path):
    with pytest.raises(InputError, match="words: weights"):
        words.whisper(words.Settings(model="whisper", weights=str(tmp_path)))


def test_many_pieces_at_once_are_recognised_as_one_by_one(film, tmp_path):
    encoding.write_sound(tmp_path / "a.wav", media.sound(film[0], 0, 225))
    voices_ = voice.detect(tmp_path / "a.wav")
    single, several = (
        words.transcribe(tmp_path / "a.wav", voices_, words.Settings(batch=batch, longest_piece_s=4.0))
        for batch in (1, 2)
    )
    # The last piece is alone in its batch.
    assert len(single[1]) == 3 and len(single[0]) > 10
    pd.testing.assert_frame_equal(single[0], several[0], atol=0.021)
    pd.testing.assert_frame_equal(single[1], several[1], atol=0.021)
