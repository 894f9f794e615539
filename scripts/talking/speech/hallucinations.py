"""Signs that a recogniser invented words.

Whisper (Radford et al., 2022) writes something for any sound: over music, noise and languages that it does not know it repeats
itself, writes phrases of its training data (the credits of subtitles), or puts many words into one moment. The thresholds are
Whisper's own (compression ratio) and those of NeMo Curator's filters (fraction of different words, characters a second).
"""

import re
import unicodedata
import zlib

import numpy as np

# Whisper's own threshold.
MAX_COMPRESSION_RATIO = 2.4
# A phrase of one to eight words that is repeated this often in a row is a loop.
LONGEST_PHRASE, LOOP = 8, 4
# Of at least so many words this fraction must differ.
MIN_DIFFERENT, COUNTED_WORDS = 0.4, 15
# The quickest speakers reach 25 characters a second, over so many words at least.
MAX_CHARACTERS_PER_S, TIMED_WORDS = 40.0, 4
# Scripts in which a character stands for a syllable or a word, of which nobody says more than about ten a second.
_SYLLABLES = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_SYLLABLE_CHARACTERS = 3
# In such scripts words have no spaces between them; people do say one syllable four or five times ("对对对对").
_SYLLABLE_LOOP = 8

# Credits of subtitles in the training data; nobody on screen says them.
_CREDITS = re.compile(
    r"amara\.org|amara org|subtitl(es|ed|ing) by|captions? by|transcri(bed|ption|pt) by|translat(ed|ion) by|"
    r"untertitel(ung)? (der|des|von|im auftrag)|sous-titr(es|age)|sottotitoli|subtítulos|subtitulado por|legendas|"
    r"napisy|субтитры|редактор субтитров|корректор|ondertitel|altyazı|tekstning av|undertexter|"
    r"字幕|ご視聴|ご清聴|チャンネル登録|시청해|구독과|자막|点赞|订阅|訂閱|明镜|"
    r"ترجمة|اشترك|उपशीर्षक|कैप्शन|www\.|\.com\b|©"
)
# Phrases that people do say, but that a recogniser writes more often where nobody speaks.
_FAREWELLS = re.compile(
    r"(thank(s| you)( (so|very) much)?|thanks?( you)? for (watching|listening|your time|joining us)|please subscribe|"
    r"(please )?(like|subscribe)( and subscribe)?( to (my|the|our) channel)?|see you( in the)?( next)?( time| video)?|"
    r"bye( bye)*|you|i'?m sorry|okay|oh|so|the|hmm+|mm+|ah+|"
    r"gracias( por ver( el video)?)?|obrigad[oa]|merci( d'avoir regardé( cette vidéo)?)?|danke( schön)?|vielen dank|"
    r"谢谢(观看|大家)?|謝謝(觀看|大家)?|감사합니다|ありがとうございました|ขอบคุณ(ครับ|ค่ะ)?|धन्यवाद|شكرا|"
    r"спасибо( за просмотр)?|продолжение следует)"
)


def compression_ratio(text: str) -> float:
    """Return how far a text can be compressed, as Whisper measures repetition; 0 of an empty one.

    One byte stands for each character, so that a script of three bytes a character does not look repetitive.
    """
    data = bytes(ord(character) & 0xFF for character in text)
    return len(data) / len(zlib.compress(data)) if data else 0.0


def plain(word: str) -> str:
    """Return a word in lower case without punctuation."""
    return "".join(c for c in word.lower() if unicodedata.category(c)[0] in "LMN" or c == "'")


def repeats(words: list[str]) -> tuple[int, int]:
    """Return how often the most repeated phrase of one to eight words follows itself in a row (1: never), and its length."""
    _, codes = np.unique(np.array(words, dtype=object), return_inverse=True)
    most, length = min(len(words), 1), 1
    for n in range(1, min(LONGEST_PHRASE, len(words) // 2) + 1):
        same = np.concatenate([[0], codes[n:] == codes[:-n], [0]]).astype(int)
        edges = np.flatnonzero(np.diff(same))
        longest = int(np.max(edges[1::2] - edges[::2], initial=0))
        if longest // n + 1 > most:
            most, length = longest // n + 1, n
    return most, length


def is_repetitive(text: str, words: list[str]) -> bool:
    """Return True if a text repeats itself as speech does not; `words` are its words."""
    said = [w for w in map(plain, words) if w]
    few = len(said) >= COUNTED_WORDS and len(set(said)) <= MIN_DIFFERENT * len(said) and not _SYLLABLES.search(text)
    is_loop = repeats(said)[0] >= LOOP or repeats(_SYLLABLES.findall(text))[0] >= _SYLLABLE_LOOP
    return compression_ratio(text) > MAX_COMPRESSION_RATIO or is_loop or few


def is_credit(text: str) -> bool:
    """Return True if a text is a credit of subtitles, which nobody says."""
    return bool(_CREDITS.search(text.lower()))


def is_farewell(text: str) -> bool:
    """Return True if a text is only a phrase that recognisers write where nobody speaks."""
    letters = " ".join(w for w in map(plain, text.split()) if w)
    return bool(_FAREWELLS.fullmatch(letters))


def characters(word: str) -> int:
    """Return the length of a word in letters of an alphabet; a character that is a syllable counts for three."""
    said = plain(word)
    return len(said) + (_SYLLABLE_CHARACTERS - 1) * len(_SYLLABLES.findall(said))


def impossible_times(words: list[dict]) -> np.ndarray:
    """Return a mask over words with start_s and end_s, in order: true where more is said than is possible.

    A word is impossible within any run of four words whose characters come quicker than 40 a second.
    """
    mask = np.zeros(len(words), dtype=bool)
    if len(words) < TIMED_WORDS:
        return mask
    start, end = (np.array([w[edge] for w in words]) for edge in ("start_s", "end_s"))
    letters = np.concatenate([[0], np.cumsum([characters(w["word"]) for w in words])])
    length = np.maximum(end[TIMED_WORDS - 1 :] - start[: 1 - TIMED_WORDS], 1e-3)
    fast = (letters[TIMED_WORDS:] - letters[:-TIMED_WORDS]) / length > MAX_CHARACTERS_PER_S
    for first in np.flatnonzero(fast):
        mask[first : first + TIMED_WORDS] = True
    return mask
