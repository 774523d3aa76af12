#!/usr/bin/env bash
# DVC 3.67.1: a parameter that changes from 1 to true, or to 1.0, has not changed.
#
# Guess before the run: the stage runs again, because params.yaml holds another value of another type, which the
# stage reads.
# Seen: `dvc repro` does not run it, its output still says `one: 1`. DVC compares values by Python's ==, and to it 1
# == True == 1.0.
# For us: the schema is strict. It refuses true for a number and a number for true, and 1 and 1.0 mean the same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export DVC_NO_ANALYTICS=1 GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dvc==3.67.1
export PATH="$folder/venv/bin:$PATH"
mkdir "$folder/project"
cd "$folder/project"
git init --quiet
git config user.name someone
git config user.email someone@example.com
dvc init --quiet
echo 'one: 1' > params.yaml
printf 'stages:\n  train: {cmd: cp params.yaml out.txt, params: [one], outs: [out.txt]}\n' > dvc.yaml
dvc repro --quiet
seen=''
for value in true 1.0 2; do
  echo "one: $value" > params.yaml
  dvc repro --quiet
  seen+="$value gives $(cut -d' ' -f2 out.txt); "
done
echo "dvc $(dvc --version): one: 1, then $seen"
[ "$seen" = 'true gives 1; 1.0 gives 1; 2 gives 2; ' ]
