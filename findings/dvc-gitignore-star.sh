#!/usr/bin/env bash
# DVC 3.67.1 with dulwich 1.2.21: behind "/data/*" in .gitignore DVC sees no .dvc file below data/, and removes the folders.
#
# Guess before the run: DVC reads .gitignore as git does, to which "/data/*" with "!/data/raw" leaves data/raw/mine.dvc.
# Seen: dulwich takes "data/" itself for ignored, "*" being nothing, so DVC never looks into it. `dvc add data/raw/mine`
# works; the next `dvc checkout` or `dvc exp run` removes data/raw/mine "as unused link", and brings nothing back unless the
# .dvc file is named. With "/data/?*" instead, which is the same to git, the folder stays.
# For us: .gitignore has ?*, tests/pipeline/test_added_data.py keeps it so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dvc==3.67.1 dulwich==1.2.21
export PATH="$folder/venv/bin:$PATH" DVC_NO_ANALYTICS=1 GIT_CONFIG_GLOBAL=/dev/null
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org

stays() { # whether an added folder outlives `dvc checkout`, with this pattern
  rm -rf "$folder/project"
  mkdir -p "$folder/project/data/raw/mine"
  cd "$folder/project"
  git init -q
  dvc init -q
  printf '%s\n' "$1" '!/data/raw' '/data/raw/?*/?*' > .gitignore
  echo image > data/raw/mine/1.txt
  dvc add -q data/raw/mine
  if git check-ignore -q data/raw/mine.dvc; then echo "ignored by git"; return; fi
  git add -A
  git commit -qm added
  dvc checkout -q
  if [ -e data/raw/mine/1.txt ]; then echo stays; else echo removed; fi
}

star=$(stays '/data/*')
some=$(stays '/data/?*')
echo "behind /data/*: $star; behind /data/?*: $some"
[ "$star" = removed ] && [ "$some" = stays ]
