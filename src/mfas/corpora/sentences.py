"""Sentences for the synthetic corpus whose words carry an emotion, or none.

Ten for each emotion, of six to nine words, so that what is said (TEC in MFAS, arXiv 2306.09361) can
agree with how it is said (SEC) or conflict with it.
"""

SENTENCES: dict[str, tuple[str, ...]] = {
    "angry": (
        "You broke your promise and lied to me.",
        "I hate it when you insult my family.",
        "Stop shouting and get out of my house.",
        "They cheated us and stole our money.",
        "How dare you blame me for your mistake.",
        "That is outrageous and completely unfair to us.",
        "He slammed the door and cursed at everyone.",
        "I am furious about this stupid decision.",
        "Do not ever threaten my brother again.",
        "This rude man keeps provoking everybody here.",
    ),
    "happy": (
        "I am so glad that we won the prize.",
        "What a wonderful surprise to see you here.",
        "They loved the party and danced all night.",
        "My best friend is getting married in June.",
        "The children laughed with joy in the garden.",
        "This is the best present I ever got.",
        "We celebrated our success with a great dinner.",
        "It was a lovely day full of sunshine.",
        "She smiled and thanked us for the flowers.",
        "I passed the exam and feel fantastic.",
    ),
    "neutral": (
        "The train leaves at seven in the evening.",
        "There are twelve chairs in the meeting room.",
        "He put the keys on the kitchen table.",
        "The library is next to the post office.",
        "We take the second street on the left.",
        "The report has thirty pages and two tables.",
        "She bought a bottle of water and some bread.",
        "The bus stops in front of the museum.",
        "They moved the printer to the first floor.",
        "The form must be signed on the last page.",
    ),
    "sad": (
        "My grandmother died in the hospital last week.",
        "I miss him and I cry every night.",
        "She lost her job and then her home.",
        "We said goodbye for the very last time.",
        "He feels lonely since his wife left him.",
        "The poor old dog was buried today.",
        "There is no hope left for the patient.",
        "I am sorry that I failed the exam.",
        "Nobody came to visit me at Christmas.",
        "Tears ran down her face at the funeral.",
    ),
}
