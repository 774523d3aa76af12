#!/usr/bin/env bash
# DVC 3.67.1: `dvc exp run`, in any form, destroys a local edit of a file marked by `git update-index --skip-worktree`.
#
# Guess before the run: as with `git stash` and `git stash pop`, a file that git is told not to look at keeps its
# edit and its mark; most of all where the experiment is only queued, or runs in a folder of its own.
# Seen, with an ordinary edit of another file beside it: after `dvc exp run`, `--temp` and `--queue` the file has the
# committed text again, without a word, its mark is gone, and no branch, stash or experiment holds the edit; that of
# the other file is kept. DVC stashes what git calls changed, then resets by pygit2, which takes no heed of the mark.
# (Without another edit nothing is stashed first, and the edit is committed as a part of the experiment.)
# For us: docs/reproducibility.md says not to mark files so; local values belong into `-S`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export DVC_NO_ANALYTICS=1 GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dvc==3.67.1 scmrepo==3.6.2 pygit2==1.21.0
export PATH="$folder/venv/bin:$PATH"
mkdir "$folder/project"
cd "$folder/project"
git init --quiet
git config user.name someone
git config user.email someone@example.com
dvc init --quiet
echo 'rate: 1' > params.yaml
printf 'stages:\n  train: {cmd: cp params.yaml out.txt, params: [rate], outs: [out.txt]}\n' > dvc.yaml
for name in local other; do echo 'committed' > "$name.txt"; done
git add --all
git commit --quiet --message 'as committed'

state() { # texts, mark (S: skip-worktree, H: none), and how many branches, stashes and experiments have the edit
  commits=$(git for-each-ref --format='%(objectname)')
  held=$(for commit in $commits; do git show "$commit:local.txt"; done | grep -c edit || true)
  echo "$(cat local.txt other.txt | tr '\n' ' ')$(git ls-files -v local.txt | cut -c1) $held"
}

for how in 'git stash' 'dvc exp run' 'dvc exp run --temp' 'dvc exp run --queue'; do
  git checkout --quiet .
  git update-index --skip-worktree local.txt
  for name in local other; do echo 'edit' > "$name.txt"; done
  if [ "$how" = 'git stash' ]; then
    git stash --quiet
    git stash pop --quiet
    expected='edit edit S 0'
  else
    $how --quiet --set-param rate=2 > "$folder/log" 2>&1
    expected='committed edit H 0'
  fi
  echo "dvc $(dvc --version): after $how: $(state)"
  [ "$(state)" = "$expected" ]
done
