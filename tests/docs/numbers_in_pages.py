"""Pages against rows: which sentences hold the numbers that the rows give, and what to write where they do not."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator

import said_baselines
import said_brackets
import said_certificates
import said_classification
import said_diagnostics
import said_evaluation
import said_findings
import said_forecast
import said_formats
import said_groups
import said_language_models
import said_languages
import said_listops
import said_long_context
import said_one_label
import said_pretrained
import said_pretrained_own
import said_readme
import said_repair
import said_shorter
import said_speech
import said_tasks
import said_training
from measured import ROOT

PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "README.md": said_readme.sentences,
    "docs/baselines.md": said_baselines.sentences,
    "docs/brackets.md": said_brackets.brackets,
    "docs/certificates_algebra.md": said_shorter.algebra,
    "docs/certificates.md": said_certificates.sentences,
    "docs/classification.md": said_classification.sentences,
    "docs/diagnostics.md": said_diagnostics.sentences,
    "docs/evaluation.md": said_evaluation.sentences,
    "docs/findings.md": said_findings.sentences,
    "docs/forecast.md": said_forecast.sentences,
    "docs/glossary.md": said_shorter.glossary,
    "docs/groups.md": said_groups.sentences,
    "docs/index.md": said_shorter.index,
    "docs/interventions.md": said_shorter.interventions,
    "docs/language_models.md": said_language_models.sentences,
    "docs/languages.md": said_languages.sentences,
    "docs/ldru.md": said_brackets.unit,
    "docs/listops.md": said_listops.sentences,
    "docs/long_context.md": said_long_context.sentences,
    "docs/one_label.md": said_one_label.sentences,
    "docs/parts.md": said_shorter.parts,
    "docs/pretrained.md": said_pretrained.sentences,
    "docs/pretrained_contract.md": said_formats.contract,
    "docs/pretrained_formats.md": said_formats.formats,
    "docs/pretrained_own.md": said_pretrained_own.sentences,
    "docs/repair.md": said_repair.sentences,
    "docs/reports.md": said_shorter.reports,
    "docs/reports_text.md": said_shorter.language_reports,
    "docs/speech.md": said_speech.sentences,
    "docs/state.md": said_shorter.state,
    "docs/sweeps.md": said_shorter.sweeps,
    "docs/tasks.md": said_tasks.sentences,
    "docs/text.md": said_shorter.text,
    "docs/training.md": said_training.sentences,
}
"""Page -> what it says of the rows: pieces of sentences and lines of tables."""

_NUMBER = r"(?:\*\*)?[+-]?\d(?:[\d,.]*\d)?k?†?(?:\*\*)?"


def squeezed(text: str) -> str:
    """Return a text on one line."""
    return " ".join(text.split())


def missing(page: str, sentences: Iterable[str]) -> list[str]:
    """Return the sentences that a page does not have, word by word and number by number."""
    text = squeezed(page)
    return [sentence for sentence in sentences if squeezed(sentence) not in text]


def rewritten(page: str, sentence: str) -> str | None:
    """Return the page with the numbers of a sentence, where it has that sentence with others; None elsewhere.

    Of several with the same words it is the one that begins with the same numbers, such as the line of P(1,2).
    """
    pattern, end = "", 0
    for number in re.finditer(_NUMBER, sentence):
        pattern += _words(sentence[end : number.start()]) + f"({_NUMBER})"
        end = number.end()
    found = list(re.finditer(pattern + _words(sentence[end:]), page))
    numbers = re.findall(_NUMBER, sentence)
    for group, number in enumerate(numbers, start=1):
        found = found if len(found) == 1 else [match for match in found if match[group] == number]
    if len(found) != 1:
        return None
    for group in range(len(numbers), 0, -1):
        page = page[: found[0].start(group)] + numbers[group - 1] + page[found[0].end(group) :]
    return page


_NAMES = (
    r"\b(D_\d+|D_n|P\(\w,\w\)|Tomita \d( to \d)?|Mamba-\d|RWKV-\d(, \d)*( and \d)?|"
    r"Qwen3|S5|h5py|GPT-NeoX-20B|HGRN-2|v6[abc]|float32|bfloat16|TF32|SHA-256|UTF-8|Apache-2.0)"
)
"""Languages, models and types whose names have numbers."""
_SHOWN = r"```.*?```|!?\[[^\]]*\]\(https?:[^)]*\)|!\[[^\]]*\]\([^)]*\)|\]\([^)]*\)|`[^`]*`|<[^>]+>|--8<-- \"[^\"]*\""
"""Programs, pictures, citations, files that are put in, and where links lead."""
_CITED = r"[A-Z]\w+ (?:19|20)\d\d\b|\((?:19|20)\d\d, \)"
"""Authors and the year, and a year where the link that followed was taken out."""
_TRIAL = re.compile(r"\btrials?\b|not in\W+(results)?\b", re.IGNORECASE)


def unchecked(page: str, sentences: Iterable[str]) -> list[str]:
    """Return sentences and cells with numbers that nothing is asked for, and that are not called a trial."""
    text = squeezed(re.sub(_SHOWN, " ", page, flags=re.DOTALL))
    # What is shown as a program alone has nothing left that could be taken away.
    bare = filter(None, (squeezed(re.sub(_SHOWN, " ", sentence, flags=re.DOTALL)) for sentence in sentences))
    for sentence in sorted(bare, key=len, reverse=True):
        text = squeezed(text).replace(sentence, " ")
    pieces = re.split(r"(?<=[.|]) ", re.sub(rf"{_NAMES}|{_CITED}", "", text))
    kept = [said for said in pieces if not _TRIAL.search(said)]
    return [said for said in kept if re.search(r"\d", said)]


def _words(text: str) -> str:
    return re.sub(r"(\\? |\\\n)+", r"\\s+", re.escape(text))


def write() -> None:
    """Write the numbers of the rows into all pages, and say which sentences are not there to be corrected."""
    for name, sentences in PAGES.items():
        path = ROOT / name
        page = path.read_text(encoding="utf-8")
        for sentence in missing(page, sentences()):
            corrected = rewritten(page, sentence)
            sys.stdout.write(f"{name}: {'now' if corrected else 'NOT FOUND (once)'}: {sentence}\n")
            page = corrected or page
        path.write_text(page, encoding="utf-8")


if __name__ == "__main__" and sys.argv[1:] == ["--unchecked"]:
    for name, sentences in PAGES.items():
        for said in unchecked((ROOT / name).read_text(encoding="utf-8"), sentences()):
            sys.stdout.write(f"{name}: {said}\n")
elif __name__ == "__main__":
    write()
