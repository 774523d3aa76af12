"""dvc.lock read and written fast, in a process that runs DVC.

DVC reads the whole file twice and writes it anew after every stage, with ruamel.yaml. Of 120 KB, reading takes 0.7 s
with the reader that keeps comments (dvc.lock has none) and 0.1 s with libyaml; writing takes 0.4 s. Here libyaml reads
what this process has neither read nor written, and of what is written only the stages that have changed are put into
words. The bytes are the same.
"""

import functools
import io
import json
import pickle
from collections import OrderedDict
from pathlib import Path

NAME = "dvc.lock"
STAGES = 64  # more than a run has
SCALARS = (str, int, float, bool, type(None))
MAPPINGS = (dict, OrderedDict)


def work_faster() -> None:
    """From now on the DVC of this process reads and writes dvc.lock as said above; other files as ever."""
    from dvc.utils import strictyaml
    from dvc.utils.serialize import _yaml

    parse_as_ever, update_as_ever, dump_as_ever = _yaml.parse_yaml, _yaml.parse_yaml_for_update, _yaml._dump

    texts: dict[str, bytes] = {}  # {a text of dvc.lock: its values, pickled}; as many as a run has stages

    def parse(text, path, typ="safe"):
        if typ != "safe" or Path(path).name != NAME:
            return parse_as_ever(text, path, typ)
        if text not in texts:
            texts[text] = pickle.dumps(parse_as_ever(text, path))
        return pickle.loads(texts[text])  # the caller may change it

    def parse_for_update(text, path):
        return (parse if Path(path).name == NAME else update_as_ever)(text, path)

    def words(data):
        stream = io.StringIO()
        dump_as_ever(data, stream)
        return stream.getvalue()

    @functools.lru_cache(STAGES)
    def words_of(entry):
        return words({"stages": json.loads(entry)})

    def dump(data, stream):
        if Path(str(getattr(stream, "name", ""))).name != NAME or not data.get("stages") or not _is_tree(data, set()):
            return dump_as_ever(data, stream)
        parts = []
        for key, value in data.items():
            if key != "stages":
                parts.append(words({key: value}))
                continue
            stages = [words_of(json.dumps({name: stage})) for name, stage in value.items()]
            parts += ["stages:\n", *(stage.removeprefix("stages:\n") for stage in stages)]
        text = "".join(parts)
        stream.write(text)
        texts[text] = pickle.dumps(json.loads(json.dumps(data)))
        return None

    _yaml.parse_yaml = strictyaml.parse_yaml = parse
    _yaml.parse_yaml_for_update = parse_for_update
    _yaml._dump = dump


def _is_tree(value, seen):
    """Whether a value is made of what JSON knows, and none of its parts stands in it twice (YAML's anchors)."""
    if type(value) in SCALARS:
        return True
    if type(value) not in (*MAPPINGS, list) or id(value) in seen:
        return False
    seen.add(id(value))
    if type(value) is list:
        return all(_is_tree(one, seen) for one in value)
    return all(type(key) is str and _is_tree(one, seen) for key, one in value.items())
