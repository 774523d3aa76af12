#!/usr/bin/env bash
# DVC 3.67.1, `dvc artifacts get`: which tags are versions of an artifact, and which of them it gives.
#
# Guess before the run: the highest version by semantic versioning that is no pre-release; a tag without v, or one that
# is not annotated, is refused in words; `--rev 1.0.0` is as good as v1.0.0; a tag NAME@VERSION! takes a version back.
# Seen: the highest, by number and not by date, pre-releases too (v2.0.0-rc1 comes before v1.10.0). Tags without v and
# those that are not annotated are passed over without a word. `--rev` wants v1.9.0 and nothing else. The tag
# NAME@VERSION! takes nothing back: the version is now that of the commit with this tag.
# For us: docs/registry.md says how to tag, and to give `--rev`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dvc==3.67.1
export PATH="$folder/venv/bin:$PATH" HOME="$folder" DVC_NO_ANALYTICS=1 DVC_SITE_CACHE_DIR="$folder/site"
git config --global user.name A && git config --global user.email a@example.org
mkdir "$folder/project" && cd "$folder/project"
git init -q -b main && dvc init -q
printf 'artifacts:\n  model:\n    path: model.txt\n' > dvc.yaml

release() { # CONTENT, then arguments of git tag
  echo "$1" > model.txt && dvc add -q model.txt && git add -A && git commit -qm "$1" && git tag "${@:2}"
}
failed=0
expect() { # CONTENT or "nothing", then arguments of dvc artifacts get
  rm -f "$folder/got"
  dvc artifacts get . model -o "$folder/got" "${@:2}" > /dev/null 2>&1 || true
  found=$(cat "$folder/got" 2> /dev/null || echo nothing)
  echo "tags $(git tag | tr '\n' ' '): dvc artifacts get . model ${*:2} gives $found"
  [ "$found" = "$1" ] || failed=1
}

dvc --version
release first -a model@v1.9.0 -m x
release second -a model@v1.10.0 -m x
release third -a model@v1.2.0 -m x # tagged last
expect second
expect first --rev v1.9.0
expect nothing --rev 1.9.0
expect nothing --rev main
release fourth model@v1.11.0 # not annotated
release fifth -a model@3.0.0 -m x # without v
expect second
release sixth -a model@v2.0.0-rc1 -m x
expect sixth
release seventh -a model@v2.0.0-rc1! -m x
expect seventh
exit "$failed"
