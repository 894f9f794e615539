"""The lines that people say: small talk in words that a small recogniser knows."""

import numpy as np

from talking.film import voices

OFFSCREEN = "offscreen"


# Small talk in words that a small recogniser knows; lines of one exchange follow each other, speakers alternate.
_EXCHANGES = [
    [
        "Good morning, shall we start with the budget?",
        "Yes. I think the numbers for October look better than we expected.",
        "Really? That surprises me after such a slow summer.",
        "Sales in the north went up by twelve percent.",
        "Then we can afford the new office after all.",
    ],
    [
        "How was your trip to the mountains?",
        "The ferry was late again, so I walked along the river for an hour.",
        "That sounds lovely to me.",
        "It was raining the whole time, and my shoes are still wet.",
        "Next time you should take the train.",
    ],
    [
        "Have you seen the plans for the old kitchen?",
        "I would rather keep it as it is and paint the walls in yellow.",
        "Yellow walls and a blue door, just like at my grandmother's house.",
        "She always had bread in the oven on Sundays.",
        "And coffee that was far too strong.",
    ],
    [
        "Did anybody feed the cat this morning?",
        "I gave her some fish at seven, but she wanted more.",
        "She always wants more.",
        "The doctor told us that she should lose some weight.",
        "Nobody has told the cat.",
    ],
    [
        "The concert begins at eight, so let us meet at the station.",
        "Which station do you mean, the small one near the market?",
        "No, the big one, under the clock.",
        "Fine, but please do not be late again.",
        "I was only late because the bus broke down.",
    ],
    [
        "My brother wants to grow tomatoes on his roof.",
        "Is there enough water up there?",
        "He is going to carry it up the stairs every evening.",
        "He will give up before the end of May.",
        "I made a bet with him about that.",
    ],
    [
        "What did you think of the book I gave you?",
        "The first half was wonderful, but I did not believe the ending.",
        "I cried when the old sailor came home.",
        "So did I, and I was sitting on a crowded bus.",
        "Somebody offered me a handkerchief.",
    ],
    [
        "We have to decide about the garden party today.",
        "How many people are coming?",
        "Forty, perhaps fifty if the weather is good.",
        "Then we need more chairs and a much bigger table.",
        "My neighbor can lend us both of them.",
    ],
    [
        "Do you remember the teacher with the green bicycle?",
        "Of course, he taught us all the names of the stars.",
        "I met him yesterday in front of the library.",
        "He must be almost ninety years old by now.",
        "He still rides the same bicycle.",
    ],
    [
        "The kitchen light is broken again.",
        "I can look at it after dinner, if you hold the ladder.",
        "Last time you held the ladder and went to answer the phone.",
        "That was ten years ago, and you were perfectly safe.",
        "I was standing in the dark for an hour.",
    ],
]


REPLIES = [
    "Exactly.",
    "I am not so sure.",
    "That is true.",
    "Tell me more.",
    "Why not?",
    "Good idea.",
    "Maybe you are right.",
]


ANSWERS = ["Mm-hm.", "Yes.", "No.", "Mm.", "Right.", "Oh.", "Sure."]


MURMURS = ["Yes.", "Right.", "Of course.", "I see."]


_CALLS = [
    "Hello, can you hear me? I am calling from the harbor.",
    "Please come to the front desk, your visitors are waiting.",
    "The next train to the city leaves in fifteen minutes.",
    "We will be back after a short break with more news.",
    "Lunch is ready, and the soup is getting cold.",
]


class Lines:
    """The lines of the exchanges in a random order of exchanges, without end."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._queue: list[str] = []
        self._calls: list[str] = []

    def fitting(self, speaker: str, voice: str, seconds: float) -> voices.Speech | None:
        """Return the next line that is no longer than `seconds` in this voice, a short reply if none of the next is, or None."""
        if speaker == OFFSCREEN:
            if len(self._calls) < len(_CALLS):
                self._calls += [_CALLS[i] for i in self._rng.permutation(len(_CALLS))]
            return self._first_fitting(self._calls, voice, seconds)
        while len(self._queue) < 8:
            self._queue += _EXCHANGES[int(self._rng.integers(len(_EXCHANGES)))]
        return self._first_fitting(self._queue, voice, seconds, 6) or self.short(voice, REPLIES, seconds)

    def _first_fitting(
        self, queue: list[str], voice: str, seconds: float, depth: int | None = None
    ) -> voices.Speech | None:
        for text in queue[:depth]:
            # A guess saves the work of speaking what is clearly too long.
            if _guess(text) < seconds * 1.3:
                speech = voices.say(voice, text)
                if speech.seconds <= seconds:
                    queue.remove(text)
                    return speech
        return None

    def short(self, voice: str, bank: list[str], seconds: float) -> voices.Speech | None:
        """Return a random line of a bank if it is no longer than `seconds`."""
        speech = voices.say(voice, str(self._rng.choice(bank)))
        return speech if speech.seconds <= seconds else None


def _guess(text: str) -> float:
    return 0.3 + len(text) / 17
