"""The rules of the workflow that make something of one video, as their files say."""

import re

from conftest import REPO


def per_video_rules():
    """Return {rule: (its outputs, its command lines)} of the rules that make something of one video."""
    found = {}
    for file in sorted((REPO / "workflow/rules").glob("*.smk")):
        for text in re.split(r"^(?=rule )", file.read_text(), flags=re.MULTILINE)[1:]:
            outputs = re.search(r"output:\n(.*?)\n    log:", text, re.DOTALL)
            if outputs and "{video}" in outputs[1] and "results/covog" not in outputs[1]:
                work = text.split("shell:")[1].split("|| talking give-up")[0]
                commands = re.findall(r"(?:talking(?: --gpus \S+)?|--then) ([a-z-]+) ", work)
                found[re.match(r"rule (\w+)", text)[1]] = re.findall(r'"(results/[^"]+)"', outputs[1]), commands, text
    return found
