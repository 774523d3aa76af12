#!/usr/bin/env bash
# DVC 3.67.1: what lies behind a linked folder inside a dependency does not count.
#
# Guess before the run: a dependency is what a program finds below it: links to files are followed, so those to folders
# are too.
# Seen: a file deleted behind data/linked, then the whole link: "Data and pipelines are up to date" both times.
# Another text behind the linked file data/file is noticed.
# For us: linked folders below an input are refused, with the way out.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export DVC_NO_ANALYTICS=1 GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dvc==3.67.1 dvc-data==3.18.3 dvc-objects==5.2.0
export PATH="$folder/venv/bin:$PATH"
mkdir "$folder/project"
cd "$folder/project"
git init --quiet
git config user.name someone
git config user.email someone@example.com
dvc init --quiet
mkdir data ../elsewhere
for file in data/a ../elsewhere/b ../elsewhere/c ../file; do echo 1 > "$file"; done
ln -s ../../elsewhere data/linked
ln -s ../../file data/file
cat > dvc.yaml << 'YAML'
stages:
  train:
    cmd: find -L data -type f | wc -l > out.txt
    deps: [data]
    outs: [out.txt]
YAML
dvc repro --quiet
echo "dvc $(dvc --version): the stage found $(cat out.txt) files"

check() { # what has changed, and what dvc has to say
  status=$(dvc status 2>&1)
  echo "$1: $(echo "$status" | tail -n 1 | tr -s '[:space:]' ' ')"
  [[ "$status" = *"$2"* ]]
}

rm ../elsewhere/b
check 'one file fewer behind the linked folder' 'up to date'
rm data/linked
check 'the linked folder gone' 'up to date'
echo 2 > ../file
check 'another text behind the linked file' 'modified'
